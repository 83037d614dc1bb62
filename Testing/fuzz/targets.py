"""What the fuzzer calls: each takes bytes, and raises only where the code under test is wrong."""

from __future__ import annotations

import gzip
import io
import math
import os
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from GliomaGradingLib.errors import BundleError, CaseError, GliomaGradingError
from GliomaGradingLib.reading.imaging import read_layers
from GliomaGradingLib.volume import Volume
from GliomaGradingLib.worker.arrays import MappedFile, open_request
from GliomaGradingLib.worker.protocol import (
    EVENTS,
    ProtocolError,
    check_request,
    decode,
    encode,
    error_from_event,
    read_lines,
)
from GliomaGradingLib.worker.server import Channel, Server

from .seeds import FORMATS

_FOLDER = Path(tempfile.mkdtemp(prefix="glioma-fuzz-"))


def readers(data: bytes) -> None:
    """A file of any format: a CaseError of one line, or volumes that are what a Volume has to be."""
    suffix = FORMATS[data[0] % len(FORMATS)] if data else ".nii"
    path = _FOLDER / f"a{suffix}"
    path.write_bytes(gzip.compress(data[1:], 1) if suffix == ".nii.gz" else data[1:])
    try:
        layers = read_layers(path)
    except CaseError as error:
        _check_error(error)
        return
    for volume in layers:
        _check_volume(volume)


def _check_volume(volume: Volume) -> None:
    assert volume.array.ndim == 3 and volume.array.size and volume.array.dtype.kind in "biuf"
    assert np.isfinite(volume.array).all(), "not every voxel is a number"
    assert np.isfinite(volume.spacing).all() and min(volume.spacing) > 0
    assert np.isfinite(volume.origin).all()
    assert np.abs(volume.direction.T @ volume.direction - np.eye(3)).max() <= 1.1e-3


def _check_error(error: GliomaGradingError) -> None:
    text = str(error)
    assert "\n" not in text and text.isprintable(), text
    assert error.problem and error.remedy, text
    assert len(text) < 2000, text


class _Engine:
    """Answers everything; the server around it is what is tried."""

    def load(self, bundle: str | None, device: str, progress: Callable[..., None]) -> dict[str, Any]:
        return {}

    def grade(self, volumes: Mapping[str, Any], *_: Any) -> dict[str, Any]:
        return {name: float(volume.array.astype(float).sum()) for name, volume in volumes.items()}


def protocol(data: bytes) -> None:
    """Bytes from a client, and the same bytes as a child's events."""
    images = _FOLDER / "volumes.raw"
    if not images.is_file():
        images.write_bytes(bytes(range(256)))
    data = data.replace(b"FILE", os.fsencode(images)).replace(b"OUT", os.fsencode(_FOLDER / "output.raw"))
    for line in read_lines(io.BytesIO(data), 4096):
        _one_line(line, images)
    _serve(data)
    (_FOLDER / "output.raw").unlink(missing_ok=True)
    assert images.stat().st_size == 256


def _one_line(line: bytes | None, images: Path) -> None:
    if line is None:
        return
    try:
        message = decode(line)
    except ProtocolError:
        return
    assert decode(encode(message)) == message
    error = error_from_event(message)
    assert "\n" not in str(error)
    try:
        check_request(message)
    except ProtocolError as refused:
        assert "\n" not in str(refused)
    mapped = MappedFile()
    try:
        if isinstance(message.get("arrays"), dict):
            volumes = open_request(mapped, message["arrays"])
            assert all(v.array.size * v.array.itemsize <= 256 for v in volumes.values())
            del volumes
    except ProtocolError:
        pass
    finally:
        mapped.close()


def _serve(data: bytes) -> None:
    """The whole server: every line is answered or ignored, and a ping at the end still is."""
    probe = 987_654_321
    lines = [line for line in data.split(b"\n") if b"shutdown" not in line]
    answers = io.BytesIO()
    done = threading.Event()

    class Requests(io.BytesIO):
        def readline(self, size: Any = -1) -> bytes:
            line = super().readline(size)
            if not line:
                done.wait(5)
            return line

    class Answers(io.BytesIO):
        def write(self, line: Any) -> int:
            event = decode(bytes(line))
            assert event["event"] in EVENTS, event
            if event.get("id") == probe and event["event"] == "result":
                done.set()
            return answers.write(line)

    requests = b"\n".join([*lines, b'{"kind": "ping", "id": %d}' % probe, b""])
    server = Server(_Engine, Requests(requests), Channel(Answers(), print), lambda _: server.stop())  # type: ignore[arg-type]
    server.run()
    assert done.is_set(), "the server no longer answers"


def bundle(data: bytes) -> None:
    """A bundle's metadata: a BundleError of one line, or a bundle whose numbers are usable."""
    from GliomaGradingLib.networks.bundle import METADATA, open_bundle

    folder = _FOLDER / "bundle"
    folder.mkdir(exist_ok=True)
    (folder / METADATA).write_bytes(data)
    try:
        opened = open_bundle(folder)
    except BundleError as error:
        _check_error(error)
        return
    form, image, calibration = opened.inputForm(), opened.imageForm(), opened.calibration()
    assert 2 <= form.pixels <= 4096 and 2 <= image.pixels <= 4096
    probabilities = [
        platt.probability(1.0) for platt in (*calibration.sequences.values(), calibration.together)
    ]
    assert all(math.isfinite(p) for p in probabilities), probabilities
    assert all(len(text) < 1000 and text.isprintable() for text in opened.description().values())
    try:
        opened.verify()
    except BundleError as error:
        _check_error(error)


def weights(data: bytes) -> None:
    """A weight file that its metadata vouches for: only a BundleError may come of it."""
    from GliomaGradingLib.networks.bundle_files import read_weights

    try:
        tensors = read_weights(data, _FOLDER / "t1.pt")
    except BundleError as error:
        _check_error(error)
        return
    assert sum(t.numel() for t in tensors.values()) <= len(data)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "readers": readers,
    "protocol": protocol,
    "bundle": bundle,
    "weights": weights,
}
