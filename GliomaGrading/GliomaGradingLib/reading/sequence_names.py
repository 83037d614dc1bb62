"""What a name, a series description or a DICOM header says about the sequence: the one place that knows.

``sequence_of`` goes by words alone; ``read_sequence`` takes the acquisition into account as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

CONTRAST = "T1 with contrast"
"""What a T1 after contrast medium is called: never an input of the grading."""

_SPLIT = re.compile(r"[^a-z0-9*]+")
_FLAIR = re.compile(r"flair|dark[ _-]?fluid|fluid[ _-]?atten")
_FLAIR_WORDS = {"t2f", "fla", "fl"}
_BEFORE = r"(^|[^a-z0-9])((ax|axial|sag|cor|tra|[23]d)+|s(?=t[12]w))?"
"""What may stand before ``t1`` in one word: planes, and the s of ``sT1W_SE``."""
_T2 = re.compile(rf"{_BEFORE}t2(w|wi|weighted|tse|fse|frfse|blade|propeller|space|cube)?([^a-z0-9*]|$)")
_T1 = re.compile(rf"{_BEFORE}t1(w|wi|n|weighted|tse|se|fse|fl|tfe|mprage|mpr|vibe|space|cube)?([^a-z0-9]|$)")
_T1_FLAIR_WORD = re.compile(r"t1(w|wi)?flair")
_T1_FLAIR = re.compile(r"t1(w|wi)?([ _-]*flair|[a-z0-9 _-]*dark[ _-]?fluid)")
"""Inversion recovery of T1 type: a T1, and no FLAIR. In a name of several words it may be a T1 on a FLAIR."""
_T1_NAMES = {"mprage", "mp-rage", "spgr", "fspgr", "bravo"}
_AGENTS = (
    "gado|dotarem|magnevist|gadavist|prohance|omniscan|multihance|clariscan|elucirem|vueway|artirem|optimark"
    "|primovist|eovist|ablavar|dotagraf|cyclolux|pixxoscan"
)
"""Beginnings of substances and brand names; "gado" is that of gadolinium, gadovist, gadobutrol and others."""
_INJECTION = "in[jiy]e[czç]"
"""Its beginning; that of iniezione, inyección and injeção too."""
_MEDIUM = rf"(contrast|kontra[sś]|{_AGENTS})[a-z]*|enhanc[a-z]*|{_INJECTION}[a-zà-ÿ]*|inj|gad|gd|km|mdc|civ|ce"
_SHORT = r"ce|gd|gad|km|mdc|post|enh|inj"
_SURE = re.compile(
    rf"contrast|kontra[sś]|enhanc|{_AGENTS}|\+ ?({_SHORT}|c|civ)([^a-z]|$)|(c|gd|gad)\+|(?<![a-z])(ce|km)\+"
    rf"|[a-z0-9] ?\+$|{_INJECTION}|postcon|(?<![a-z])civ(?![a-z])"
    r"|(?<![a-z])(?!^pc[-_ ]?\d\d)p\.?c(?![a-z0-9])|(?<![a-z])(w/|plus[ _-])c(?![a-z])"
    r"|(?<![a-z])(with|mit|avec|nach|apr[eè]s|dopo)(?=[^a-z0-9]*($|t1))"
    r"|контраст|(?<![а-яё])ку(?![а-яё])|增[强強]|造影|조영"
)
"""Tells of contrast medium wherever it stands; the last are Russian, Chinese, Japanese and Korean for it.

