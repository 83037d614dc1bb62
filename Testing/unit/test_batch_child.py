"""What the grading process of a batch adds to a case's result."""

from __future__ import annotations

import pytest
from GliomaGradingLib.cohort import child
from GliomaGradingLib.cohort.work import Settings


@pytest.mark.parametrize(
    ("value", "kept"), [(1.23456, 1.2346), (None, None), (float("nan"), None), (float("inf"), None)]
)
def test_strangeness_is_a_number_that_json_knows(value, kept):
    assert child._rounded(value) == kept


def test_asking_for_dicom_is_an_option_that_results_depend_on():
    assert Settings(dicom=True).identity()["dicom"] is True
    assert "dicom" not in Settings().identity()  # batches from before there was the option can be resumed
