"""Model bundles from strangers: damaged, hostile or too large. Each maker spoils a copy of the shipped one."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import shutil
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from GliomaGradingLib.networks.bundle import METADATA, find_bundles

WEIGHTS = "t1.pt"


def copy_of_shipped(place: Path) -> Path:
    """A whole bundle to spoil."""
    return Path(shutil.copytree(next(iter(find_bundles())), place / "bundle"))


def change(folder: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    path = folder / METADATA
    metadata = json.loads(path.read_text(encoding="utf-8"))
    edit(metadata)
    path.write_text(json.dumps(metadata), encoding="utf-8")
    return folder


def vouched(folder: Path, data: bytes) -> Path:
    """Other weights for T1, with the right size and hash in the metadata, as a hostile author would do it."""
    (folder / WEIGHTS).write_bytes(data)
    entry = {"file": WEIGHTS, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    return change(folder, lambda m: m["weights"].__setitem__("T1", entry))


def _text(folder: Path, text: str | bytes) -> Path:
    data = text.encode() if isinstance(text, str) else text
    (folder / METADATA).write_bytes(data)
    return folder


def _cut(folder: Path) -> Path:
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:-1000])
    return folder


def _flip(folder: Path) -> Path:
    path = folder / WEIGHTS
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    return folder


def _without(folder: Path, name: str) -> Path:
    (folder / name).unlink()
    return folder


def _replaced(folder: Path, name: str, make: Callable[[Path], object]) -> Path:
    path = folder / name
    path.unlink()
    make(path)
    return folder


def _outside(folder: Path) -> Path:
    """The right weights, but a link to another folder."""
    path = folder / WEIGHTS
    elsewhere = folder.parent / "elsewhere.pt"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    return folder


class _Evil:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch /tmp/glioma-grading-pwned",)


class _Huge:
    """A pickle that weights_only allows, and that takes all memory."""

    def __reduce__(self) -> tuple[type[bytearray], tuple[int]]:
        return bytearray, (1 << 38,)


def archive(pickled: bytes, packed: bool = False, extra: dict[str, bytes] | None = None) -> bytes:
    """What torch.save writes, around any pickle."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as file:
        file.writestr("archive/data.pkl", pickled)
        file.writestr("archive/version", b"3\n")
        for name, data in (extra or {}).items():
            file.writestr(f"archive/{name}", data)
    return buffer.getvalue()


def doubled(times: int) -> bytes:
    """A key that is a pair of the same pair, of the same pair, ...: its hash takes 2 to the ``times`` steps."""
    return b"\x80\x02})q\x00" + b"h\x00\x86q\x00" * times + b"Ns."


def doubled_behind_a_step(times: int) -> bytes:
    """The same, with an instruction that does nothing between each pair and its place in the memo."""
    return b"\x80\x02})q\x00" + b"h\x00\x86\x80\x02q\x00" * times + b"Ns."


def nested(times: int) -> bytes:
    """A key that is a tuple in a tuple, in a tuple, ...: its hash needs a stack that nobody has."""
    return b"\x80\x02})" + b"\x85" * times + b"Ns."


def saved(state: Any) -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def _state(folder: Path) -> dict[str, Any]:
    import torch

    return dict(torch.load(folder / WEIGHTS, weights_only=True))


def _expanded(folder: Path) -> Path:
    """A tensor of a terabyte in four bytes: one number with strides of zero."""
    import torch

    state = _state(folder)
    name = next(name for name in state if name.endswith("weight"))
    return vouched(folder, saved({**state, name: torch.zeros(1).expand(1 << 20, 1 << 18)}))


def _without_a_tensor(folder: Path) -> Path:
    state = _state(folder)
    return vouched(folder, saved(dict(list(state.items())[1:])))


def _without_a_scale(folder: Path) -> Path:
    state = _state(folder)
    name = next(name for name in state if name.endswith(".scale"))
    return vouched(folder, saved({k: v for k, v in state.items() if k != name}))


