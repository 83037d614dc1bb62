"""The three GoogLeNets: their files, their layers, their fast form, and what they looked at.

``bundle`` knows the files and, like ``bundle_files`` and ``image_form``, no torch; ``network`` is the transfer
model as it is trained, ``inference`` the same in the form that grades, ``readers`` runs three of them side by
side, ``saliency`` asks them where their evidence came from.
"""
