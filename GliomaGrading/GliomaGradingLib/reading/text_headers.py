"""MetaImage and NRRD headers, looked at before ITK does.

ITK's MetaImage reader (5.4) crashes the process, or takes gigabytes, on a header whose numbers are absurd
(found by fuzzing: ``Testing/fuzz``). What is refused here never gets there.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from ..errors import CaseError
from .nifti_check import header_beside, voxels_beside

MAX_HEADER = 1 << 20
"""Bytes: the largest header that is looked at; a segmentation of many segments has some ten thousand."""

MAX_DIMENSIONS = 4
_MAX_LENGTH = 1 << 31
_MAX_COMPONENTS = 1024
_EXPORT = "export it again, or as NIfTI"
_META_LISTS = ("dimsize", "elementspacing", "elementsize", "offset", "origin", "position", "centerofrotation")
_META_MATRICES = ("transformmatrix", "rotation", "orientation")
_META_FIELDS = {*_META_LISTS, *_META_MATRICES, "ndims", "elementtype", "elementnumberofchannels", "headersize"}
_META_TYPES = re.compile(r"MET_(U?CHAR|U?SHORT|U?INT|U?LONG(_LONG)?|FLOAT|DOUBLE)(_ARRAY)?$")
_META_PLACES = {*_META_MATRICES, "offset", "origin", "position"}
_MILLIMETRES = re.compile(r"(mm|milli?met(er|re)s?|none|unknown|[?]*)$", re.IGNORECASE)
"""Of what lengths are, or what says nothing of it."""
_OTHER_LENGTHS = re.compile(
    r"([nuµμcd]?m|inch(es)?|in|microns?|(nano|micro|centi|deci)?met(er|re)s?)$", re.IGNORECASE
)
_SPACES_OF_NOTHING = re.compile(r"(scanner-xyz|3d-(left|right)-handed)(-time)?$", re.IGNORECASE)
"""Spaces of NRRD that are no patient's: of the scanner, or of anything that has three axes."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,4})?$|[+-]?(nan|inf(inity)?)$", re.IGNORECASE)


def check_meta_image(path: Path) -> None:
    """Refuses a ``.mha`` or ``.mhd`` header that is no header of a volume.

    Raises:
        CaseError: a field is missing, doubled, out of order or impossible, or the voxels are not in one file.
    """
    fields = dict(_meta_fields(path))
    dimensions = _whole(path, "NDims", fields.get("ndims", ""), 1, MAX_DIMENSIONS)
    for name in _META_LISTS:
        _numbers(path, fields, name, dimensions)
    for name in _META_MATRICES:
        _numbers(path, fields, name, dimensions**2)
    for text in fields.get("dimsize", "").split():
        _whole(path, "DimSize", text, 1, _MAX_LENGTH)
    _whole(path, "ElementNumberOfChannels", fields.get("elementnumberofchannels", "1"), 1, _MAX_COMPONENTS)
    _whole(path, "HeaderSize", fields.get("headersize", "0"), -1, MAX_HEADER)
    _whole(path, "CompressedDataSize", fields.get("compresseddatasize", "0"), 0, 1 << 48)
    _check_unit(path, fields.get("distanceunits", ""))
    if "dimsize" not in fields or not _META_TYPES.match(fields.get("elementtype", "")):
        raise _wrong(path, "DimSize or ElementType is missing or unknown")
    if fields["elementdatafile"] != "LOCAL":
        _check_data_file(path, fields["elementdatafile"])
    elif fields.get("compresseddata", "").lower() in ("true", "1"):
        _check_packed(path, b"ElementDataFile")


def check_nrrd(path: Path) -> None:
    """Refuses a ``.nrrd`` or ``.nhdr`` header whose sizes or data file are impossible.

    Raises:
        CaseError: says which.
    """
    fields = dict(_nrrd_fields(path))
    dimensions = _whole(path, "dimension", fields.get("dimension", ""), 1, MAX_DIMENSIONS + 1)
    sizes = fields.get("sizes", "").split()
    if len(sizes) != dimensions:
        raise _wrong(path, "sizes and dimension do not fit")
    for text in sizes:
        _whole(path, "sizes", text, 1, _MAX_LENGTH)
    for name in ("line skip", "lineskip"):
        _whole(path, name, fields.get(name, "0"), 0, MAX_HEADER)
    for name in ("byte skip", "byteskip"):
        _whole(path, name, fields.get(name, "0"), -1, 1 << 40)
    for text in _quoted(fields.get("space units", "")):
        _check_unit(path, text)
    for text in filter(_OTHER_LENGTHS.match, _quoted(fields.get("units", ""))):  # an axis may be one of time
        _check_unit(path, text)
    data_file = fields.get("data file", fields.get("datafile", ""))
    if data_file:
        _check_data_file(path, data_file)
    elif fields.get("encoding", "").lower() in ("gzip", "gz"):
        _check_packed(path, b"\n", b"\r\n")


def has_orientation(path: Path) -> bool:
    """Whether a header that has passed its check says how the volume lies in the patient."""
    if path.suffix.lower() in (".mhd", ".mha"):
        fields = dict(_meta_fields(path))
        return bool(fields.keys() & _META_PLACES) or fields.get("anatomicalorientation", "").upper() == "RAI"
    space = dict(_nrrd_fields(path)).get("space", "")
    return bool(space) and not _SPACES_OF_NOTHING.match(space)


