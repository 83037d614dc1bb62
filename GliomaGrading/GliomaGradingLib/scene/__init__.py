"""MRML in, MRML out: the rooms that read Slicer's scene and write results into it. No Qt here."""