def _not_finite(folder: Path) -> Path:
    state = _state(folder)
    name = next(name for name in state if name.endswith(".scale"))
    return vouched(folder, saved({**state, name: state[name] * float("nan")}))


def _quadratic(folder: Path) -> Path:
    """Scales that are no channels': a few kB whose products are half a gigabyte each."""
    import torch

    pairs = {f"a{k}.q8": torch.zeros(1, 11_000, dtype=torch.int8) for k in range(4)}
    scales = {f"a{k}.scale": torch.zeros(11_000) for k in range(4)}
    return vouched(folder, saved({**_state(folder), **pairs, **scales}))


def _changed(folder: Path, ending: str, change_of: Callable[[Any], Any]) -> Path:
    """One tensor is another: the first whose name ends so."""
    state = _state(folder)
    name = next(name for name in state if name.endswith(ending))
    return vouched(folder, saved({**state, name: change_of(state[name])}))


def _value(folder: Path, *keys: str, value: Any) -> Path:
    def edit(metadata: dict[str, Any]) -> None:
        for key in keys[:-1]:
            metadata = metadata[key]
        metadata[keys[-1]] = value

    return change(folder, edit)


def _raw_number(folder: Path, text: str) -> Path:
    """A number that json.dumps would not write."""
    change(folder, lambda m: m["calibration"]["together"].__setitem__("slope", "HERE"))
    path = folder / METADATA
    return _text(folder, path.read_text(encoding="utf-8").replace('"HERE"', text))


