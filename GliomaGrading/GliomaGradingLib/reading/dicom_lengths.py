"""Whether the data elements of a DICOM file end before the file does.

GDCM takes the memory that an element claims before it reads it: a file of 700 bytes took gigabytes (found by
fuzzing: ``Testing/fuzz``). What is refused here never gets there. Encoding: DICOM PS3.5, section 7.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from ..errors import CaseError

_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
_UNDEFINED = 0xFFFFFFFF
_ITEM, _END_OF_ITEM, _END_OF_SEQUENCE = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)
_TRANSFER_SYNTAX, _PHOTOMETRIC, _PIXELS = (0x0002, 0x0010), (0x0028, 0x0004), (0x7FE0, 0x0010)
_ANY_PIXELS = (_PIXELS, (0x7FE0, 0x0008), (0x7FE0, 0x0009))
_COUNTS = ((0x0028, 0x0010), (0x0028, 0x0011), (0x0028, 0x0100), (0x0028, 0x0002))
"""Rows, columns, bits allocated and samples of a pixel: 16-bit numbers."""

_BIG_ENDIAN, _DEFLATED, _IMPLICIT = b"1.2.840.10008.1.2.2", b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2"


def check_lengths(path: Path) -> None:
    """Walks from element to element without reading values.

    Raises:
        CaseError: an element claims more bytes than the file has left.
    """
    _walk(path)


def _walk(path: Path) -> _Walk:
    size = path.stat().st_size
    with path.open("rb") as stream:
        if stream.read(132)[128:] != b"DICM":
            stream.seek(0)
        walk = _Walk(path, stream, size)
        walk.run()
    return walk


def is_without_pixels(path: Path) -> bool:
    """True for a file that is whole and has no pixels, nor rows whose pixels are missing; icons do not count.

    Raises:
        CaseError: as ``check_lengths``.
    """
    walk = _walk(path)
    return walk.is_whole and not walk.has_pixels and not walk.has_rows


class _Walk:
    """One file's elements, sequences and their items in a row; only lengths are looked at."""

    def __init__(self, path: Path, stream: BinaryIO, size: int) -> None:
        self._path, self._stream, self._size = path, stream, size
        self._order, self._implicit, self._syntax = "<", False, b""
        self._in_pixels = self.has_pixels = self.is_whole = False
        self._depth, self._end_of_sequence = 0, 0  # of sequences without a length, and of one with
        self._values: dict[tuple[int, int], int] = {}
        self._is_halved = False

    def run(self) -> None:
        while len(head := self._stream.read(8)) == 8:
            tag = self._tag(head)
            if self._syntax == _DEFLATED:
                return  # the rest is one compressed stream
            kind, length = self._kind_and_length(tag, head)
            self.has_pixels = self.has_pixels or (tag in _ANY_PIXELS and not self._is_within())
            if tag in (_END_OF_ITEM, _END_OF_SEQUENCE) or length == _UNDEFINED:
                self._in_pixels = self._in_pixels or tag == _PIXELS
                self._depth = max(0, self._depth + _step(tag))
                continue
            if self._stream.tell() + length > self._size:
                raise CaseError(
                    f"the file is cut off or damaged (an element claims {length} bytes)",
                    self._path,
                    "copy or export it again",
                )
            self._enter(tag, kind, length)
        self.is_whole = not head and self._depth == 0

    @property
    def has_rows(self) -> bool:
        return _COUNTS[0] in self._values

    def _tag(self, head: bytes) -> tuple[int, int]:
        tag = struct.unpack_from("<HH", head)
        if tag[0] == 2:
            return tag
        self._order = ">" if self._syntax == _BIG_ENDIAN else "<"
        self._implicit = self._syntax == _IMPLICIT
        return struct.unpack_from(f"{self._order}HH", head)  # type: ignore[return-value]

    def _kind_and_length(self, tag: tuple[int, int], head: bytes) -> tuple[bytes, int]:
        kind = head[4:6]
        if tag[0] == 0xFFFE or (self._implicit and tag[0] != 2) or not (kind.isalpha() and kind.isupper()):
            return b"", struct.unpack_from(f"{self._order}I", head, 4)[0]
        if kind not in _LONG:
            return kind, struct.unpack_from(f"{self._order}H", head, 6)[0]
        longer = self._stream.read(4)
        return kind, struct.unpack(f"{self._order}I", longer)[0] if len(longer) == 4 else 0

    def _enter(self, tag: tuple[int, int], kind: bytes, length: int) -> None:
        """Past the value; into a sequence or an item, which hold elements."""
        is_within = self._is_within()
        if tag == _TRANSFER_SYNTAX and length < 128:
            self._syntax = self._stream.read(length).strip(b"\0 ")
        elif tag in _COUNTS and length == 2 and not is_within:
            self._values[tag] = struct.unpack(f"{self._order}H", self._stream.read(2))[0]
        elif tag == _PHOTOMETRIC and length < 32 and not is_within:
            self._is_halved = self._stream.read(length).strip(b"\0 ").endswith(b"_422")
        elif kind == b"SQ":
            self._end_of_sequence = max(self._end_of_sequence, self._stream.tell() + length)
        elif tag != _ITEM or self._in_pixels:
            if not is_within:
                self._check_pixels(tag, length)
            self._stream.seek(length, 1)

    def _is_within(self) -> bool:
        """True if the element that was read last belongs to an item of a sequence."""
        return self._depth > 0 or self._stream.tell() <= self._end_of_sequence

    def _check_pixels(self, tag: tuple[int, int], length: int) -> None:
        """GDCM fills up what is missing of a frame, and says nothing.

        What an item of a sequence says of rows and columns (an icon's, a private image's) is not this image's.
        """
        rows, columns, bits, samples = (self._values.get(name, 1) for name in _COUNTS)
        samples = 2 if self._is_halved else samples  # two pixels share their colour: PS3.3 C.7.6.3.1.2
        if tag == _PIXELS and length < rows * columns * bits * samples // 8:
            raise CaseError(
                f"the file is cut off or damaged (it has {length} bytes of pixels)",
                self._path,
                "copy or export it again",
            )


def _step(tag: tuple[int, int]) -> int:
    """Into an element without a length, whose items follow, or out of it; an item's own ends change nothing."""
    return -1 if tag == _END_OF_SEQUENCE else 0 if tag in (_ITEM, _END_OF_ITEM) else 1
