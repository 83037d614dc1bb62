"""A stranger's bundle is data: its files are bounded, plain and in its folder before they are made use of."""

from __future__ import annotations

import io
import json
import math
import os
import pickle
import pickletools
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from ..errors import BundleError
from .image_form import CHANNEL_RULES

if TYPE_CHECKING:
    from torch import Tensor

INSTALL_AGAIN = "install GliomaGrading again, or choose another bundle with --bundle"
LARGEST_METADATA = 1 << 20
LARGEST_WEIGHTS = 64 << 20
LARGEST_PICKLE = 1 << 20
PICKLE = "data.pkl"
MOST_ENTRIES = 4096
_ENTRY = b"PK\1\2"
"""What each entry of an archive's table begins with."""
LONGEST_TEXT = 200

_OPCODES = {
    *("PROTO", "MARK", "STOP", "GLOBAL", "REDUCE", "BINPERSID", "NEWTRUE", "NEWFALSE", "NONE"),
    *("BINGET", "LONG_BINGET", "BINPUT", "LONG_BINPUT", "BINUNICODE", "SETITEM", "SETITEMS"),
    *("BININT", "BININT1", "BININT2", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_DICT"),
}

_SHARED = {"GLOBAL", "BINUNICODE"}
"""What may be kept and fetched again. ``hash`` of a pair of the same pair, of the same pair, has no end after
a hundred of them, which are 500 bytes."""

_DEEPEST = 16
"""Values within values; torch writes 6. ``hash`` of a tuple within 100,000 tuples ends the process."""

_BOUNDS: dict[tuple[str, str], tuple[float, float]] = {
    ("region", "pixels"): (2, 1024),
    ("region", "pixel_mm"): (0.1, 20),
    ("region", "plane_mm"): (0.1, 20),
    ("region", "margin"): (0, 64),
    ("image", "pixels"): (32, 1024),  # GoogLeNet halves its images five times
    ("image", "offset_mm"): (0, 20),
    ("image", "low"): (-1000, 1000),
    ("image", "high"): (-1000, 1000),
    ("image", "gain"): (1e-3, 1e4),
}


def read_file(path: Path, largest: int) -> bytes:
    """A plain file of the bundle's own folder, of at most ``largest`` bytes.

    Raises:
        BundleError: it is missing, a link out of the folder, no plain file, or larger.
    """
    try:
        if not path.resolve().is_relative_to(path.parent.resolve()):
            raise BundleError("the file is a link out of the bundle", path, INSTALL_AGAIN)
        # a pipe would be waited for, and a device never ends: nothing is read before it is known to be a file
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise BundleError("this is not a plain file", path, INSTALL_AGAIN)
            data = stream.read(largest + 1)
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BundleError(f"the file cannot be read ({reason})", path, INSTALL_AGAIN) from error
    if len(data) > largest:
        raise BundleError(f"the file is too large (more than {largest} bytes)", path, INSTALL_AGAIN)
    return data


def read_json(path: Path) -> Any:
    """The JSON of a bundle's file; no NaN, no infinity, no number without an end.

    Raises:
        BundleError: it cannot be read, or is no JSON.
    """
    return parse_json(read_file(path, LARGEST_METADATA), path)


def parse_json(data: bytes, path: Path) -> Any:
    """As ``read_json``, of what is to stand in ``path``."""
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_refused, parse_float=_finite, parse_int=_whole)
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:LONGEST_TEXT]
        raise BundleError(f"the bundle's metadata cannot be read ({reason})", path, INSTALL_AGAIN) from error