BUNDLES: dict[str, Callable[[Path], Path]] = {
    "no such folder": lambda b: b / "none",
    "metadata missing": lambda b: _without(b, METADATA),
    "metadata empty": lambda b: _text(b, ""),
    "metadata is no JSON": lambda b: _text(b, "{"),
    "metadata is a list": lambda b: _text(b, "[]"),
    "metadata is no UTF-8": lambda b: _text(b, b"\xff\xfe\x00"),
    "metadata of another schema": lambda b: _value(b, "schema", value="other/1"),
    "metadata nested 100,000 deep": lambda b: _text(b, "[" * 100_000),
    "metadata of 2 MB": lambda b: _text(b, b" " * (2 << 20)),
    "metadata is a pipe": lambda b: _replaced(b, METADATA, os.mkfifo),
    "metadata is a device that never ends": lambda b: _replaced(
        b, METADATA, lambda p: p.symlink_to("/dev/zero")
    ),
    "metadata is a link out of the folder": lambda b: _replaced(
        b, METADATA, lambda p: p.symlink_to("/etc/hostname")
    ),
    "no calibration": lambda b: _value(b, "calibration", value={}),
    "a calibration of NaN": lambda b: _raw_number(b, "NaN"),
    "a calibration of 1e999": lambda b: _raw_number(b, "1e999"),
    "a calibration that is a text": lambda b: _value(b, "calibration", "together", "slope", value="1"),
    "a calibration of 400 digits": lambda b: _raw_number(b, "1" + "0" * 400),
    "a decision of 400 digits": lambda b: _value(b, "decision", "low", value=10**400),
    "a decision upside down": lambda b: _value(b, "decision", value={"low": 0.9, "high": 0.6}),
    "a decision beyond 1": lambda b: _value(b, "decision", "high", value=1.5),
    "a familiarity of 400 digits": lambda b: _value(b, "familiarity", "unlike", value=10**400),
    "an image that is clipped to nothing": lambda b: _value(b, "input", "image", "low", value=99),
    "an image without a gain": lambda b: _value(b, "input", "image", "gain", value=0),
    "an image with a gain of 1e300": lambda b: _value(b, "input", "image", "gain", value=1e300),
    "an image of 20 pixels": lambda b: _value(b, "input", "image", "pixels", value=20),
    "a region of 10^9 pixels": lambda b: _value(b, "input", "region", "pixels", value=10**9),
    "a region of pixels of 1e-9 mm": lambda b: _value(b, "input", "region", "pixel_mm", value=1e-9),
    "a margin of 10^9 planes": lambda b: _value(b, "input", "region", "margin", value=10**9),
    "an image of 10^6 pixels": lambda b: _value(b, "input", "image", "pixels", value=10**6),
    "an image of half a pixel": lambda b: _value(b, "input", "image", "pixels", value=64.5),
    "an image kind that nobody knows": lambda b: _value(b, "input", "image", "channels", value="who"),
    "a name that is an object": lambda b: _value(b, "name", value={"a": 1}),
    "a name of 100,000 letters": lambda b: _value(b, "name", value="x" * 100_000),
    "a name with an escape sequence": lambda b: _value(b, "name", value="\x1b[31mred"),
    "a backbone that nobody knows": lambda b: _value(b, "backbone", value="vgg"),
    "no weights": lambda b: _value(b, "weights", value={}),
    "weights for one sequence": lambda b: _value(b, "weights", value={"T1": {}}),
    "weights above the folder": lambda b: _value(b, "weights", "T1", "file", value="../t1.pt"),
    "weights at an absolute path": lambda b: _value(b, "weights", "T1", "file", value="/etc/passwd"),
    "weights with a null character": lambda b: _value(b, "weights", "T1", "file", value="t1\0.pt"),
    "weights of a negative size": lambda b: _value(b, "weights", "T1", "bytes", value=-1),
    "weights missing": lambda b: _without(b, WEIGHTS),
    "weights cut": _cut,
    "weights with a flipped bit": _flip,
    "weights are a link out of the folder": _outside,
    "weights are a folder": lambda b: _replaced(b, WEIGHTS, os.mkdir),
    "weights are a pipe": lambda b: _replaced(b, WEIGHTS, os.mkfifo),
    "weights are a device that never ends": lambda b: _replaced(
        b, WEIGHTS, lambda p: p.symlink_to("/dev/zero")
    ),
    "weights are a text": lambda b: vouched(b, b"hello"),
    "weights are a pickle that runs a program": lambda b: vouched(b, pickle.dumps(_Evil())),
    "weights are an archive whose pickle runs a program": lambda b: vouched(
        b, archive(pickle.dumps(_Evil(), 2))
    ),
    "weights are a pickle that takes 256 GB": lambda b: vouched(b, archive(pickle.dumps(_Huge(), 2))),
    "weights are packed a thousandfold": lambda b: vouched(
        b, archive(pickle.dumps(OrderedDict(), 2), packed=True, extra={"data/0": bytes(80 << 20)})
    ),
    "weights have a key that takes for ever to hash": lambda b: vouched(b, archive(doubled(60))),
    "weights have a key that takes for ever, in disguise": lambda b: vouched(
        b, archive(doubled_behind_a_step(60))
    ),
    "weights have a key nested 900,000 deep": lambda b: vouched(b, archive(nested(900_000))),
    "weights hold a tensor of a terabyte in four bytes": _expanded,
    "weights lack a tensor": _without_a_tensor,
    "weights lack a scale": _without_a_scale,
    "weights hold NaN": _not_finite,
    "weights overflow when they are unpacked": lambda b: _changed(b, ".scale", lambda s: s * 0 + 3e38),
    "weights have scales of a gigabyte in a few bytes": _quadratic,
    "weights divide by zero": lambda b: _changed(b, "output.deviation", lambda d: d * 0),
    "weights are so large that the network gives no number": lambda b: _changed(
        b, "output.linear.weight", lambda w: w * 0 + 3e38
    ),
    "weights are a list": lambda b: vouched(b, saved([1, 2])),
    "weights are numbers": lambda b: vouched(b, saved({"a": 1})),
}

WORDS: dict[str, str] = dict.fromkeys(BUNDLES, "metadata.json")
WORDS.update({name: WEIGHTS for name in BUNDLES if name.startswith("weights ")})
WORDS.update(
    {
        "no such folder": "no model bundle",
        "metadata missing": "no model bundle",
        "weights for one sequence": "metadata.json",
        "weights above the folder": "leaves the bundle",
        "weights at an absolute path": "leaves the bundle",
        "weights with a null character": "metadata.json",
        "weights of a negative size": "metadata.json",
    }
)
