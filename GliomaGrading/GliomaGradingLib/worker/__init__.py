"""The child process that alone holds torch and the weights, and its client.

``client`` is what the Slicer module, scripts and tests use; ``protocol`` documents what goes over
the wire; ``arrays`` is how images get across; ``process`` starts and ends the child; ``server``,
``parent`` and ``engine`` run inside it. Only ``engine`` leads to torch, and only in the child.
"""
