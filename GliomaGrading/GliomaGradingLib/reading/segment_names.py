"""Which segments of a segmentation are no tumour, by their names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from ..result import Notice

_NEGATED = re.compile(
    r"\b(no|non|not|without|w o|minus|excluding|except|outside)( of)?( the)? ?(tumou?r|lesion|neoplas|gliom)\w*"
    r"|\b(tumou?r|lesion) free\b"
)
"""Taken out before a name is searched for tumour: "brain without tumour" tells of none."""

_BUT_FOR = re.compile(r"\b(without|w o|minus|excluding|excl|except)\b")
"""What follows is not in the segment: a tumour without the resection cavity is one."""

_NEVER = re.compile(
    r"background|(?<!ab)normal(?!i[sz])|healthy|unaffected|uninvolved"
    r"|(?<!pre )(?<!before )(?<!after )(?<!post )resection|(?<!necrotic )(?<!cystic )cavity"
)
"""What is no tumour, whatever else the name says: a resection cavity of the tumour is none."""

_TUMOUR = re.compile(
    r"tumou?r|neoplas|gliom|glioblastom|\bgbm\b|\b[lh]gg\b|\bastro|\boligo|ependymom|lesion|o?edema|necro|metasta"
    r"|\bmets?\b|cancer|malignan|\bmass\b|abnormal|infiltrat|\bgtv\b|\bwt\b"
)
"""Names the tumour or a part of it, which places do not take back: a tumour of the frontal lobe is one."""

_ELSEWHERE = re.compile(
    # the head and its parts
    r"brain|skull|scalp|calvari|ventri[ck]|parenchym|\bhead\b|\bcsf\b|cerebro ?spinal|soft tissue|cerebrum"
    r"|cerebell?|hemisphere|\blobes?\b|cortex|(white|gr[ae]y) ?matter|\b(na)?[wg]m\b|thalamus|thalami\b|putamen"
    r"|caudate|pallid|hippocamp|amygdal|callosum|basal ganglia|\bpons\b|medulla|choroid|\bdura\b|meninges"
    r"|vessel|\barter(y|ies)\b|carotid|\bveins?\b|\bvenous\b|sinus|nerve|chiasm|\btracts?\b"
    r"|\beyes?\b|eyeball|orbit|\bglobes?\b|\blens(es)?\b|contralateral|\bwmhs?\b"
    # the rest of the body, and nothing
    r"|liver|spleen|kidney|\blungs?\b|\bheart\b|pancreas|stomach|bladder|prostate|thyroid|muscle|\bfat\b|airway"
    r"|spine|spinal cord|vertebra|\bbg\b|\bair\b"
)
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SEPARATORS = re.compile(r"[\W_]+")


@lru_cache(4096)
def is_other_structure(name: str) -> bool:
    """True for a segment that is no tumour: background, a ventricle, normal tissue, a resection cavity.

    A bare "tissue" says nothing: it is Slicer's name for a segment of which no more is known.
    """
    words = _words(name)
    exception = _BUT_FOR.search(words)
    if exception and _TUMOUR.search(words[: exception.start()]):
        words = words[: exception.start()]
    left, denials = _NEGATED.subn(" ", words)
    if _NEVER.search(left):
        return True
    if _TUMOUR.search(left):
        return False
    return bool(denials or _ELSEWHERE.search(left))


@lru_cache(4096)  # each layout asks for the same names
def names_tumour(name: str) -> bool:
    """True for what is called after the tumour or a part of it: a mere "mask" is not, nor is "no tumour"."""
    words = _words(name)
    return bool(_TUMOUR.search(_NEGATED.sub(" ", words))) and not _NEVER.search(words)


def _words(name: str) -> str:
    """A name's words in lower case with spaces between, also where capitals part them."""
    return _SEPARATORS.sub(" ", _HUMP.sub(" ", name)).strip().lower()


def left_out(labels: Iterable[int]) -> Notice:
    """What is said of segments that do not count; by number, for names are free text."""
    numbers = ", ".join(map(str, sorted(set(labels))))
    return Notice(
        "mask-segments-left-out", f"segments {numbers} of the segmentation are no tumour by their names"
    )