``p.c.`` is post contrast, but ``PC_012`` at the beginning a patient; a bare "with" tells where it ends a text.
"""
_BESIDE = (
    r"t1wi?|t1n?|ax|axial|sag|cor|mprage|mpr|mp2rage|spgr|bravo|vibe|space|cube|tse|fse|se|ir|fs|with|dtpa"
    r"|[23]d|\d"
)
_SHORT_WORD = re.compile(
    rf"({_BESIDE})*((w|mit|nach|avec|apres|dopo|plus)?({_SHORT})|[mn]km|(with|plus)c|t1(wi?)?c)"
    rf"({_BESIDE}|{_SHORT})*|.*(?<!pre)(?<!non)(?<!no)(?<!without)gd"
)
"""A whole word short for contrast medium, alone or run together with its neighbours (``axpostgd``, ``nkm``)."""
_T1_C = re.compile(r"(^|[^a-z0-9])t1(wi?)?[ _-]?c([^a-z]|$)")
_MINUS = r"(c|ce|gd|gado?|km|mdc)(-(?![a-z0-9]|[ _](dtpa|dota|bopta|eob))| ?\( ?- ?\))(?![ _/]*\+)"
"""``C-``, ``Gd(-)``; not where the sign joins what follows, or is one of two: ``Gd-DTPA``, ``C-/+``."""
_ARTICLE = r"((the|l|la|le|il|de|del|di|du|der|dem|medio|mezzo|produit)[ _'’-]*){0,3}"
"""What may stand between "without" and the medium: ``sans produit de contraste``, ``avant l'injection``."""
_OF_MEDIUM = rf"({_MEDIUM})([ _-]+(of|de|di|du|del|von)[ _-]+{_ARTICLE}({_MEDIUM}))?(?![a-z])"
_PLAIN_SCAN = r"平[扫掃]|[非未无無]增[强強]|[非未无無単单]造影|造影(前|なし)|비조영|조영 ?전"
"""Chinese, Japanese and Korean for one without contrast."""
_NO_CONTRAST = re.compile(
    rf"(?<![a-z])(pre|native?|un[ -]?enhanced)[ _-]*({_MEDIUM})?(?![a-z])"
    r"|(?<![a-z])(non|no|without|w[/_ -]?o|ohne|sans|senza|sin|sem|bez)[ _-]*"
    rf"({_ARTICLE}{_OF_MEDIUM}|[^a-z0-9]*$)|(?<![a-z./+])o\.?[ _-]*km(?![a-z])"
    rf"|(pre|non|no|without)({_MEDIUM})(?![a-z])|(?<![a-z])({_MEDIUM})[ _-]*(none|without|free)(?![a-z])"
    rf"|(?<![a-z])(before|prior[ _-]to|avant|vor|antes|prima|przed)[ _-]*{_ARTICLE}{_OF_MEDIUM}"
    rf"|(?<![a-z+])(?<!\+ )(?<!with ){_MINUS}"
    r"|(?<![а-яё])(бе[зс]|до|не)[ _-]*(контраст[а-яё]*|ку(?![а-яё]))"
    rf"|{_PLAIN_SCAN}"
)
"""A bare "no" may be of anything ("NO FS"): it denies a medium where it names one, or ends a text."""
_BOTH = re.compile(
    r"(?<![a-z])((mit|m)[^a-z0-9]+((und|u|oder)[^a-z0-9]+)?(ohne|o)(km)?|w/wo|with[^a-z0-9]+without"
    r"|(with|w|avec|con|com|z)[^a-z0-9]+(and|or|et|ou|e|y|i)[^a-z0-9]+(without|w[/_ ]?o|sans|senza|sin|sem|bez)"
    r")(?![a-z])"
)
"""With and without: one of two, and nobody knows which."""
_GAP = r"[-_ .]"
_ONTO = (
    rf"{_GAP}((co)?reg(istered)?{_GAP}|aligned{_GAP}|resampled{_GAP}|warped{_GAP})?(on)?to{_GAP}"
    r"(t1(w|wi|n)?|t2(w|wi|f)?|flair|seg|mask|mni(152)?|sri(24)?|atlas)$"
)
_ONTO_ANOTHER = re.compile(_ONTO, re.IGNORECASE)
"""The end of ``T1_to_FLAIR``, which is a T1."""
_PLACED = (
    r"(co)?reg(istered)?|aligned|resampled|resliced|iso(tropic)?|\d+([p.]\d+)?mm|mni(152)?|sri(24)?|atlas"
    r"|orig(inal)?|raw"
)
_WITHOUT = (
    rf"(pre|non?|without|wo|w{_GAP}?o|native?|plain|unenhanced){_GAP}?(contrast|gado|gad|gd|ce|km)?"
    rf"|pre{_GAP}?op|{_MINUS}|{_NO_CONTRAST.pattern}"
)
_TREATED = (
    rf"brain|bet|hd{_GAP}?bet|(skull)?{_GAP}?strip(ped)?|ss|n4(itk)?|bias|norm(ali[sz]ed)?|defaced"
    rf"|ax(ial)?|tra|sag|cor|[23]d|se|tse|fse|tfe|mprage|mpr|mp2rage|f?spgr|bravo|vibe|space|cube|blade|propeller"
)
_IDLE_OF_MASK = re.compile(rf"{_GAP}({_PLACED})$|{_ONTO}")
_IDLE = re.compile(
    rf"{_GAP}({_WITHOUT}|{_TREATED}|{_PLACED})$|((?<=t1)|(?<=t1w))(pre|c-|{_PLAIN_SCAN})$|{_ONTO}"
)
_IDLE_OF_T1 = re.compile(rf"{_IDLE.pattern}|{_GAP}gre$")
_ONCE_MORE = re.compile(
    rf"({_PLACED}|{_TREATED}|native|space)({_GAP}({_PLACED}|{_TREATED}|native|space))*", re.IGNORECASE
)
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_DERIVED = {"adc", "dwi", "dti", "swi", "fa", "md", "cbv", "cbf", "rcbv", "perfusion", "perf", "map", "t1map"}
_DERIVED |= {"t2map", "subtraction", "t2*", "t2star", "gre", "localizer", "scout", "mra", "tof", "dsc", "swan"}
_OTHER_T2 = re.compile(r"swi\d*[a-z]*|hemo[a-z]*|haemo[a-z]*|ffe|fl[23]d|flash[a-z0-9]*|merge|medic|star|stir")
"""Words that make a T2 one of gradient echoes (T2*), or one without fat's long T2 (STIR): another contrast."""
_MASK_WORDS = {"seg", "segm", "segmentation", "mask", "label", "labels", "labelmap", "roi", "brainmask"}
_MASK_WORDS |= {"tumor", "tumour", "lesion"}
_MASK = re.compile(r"seg(m|mentation)?([^a-z]|$)|mask|label|tumou?r|lesion|roi([^a-z]|$)")
_OTHER_ORGAN = re.compile(r"brain|skull|ventric|parenchym|head|bet([^a-z]|$)|csf|tissue")
_TUMOUR_WORD = r"(tumou?r|lesion|metastas[ie])s?"
_NO_TUMOUR = re.compile(rf"(?<![a-z])(no|non|not|without|minus|excluding|except){_GAP}*{_TUMOUR_WORD}")
_OF_TUMOUR = re.compile(
    rf"(brain|skull|head|ventric[a-z]*){_GAP}*{_TUMOUR_WORD}"
    rf"|(?<![a-z]){_TUMOUR_WORD}{_GAP}*(mask|segm?|segmentation|labels?|labelmap|roi)(?![a-z])"
)
"""The mask of a tumour, though an organ is named: ``brain_tumor``, ``tumor_mask``; not ``GBM_01_brain``."""

