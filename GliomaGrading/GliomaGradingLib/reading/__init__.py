"""What is on disk becomes volumes: image files, DICOM studies, and which of them is which sequence or the mask.

``imaging`` reads a volume; ``dicom_study`` tells the series of a study apart. What names and headers say of a
sequence is in ``sequence_names``, of a segment in ``segment_names``; ``nifti_check``, ``text_headers`` and
``dicom_lengths`` look at files before ITK does. Knows nothing of cases and cohorts.
"""
