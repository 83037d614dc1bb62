"""The synthetic case in Slicer's Sample Data module: made on this computer, nothing is downloaded."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import slicer

from ..sample import sample_identifier, write_sample_case
from .failures import explained
from .folders import remove_node

CATEGORY = "GliomaGrading"
SAMPLES = {"hgg": "GliomaGradingSampleHGG", "lgg": "GliomaGradingSampleLGG"}
"""Sample names by preset."""

_PARTS = ("t1", "t2", "flair", "seg")
_making: set[str] = set()


def register(icons: Path) -> None:
    """Adds the samples to Slicer's Sample Data module.

    Only its buttons make them: ``SampleData.downloadSample`` looks at nothing but URIs.

    Args:
        icons: folder of the thumbnails, ``<sample name>.png``.
    """
    import SampleData

    known = {source.sampleName for source in SampleData.SampleDataLogic.sampleDataSourcesByCategory(CATEGORY)}
    for preset in (one for one, name in SAMPLES.items() if name not in known):
        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category=CATEGORY,
            sampleName=SAMPLES[preset],
            uris=[],  # Slicer counts them, also where there is nothing to be downloaded
            fileNames=[],
            thumbnailFileName=str(icons / f"{SAMPLES[preset]}.png"),
            customDownloader=lambda source, preset=preset: load_sample(preset),
        )


def load_sample(preset: str = "hgg") -> list[Any]:
    """T1, T2 and FLAIR volumes and the segmentation of the synthetic case; made the first time it is asked for.

    Files of an earlier time that cannot be loaded any more are made once more. Slicer's events are handled
    meanwhile. Asked again before it is there, it gives nothing.

    Raises:
        GliomaGradingError: the files cannot be written, or something else went wrong.
    """
    if preset in _making:
        return []
    _making.add(preset)
    try:
        folder = sample_folder(preset)
        if all(path.is_file() for path in _files(folder, preset)):
            with suppress(Exception):  # damaged since; what is wrong is said if it is again
                return _load(folder, preset)
        _remake(folder, preset)
        return _load(folder, preset)
    except Exception as error:
        raise explained(error) from error
    finally:
        _making.discard(preset)


def sample_folder(preset: str) -> Path:
    """Where the sample's files lie between two uses."""
    return Path(slicer.app.cachePath or slicer.app.temporaryPath) / sample_identifier(preset)


def _files(folder: Path, preset: str) -> list[Path]:
    return [folder / f"{sample_identifier(preset)}_{part}.nii.gz" for part in _PARTS]


def _remake(folder: Path, preset: str) -> None:
    for path in _files(folder, preset):
        path.unlink(missing_ok=True)
    _make(folder, preset)


def _make(folder: Path, preset: str) -> None:
    """Makes the files on a thread, for seconds; Slicer stays awake."""
    problems: list[Exception] = []

    def work() -> None:
        try:
            write_sample_case(folder, preset)
        except Exception as error:  # nobody sees what a thread raises
            problems.append(error)

    thread = threading.Thread(target=work, name="GliomaGrading sample", daemon=True)
    thread.start()
    while thread.is_alive():
        slicer.app.processEvents()
        time.sleep(0.02)
    if problems:
        raise problems[0]


def _load(folder: Path, preset: str) -> list[Any]:
    """All four nodes, or none."""
    paths = [str(path) for path in _files(folder, preset)]
    nodes: list[Any] = []
    try:
        for path in paths[:3]:
            nodes.append(slicer.util.loadVolume(path))
        nodes.append(slicer.util.loadSegmentation(paths[3]))
        nodes[3].CreateClosedSurfaceRepresentation()
    except Exception:
        for node in nodes:
            remove_node(node)
        raise
    return nodes
