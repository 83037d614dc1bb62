"""What a result becomes outside: files, tables, pictures and reports. Import what you need from its rooms.

``folder`` makes the files of a graded case and ``outputs`` writes them: ``pictures`` the PNG of the slices,
``report`` the page; ``tables`` makes the cohort's CSV.
"""