def check_metadata(metadata: Mapping[str, Any]) -> None:
    """Names are short words, and sizes are those of an image and not of a memory.

    Raises:
        KeyError, TypeError, ValueError: something is missing or impossible.
    """
    for name in ("name", "version", "backbone"):
        text = metadata[name]
        if not is_short_text(text):
            raise ValueError(f"{name} is no short text")
    if not isinstance(metadata.get("card", ""), str) or not metadata.get("card", "").isprintable():
        raise ValueError("card is no text")
    for entry in metadata["weights"].values():
        if type(entry["bytes"]) is not int or not 0 < entry["bytes"] <= LARGEST_WEIGHTS:
            raise ValueError(f"a weight file of {str(entry['bytes'])[:40]} bytes")
        if not isinstance(entry["sha256"], str):
            raise ValueError("a hash is no text")
    if metadata["input"]["image"].get("channels", "same") not in CHANNEL_RULES:
        raise ValueError("the image has channels that nobody knows")
    for (part, name), (least, most) in _BOUNDS.items():
        value = metadata["input"][part].get(name, least)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
            raise ValueError(f"{name} of {part} is not between {least} and {most}")


def is_short_text(text: Any) -> bool:
    """What a bundle may be called."""
    return isinstance(text, str) and 0 < len(text) <= LONGEST_TEXT and text.isprintable()


def read_weights(data: bytes, path: Path) -> dict[str, Tensor]:
    """The tensors of a weight file, as stored.

    Nothing is unpacked, called or allocated that the file's own bytes do not hold.

    Args:
        path: where the data came from, for messages.

    Raises:
        BundleError: this is not what ``torch.save`` writes for a dictionary of tensors.
    """
    import torch

    try:
        if data.count(_ENTRY) > MOST_ENTRIES:
            raise ValueError(f"the archive has more than {MOST_ENTRIES} entries")
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            arrays = _Weights(archive, check_archive(archive, len(data)), len(data)).load()
        _check_arrays(arrays)
    except Exception as error:  # pickle, zipfile and numpy raise many kinds for foreign or damaged content
        raise unfit(error, path) from error
    return {name: torch.from_numpy(stored.values) for name, stored in arrays.items()}


def unfit(error: Exception, path: Path) -> BundleError:
    reason = " ".join(str(error).split())[:LONGEST_TEXT]
    return BundleError(f"the weights do not fit the network ({reason})", path, INSTALL_AGAIN)


def check_archive(archive: zipfile.ZipFile, size: int) -> str:
    """The name of the pickle in an unpacked archive, which builds a dictionary of tensors.

    Args:
        size: bytes of the whole file.

    Raises:
        ValueError: this is no such archive.
    """
    entries = archive.infolist()
    if any(e.compress_type != zipfile.ZIP_STORED or e.file_size != e.compress_size for e in entries):
        raise ValueError("the archive is compressed")
    if sum(e.file_size for e in entries) > size:
        raise ValueError("the archive's entries overlap")
    pickles = [e for e in entries if e.filename.endswith(PICKLE)]
    if len(pickles) != 1 or pickles[0].file_size > LARGEST_PICKLE:
        raise ValueError("the archive has not one small pickle")
    check_pickle(archive.read(pickles[0]))
    return pickles[0].filename


class _Stored(NamedTuple):
    """What stands for a tensor; nothing that a pickle can do to it has an effect."""

    values: np.ndarray


class _Weights(pickle.Unpickler):
    """Reads the tensors of a checked archive by itself.

    torch reads such a file in other ways than zipfile: of one that is two archives, or begins with something
    else, it may see what was never checked. Its own safety has had holes, and users have it in any version.
    """

    def __init__(self, archive: zipfile.ZipFile, name: str, room: int) -> None:
        super().__init__(io.BytesIO(archive.read(name)))
        self._archive, self._folder, self._room = archive, name.removesuffix(PICKLE), room
        self._storages: dict[tuple[str, str], np.ndarray] = {}
        order = f"{self._folder}byteorder"
        if order in archive.namelist() and archive.read(order) != b"little":
            raise ValueError("the weights are not little-endian")

    def find_class(self, module: str, name: str) -> Any:
        known = f"{module} {name}"
        if known not in _NAMES:
            raise ValueError(f"the weights name {module}.{name}"[:LONGEST_TEXT])
        return self._tensor if known == _TENSOR else _KINDS.get(known, dict)

    def persistent_load(self, saved: Any) -> np.ndarray:
        """The numbers of a storage: ("storage", kind, record, device, count)."""
        what, kind, record, _device, count = saved
        if what != "storage" or kind not in _KINDS.values():
            raise ValueError("the weights lie in no storage")
        if (kind, record) not in self._storages:
            content = self._archive.read(f"{self._folder}data/{record}")
            self._storages[kind, record] = np.frombuffer(content, kind)
        values = self._storages[kind, record]
        if len(values) != count:
            raise ValueError("a storage is not as long as it says")
        return values

    def _tensor(
        self, values: np.ndarray, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
    ) -> _Stored:
        """A tensor's numbers, of their own, in C order; together no more than the file has room for."""
        places = (offset, *size, *stride)
        if len(size) != len(stride) or any(type(place) is not int or place < 0 for place in places):
            raise ValueError("a tensor has no shape")
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        count = math.prod(map(int, size))
        self._room -= count * values.itemsize
        if count > len(values) or (count and last >= len(values)) or self._room < 0:
            raise ValueError("a tensor claims more numbers than its storage holds")
        steps = [step * values.itemsize for step in stride]
        view = np.lib.stride_tricks.as_strided(values[offset:], size, steps, writeable=False)
        return _Stored(np.array(view, order="C"))