_GIVEN = r"[ _-]+(agent|medium|given|used|administered)"
_NO_AGENT = re.compile(
    rf"[ .-]*(({_NO_CONTRAST.pattern}|no|none|n|n/?a|nil|0|not[ _-]applicable|not{_GIVEN})({_GIVEN})*)?[ .-]*"
)
"""Not "unknown", which may be of an agent that was given: a T1 after contrast must not pass for one without."""
_ACQUISITION = {"T1": "T1", "T2": "T2", "FLUID_ATTENUATED": "FLAIR"}
_NOT_ANATOMY = {
    *("LOCALIZER", "ADC", "TRACEW", "TRACE", "FA", "SUBTRACTION", "DIFFUSION", "PERFUSION", "PROJECTION IMAGE"),
    *("CSA MPR", "MIP", "SCREEN SAVE", "PHASE", "P", "PHASE MAP", "RCBV", "RCBF"),
}
_NOT_ANATOMY_CONTRASTS = {"DIFFUSION", "PERFUSION", "T2_STAR", "FLOW_ENCODED", "PROTON_DENSITY", "STIR"}


@dataclass(frozen=True)
class Reading:
    """What a header says: T1, T2, FLAIR, ``CONTRAST`` or '', why, and what speaks against it."""

    sequence: str
    reason: str = ""
    doubt: str = ""


def sequence_of(*texts: str) -> str:
    """T1, T2, FLAIR or ``CONTRAST``, if the texts (name, series description) agree on one; else ''."""
    found = {_sequence_of(text) for text in texts if text} - {""}
    if CONTRAST in found and found <= {CONTRAST, "T1"}:
        return CONTRAST
    return found.pop() if len(found) == 1 else ""


def read_sequence(texts: Iterable[str], header: Mapping[str, str]) -> Reading:
    """The sequence of a series.

    Args:
        texts: series description, protocol name, node name: whatever names it.
        header: DICOM attributes by keyword, as text; of these are looked at: ContrastBolusAgent (and its Route,
            Volume and TotalDose), AcquisitionContrast, EchoTime, RepetitionTime, InversionTime,
            ScanningSequence, SequenceName and ImageType.
    """
    texts = [text for text in texts if text]
    if _is_no_anatomy(header):
        return Reading("")
    words, physics = sequence_of(*texts), _by_physics(header)
    declared = _ACQUISITION.get(header.get("AcquisitionContrast", "").strip().upper(), "")
    measured = declared or physics
    if not words and any(_is_derived(text.lower()) for text in texts):
        return Reading("")
    told = any(map(has_contrast, texts))
    if not words and _is_t1_flair(texts, header):
        words = CONTRAST if told else "T1"
    if has_agent(header) and (words or measured) == "T1":
        agent = header.get("ContrastBolusAgent", "").strip()
        return Reading(CONTRAST, f"contrast agent '{agent}'" if agent else "contrast agent")
    if not words and measured == "T1" and told:
        return Reading(CONTRAST, _times(header))
    if not words:
        return Reading(measured, _times(header)) if measured else Reading("")
    return Reading(words, _times(header), _contradiction(words, measured) or _unusual(words, header))


