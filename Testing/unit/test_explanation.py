"""An explanation belongs to a result only where it is of the same slices, which say the same."""

from __future__ import annotations

import numpy as np
import pytest
from GliomaGradingLib.errors import CaseError
from GliomaGradingLib.explanation import Explanation, check_same_images
from GliomaGradingLib.result import GradeResult, SliceInfo, Vote
from GliomaGradingLib.words import SEQUENCES

INDICES = (4, 5, 6)


def graded(probability: float = 0.75) -> GradeResult:
    votes = tuple(Vote(name, "HGG", probability, (probability,) * 3, 3) for name in SEQUENCES)
    info = SliceInfo(INDICES, (4.0, 5.0, 6.0), 1.0, 5, 30.0)
    return GradeResult("Ann", "HGG", "HGG", probability, votes, info, 3.0, (), {}, {}, {})


def test_the_slices_and_what_they_say_come_with_an_explanation() -> None:
    maps = np.full((3, 3, 2, 2), np.log(3), np.float32)
    explanation = Explanation.fromDict(Explanation(maps, (0.0, 0.0, 0.0), indices=INDICES).toDict())
    assert explanation.indices == INDICES and np.allclose(explanation.probabilities, 0.75)
    check_same_images(graded(), explanation.indices, explanation.probabilities)


@pytest.mark.parametrize(
    ("indices", "probabilities", "is_same"),
    [
        (INDICES, np.full((3, 3), 0.765), True),
        (list(INDICES), [[0.75] * 3] * 3, True),
        (INDICES, np.full((3, 3), 0.775), False),
        (INDICES, [[0.75] * 3, [0.75] * 3, [0.75, 0.75, 0.7]], False),
        (INDICES, [[0.75] * 3, [0.75] * 3, [0.75, 0.75, np.nan]], False),
        (INDICES, np.full((3, 2), 0.75), False),
        ((5, 6, 7), np.full((3, 3), 0.75), False),
        ((), np.full((3, 3), 0.75), False),
    ],
)
def test_other_images_than_were_graded_are_refused(indices, probabilities, is_same) -> None:
    if is_same:
        check_same_images(graded(), indices, probabilities)
        return
    with pytest.raises(CaseError, match="the images have changed since they were graded, in Ann: grade"):
        check_same_images(graded(), indices, probabilities)