_KINDS = {"torch FloatStorage": "<f4", "torch HalfStorage": "<f2", "torch CharStorage": "i1"}
_TENSOR = "torch._utils _rebuild_tensor_v2"
_NAMES = {"collections OrderedDict", _TENSOR, *_KINDS}
"""All that a weight file may name."""


def check_pickle(pickled: bytes) -> None:
    """Raises ValueError where a pickle does or nests what a dictionary of tensors does not need."""
    depths: list[int | None] = []  # of the values on the stack; None is a mark
    kept: dict[Any, bool] = {}  # by place: is it a text or a name?
    before = ""
    for count, (opcode, argument, _) in enumerate(pickletools.genops(pickled)):
        if opcode.name not in _OPCODES or (opcode.name == "GLOBAL" and argument not in _NAMES):
            raise ValueError(f"the weights hold {opcode.name} {str(argument)[:60]}")
        if opcode.name.endswith("BINPUT"):
            if cast(int, argument) > count:  # all places below it are made, too
                raise ValueError("the weights keep a value in a place far off")
            kept[argument] = before in _SHARED
        elif opcode.name.endswith("BINGET") and not kept.get(argument, False):
            raise ValueError("the weights use one value in two places")
        _follow(opcode, depths)
        before = opcode.name


def _follow(opcode: pickletools.OpcodeInfo, depths: list[int | None]) -> None:
    """An instruction takes values from the stack, and leaves one that is deeper than all of them."""
    taken = _taken(opcode, depths)
    for left in opcode.stack_after:
        depths.append(None if left is pickletools.markobject else 1 + max(taken, default=0))
    if depths and depths[-1] is not None and depths[-1] > _DEEPEST:
        raise ValueError(f"the weights nest values more than {_DEEPEST} deep")


def _taken(opcode: pickletools.OpcodeInfo, depths: list[int | None]) -> list[int]:
    """The depths that an instruction takes from the stack: all above the last mark, where it wants them."""
    wanted = list(opcode.stack_before)
    taken: list[int] = []
    if pickletools.markobject in wanted:
        while depths and (depth := depths.pop()) is not None:
            taken.append(depth)
        wanted = wanted[: wanted.index(pickletools.markobject)]
    for _value in wanted:
        if not depths or (depth := depths.pop()) is None:
            raise ValueError(f"the weights lack a value for {opcode.name}")
        taken.append(depth)
    return taken


def _check_arrays(tensors: Any) -> None:
    if not isinstance(tensors, dict) or not all(isinstance(t, _Stored) for t in tensors.values()):
        raise ValueError("not a dictionary of tensors")
    if not all(isinstance(n, str) and bool(np.isfinite(t.values).all()) for n, t in tensors.items()):
        raise ValueError("a weight is NaN or infinite")


def _refused(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _whole(text: str) -> int:
    _finite(text)  # whole numbers are reckoned with as floats, too
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is too large for a number")
    return value