def has_agent(header: Mapping[str, str]) -> bool:
    """True if the header says that a contrast agent was given before this series.

    Where it does not name the agent, and no word for none either, how much was given and how tell as well.
    """
    agent = header.get("ContrastBolusAgent", "")
    if agent.strip():
        return names_agent(agent)
    amounts = (_number(header, f"ContrastBolus{what}") for what in ("Volume", "TotalDose"))
    return any(amounts) or names_agent(header.get("ContrastBolusRoute", ""))


def names_agent(text: str) -> bool:
    """Whether what stands where the contrast agent is named is one, and no word for none."""
    return not _NO_AGENT.fullmatch(text.strip().lower())


@lru_cache(4096)  # each layout asks for the same names
def has_contrast(text: str) -> bool:
    """Whether a name or a description tells of contrast medium; what denies it is taken out of it first.

    Every word counts, wherever it stands, also where words are run together as BIDS has them (``axPostGd``).
    A case's own name is no such word: leave it out. Capitals tell words apart: give the text as it was written.
    """
    return any(map(_tells_of_contrast, (text.lower(), _HUMP.sub(" ", text).lower())))


def denies_contrast(text: str) -> bool:
    """Whether a description says in a word of its own that there is none ("pre", and not "CompressedSENSE")."""
    return bool(_NO_CONTRAST.search(text.lower()))


def without_idle_words(name: str, is_mask: bool = False) -> str:
    """A name in lower case without the words at its end that do not say what it is: how an image was placed,
    treated or taken, and that it is without contrast (``t1_brain_1mm``, ``t1_ohne_km``, ``t1_to_flair``).

    Args:
        is_mask: the words say what a mask is of, but for those of its place.
    """
    is_t1 = _names_t1(name) and not _T2.search(name)  # a gradient echo of T2 is another contrast
    idle = _IDLE_OF_MASK if is_mask else _IDLE_OF_T1 if is_t1 else _IDLE
    while (shorter := idle.sub("", name)) not in (name, ""):
        name = shorter
    return name


def tells_of_the_same(words: str) -> bool:
    """Whether words behind a case's name tell of the same images once more, placed, treated or taken otherwise:
    ``reg``, ``mni_1mm``, ``brain``; not of another time."""
    return bool(_ONCE_MORE.fullmatch(words))


def is_contrast_t1(name: str) -> bool:
    """Whether something is called like a T1 with contrast, and like nothing else."""
    return sequence_of(name) == CONTRAST


def is_mask_name(name: str) -> bool:
    """True for what is called like a mask of a tumour: seg, mask, label, tumour, lesion, roi."""
    return bool(_MASK.search(name.lower())) and not is_other_organ(name)


def is_other_organ(name: str) -> bool:
    """True for the mask of something else: brain, skull, ventricles; a tumour of the brain is none."""
    told = _NO_TUMOUR.sub(" ", name.lower())
    return bool(_OTHER_ORGAN.search(told)) and not _OF_TUMOUR.search(told)


def tells_of_another(words: Iterable[str], sequence: str) -> bool:
    """Whether a word tells that an image is a map or a mask, and only placed like the sequence: ``adc_reg_t2``.

    Args:
        words: of its name, in lower case, without those of its case and of the sequence.
    """
    return bool({*words} & (_derived(sequence == "T1") | _MASK_WORDS))


def _sequence_of(written: str) -> str:
    written = _ONTO_ANOTHER.sub("", written)
    text = written.lower()
    if _is_derived(text) or _MASK.search(text):
        return ""
    words = _words(text)
    if any(map(_T1_FLAIR_WORD.search, words)):
        return CONTRAST if has_contrast(written) else "T1"
    is_t1 = _names_t1(text)
    is_flair = bool(_FLAIR.search(text) or words & _FLAIR_WORDS)
    is_t2 = bool(_T2.search(text))
    if is_flair:
        return "" if is_t1 else "FLAIR"  # a T1 FLAIR is another contrast, and a T1 on a FLAIR is called so
    if is_t1 == is_t2:
        return ""
    if is_t2:
        return "" if any(map(_OTHER_T2.fullmatch, words)) else "T2"
    return CONTRAST if has_contrast(written) else "T1"


