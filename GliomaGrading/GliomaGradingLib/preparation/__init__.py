"""From a case to its slices: one frame, z-scores over the brain, 20 slices around the largest tumour area.

``slices`` is what the others are for: ``registration`` (with ``motion`` and ``mirrored``) brings sequences into
one frame, ``brain`` finds what is normalised over.
"""
