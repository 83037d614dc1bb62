"""What a result becomes outside: files, tables, pictures and reports. Import what you need from its rooms.

``files`` writes, ``tables`` makes the cohort's CSV, ``pictures`` the PNG of the slices, ``report`` the page.
"""