def nrrd_values(path: Path) -> dict[str, str]:
    """What is kept in a NRRD header beside its fields (``key:=value``): the names of segments, for example.

    Raises:
        CaseError: the header is no text.
    """
    values = {}
    for line in _lines(path):
        if not line.strip():
            break
        key, equals, value = line.partition(":=")
        if equals and not line.startswith("#"):
            values[key.strip()] = value.strip()
    return values


def data_files(path: Path) -> tuple[Path, ...]:
    """Other files that hold the voxels of this one: of a header alone (``.mhd``, ``.nhdr``, ``.hdr``), mostly;
    of an ``.img`` its header.

    Lists and patterns of files are left out: no volume of several files is read. A header that is none has no
    such files; whoever reads it says what is wrong.
    """
    try:
        name = _data_file(path)
    except (CaseError, OSError):
        return ()
    return (path.parent / name,) if name and "\0" not in name else ()


def _data_file(path: Path) -> str:
    suffix = path.suffix.lower()
    if header := header_beside(path):
        return header.name
    if suffix == ".hdr":
        voxels = voxels_beside(path)
        return voxels.name if voxels else ""
    if suffix not in (".mhd", ".mha", ".nhdr", ".nrrd") or path.stat().st_size > MAX_HEADER:
        return ""  # too large for a header: its voxels are in it
    if suffix in (".mhd", ".mha"):
        name = dict(_meta_fields(path))["elementdatafile"]
        return "" if name.upper() == "LOCAL" else name
    fields = dict(_nrrd_fields(path))
    return fields.get("data file", fields.get("datafile", ""))


def _meta_fields(path: Path) -> Iterator[tuple[str, str]]:
    """``key = value`` lines to ElementDataFile, the last; keys in lower case, NDims before lengths."""
    seen: set[str] = set()
    for line in _lines(path):
        key, equals, value = line.partition("=")
        name = key.strip().lower()
        if not equals or not 0 < len(name) <= 200 or (name in seen and name in _META_FIELDS):
            raise _wrong(path, f"a line of the header is {_shown(line)}")
        if name in (*_META_LISTS, *_META_MATRICES) and "ndims" not in seen:
            raise _wrong(path, f"{key.strip()} comes before NDims")
        seen.add(name)
        yield name, value.strip()
        if name == "elementdatafile":
            return
    raise _wrong(path, "the header has no ElementDataFile")


def _nrrd_fields(path: Path) -> Iterator[tuple[str, str]]:
    lines = _lines(path)
    if not re.fullmatch(r"NRRD000\d", next(lines, "").strip()):
        raise CaseError("this is not a NRRD file", path, "export it again, or correct its file name")
    for line in lines:
        if not line.strip():
            return
        key, colon, value = line.partition(":")
        if colon and not value.startswith("=") and not line.startswith("#"):
            yield key.strip().lower(), value.strip()


def _lines(path: Path) -> Iterator[str]:
    """Lines of text from the start of the file; what follows the header is not decoded."""
    with path.open("rb") as stream:
        head = stream.read(MAX_HEADER)
    for line in head.split(b"\n"):
        try:
            text = line.decode("utf-8").rstrip("\r")
        except UnicodeDecodeError:
            text = line.decode("latin-1").rstrip("\r")
        if any(ord(c) < 32 and c != "\t" for c in text):
            raise _wrong(path, "the header is no text")
        yield text


def _whole(path: Path, name: str, text: str, least: int, most: int) -> int:
    if not re.fullmatch(r"[+-]?\d{1,18}", text) or not least <= int(text) <= most:
        raise _wrong(path, f"{name} is {_shown(text)}")
    return int(text)


def _numbers(path: Path, fields: dict[str, str], name: str, count: int) -> None:
    if name not in fields:
        return
    texts = fields[name].split()
    if len(texts) != count or not all(_NUMBER.match(text) for text in texts):
        raise _wrong(path, f"{name} is {_shown(fields[name])}")


def _check_unit(path: Path, unit: str) -> None:
    """ITK takes every length for one in mm."""
    if not _MILLIMETRES.match(unit):
        raise CaseError(f"its lengths are in {_shown(unit)}, not in mm", path, "export it again in mm")


def _quoted(text: str) -> list[str]:
    """The texts of a NRRD field that has one for each axis."""
    return [found.strip() for found in re.findall(r'"([^"]*)"', text)]


def _check_data_file(path: Path, name: str) -> None:
    """One plain file: no list, no pattern, no device that never ends."""
    data = path.parent / name
    try:
        good = "\0" not in name and data.is_file()
    except OSError:
        good = False
    if not good:
        raise CaseError(
            f"its voxels should be in the one file {_shown(name)}, which is not there", path, "copy both files"
        )


def _check_packed(path: Path, *ends: bytes) -> None:
    """Unpacks the voxels once: ITK prints what is wrong with them, and goes on with whatever it has."""
    unpacker = zlib.decompressobj(47)
    try:
        with path.open("rb") as stream:
            while (line := stream.readline(MAX_HEADER)) and not line.startswith(ends):
                pass
            while (block := stream.read(1 << 16)) and not unpacker.eof:
                while block and not unpacker.eof:
                    unpacker.decompress(block, 1 << 24)  # bounded, whatever the file claims
                    block = unpacker.unconsumed_tail
    except zlib.error:
        raise _damaged(path) from None
    if not unpacker.eof:
        raise _damaged(path)


def _damaged(path: Path) -> CaseError:
    return CaseError("the file is cut off or damaged", path, "copy or export it again")


def _wrong(path: Path, what: str) -> CaseError:
    return CaseError(f"the header cannot be that of a volume ({what})", path, _EXPORT)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "...")
