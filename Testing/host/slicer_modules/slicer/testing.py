"""What CMake's slicer_add_python_unittest calls."""

from __future__ import annotations

import sys
import unittest
from pathlib import Path

import slicer

EXIT_SUCCESS, EXIT_FAILURE = 0, 1


def exitSuccess():
    slicer.util.exit(EXIT_SUCCESS)


def exitFailure(message=""):
    print(message, file=sys.stderr)
    slicer.util.exit(EXIT_FAILURE)


def runUnitTest(path, testname):
    """Loads ``testname.py`` from the folder(s) ``path``, runs its tests and leaves the application."""
    sys.path[:0] = [str(Path(one)) for one in ([path] if isinstance(path, str) else path)]
    suite = unittest.TestLoader().loadTestsFromName(testname)
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    if result.wasSuccessful():
        exitSuccess()
    else:
        exitFailure("tests failed")