def _words(text: str) -> set[str]:
    return {word for word in _SPLIT.split(text) if word}


def _is_derived(text: str) -> bool:
    return bool(_words(text) & _derived(_names_t1(text)))


def _derived(is_t1: bool) -> set[str]:
    """Words for what is computed, or is another contrast; a gradient echo of T2 is T2*, and one of T1 a T1."""
    return _DERIVED - {"gre"} if is_t1 else _DERIVED


def _names_t1(text: str) -> bool:
    return bool(_T1.search(text) or _words(text) & _T1_NAMES or _is_contrast_t1(text))


def _is_contrast_t1(text: str) -> bool:
    return bool(re.search(rf"{_BEFORE}t1(w|wi)?(ce|c|gd|gad|gado|[mn]?km|post|pc)([^a-z]|$)", text))


def _tells_of_contrast(text: str) -> bool:
    if _BOTH.search(text):
        return True
    text = _NO_CONTRAST.sub(" ", text)
    short = any(_SHORT_WORD.fullmatch(word) for word in _words(text))
    return short or bool(_SURE.search(text) or _T1_C.search(text))


def _is_no_anatomy(header: Mapping[str, str]) -> bool:
    kinds = {part.strip().upper() for part in header.get("ImageType", "").split("\\")}
    declared = header.get("AcquisitionContrast", "").strip().upper()
    diffusion = re.match(r"\*?ep_?b\d", header.get("SequenceName", "").strip().lower())
    return bool(kinds & _NOT_ANATOMY or declared in _NOT_ANATOMY_CONTRASTS or diffusion)


def _by_physics(header: Mapping[str, str]) -> str:
    """By echo, repetition and inversion time in ms; '' where these leave a doubt.

    The bounds are wide of what is usual at 1.5 and 3 T: FLAIR inverts long (CSF nulled at 1.8 to 2.9 s) and
    has a long echo; T2 has a long echo and repetition; T1 has a short echo with a short repetition (spin
    echo), or is a gradient echo with a short inversion (MPRAGE).
    """
    echo, repetition, inversion = (
        _number(header, key) for key in ("EchoTime", "RepetitionTime", "InversionTime")
    )
    kind = header.get("ScanningSequence", "").upper()
    if echo is None or repetition is None:
        return ""
    if inversion and inversion >= 1500 and echo >= 60:
        return "FLAIR"
    if "EP" in kind.split("\\"):
        return ""
    if not inversion and echo >= 60 and repetition >= 2000:
        return "T2"
    if echo <= 30 and repetition <= 1000 and "GR" not in kind:
        return "T1"
    return "T1" if inversion and 500 <= inversion <= 1300 and echo <= 10 and "GR" in kind else ""


def _contradiction(words: str, measured: str) -> str:
    plain = "T1" if words == CONTRAST else words
    return f"its acquisition looks like {measured}" if measured and measured != plain else ""


def _is_t1_flair(texts: Iterable[str], header: Mapping[str, str]) -> bool:
    """Whether it is called T1 FLAIR, and inverted for T1."""
    inversion = _number(header, "InversionTime")
    return bool(inversion and 300 <= inversion < 1500) and any(_T1_FLAIR.search(text.lower()) for text in texts)


def _unusual(words: str, header: Mapping[str, str]) -> str:
    """What no T2 or FLAIR has, though the words say that it is one."""
    echo, inversion = _number(header, "EchoTime"), _number(header, "InversionTime")
    kinds = {kind.strip() for kind in header.get("ScanningSequence", "").upper().split("\\")}
    if words not in ("T2", "FLAIR"):
        return ""
    if words == "T2" and "GR" in kinds and "SE" not in kinds:
        return "it is a gradient echo"
    if echo is not None and 0 < echo < 60:
        return "its echo is short"
    if words == "FLAIR" and inversion and inversion < 1500:
        return "its inversion is short"
    return "fat is nulled" if words == "T2" and inversion and inversion < 500 else ""


def _times(header: Mapping[str, str]) -> str:
    names = {"EchoTime": "TE", "RepetitionTime": "TR", "InversionTime": "TI"}
    known = {short: _number(header, key) for key, short in names.items()}
    return ", ".join(f"{short} {value:.0f} ms" for short, value in known.items() if value)


def _number(header: Mapping[str, str], key: str) -> float | None:
    try:
        return float(header.get(key, "").split("\\")[0])
    except ValueError:
        return None
