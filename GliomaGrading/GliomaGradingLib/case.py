"""A case: three sequences and a tumour mask of one patient, read and checked."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from .blank_ends import without_blank_ends
from .case_checks import (
    Labels,
    check_case,
    labels_of,
    tumour_parts,
    whole_tumour,
)
from .case_files import ROLES, case_identifier, find_case_files
from .errors import CaseError, UsageError
from .reading.dicom_study import resolve
from .reading.imaging import finite, make_readers_known, read_layers, read_volume, rectified
from .result import Notice
from .skipped_slices import without_skipped_slices
from .volume import Volume, itk_array
from .words import SEQUENCES

PathText = str | os.PathLike[str]
_IDENTITY = np.eye(3)


@dataclass(frozen=True, eq=False)
class Case:
    """Three sequences and the whole-tumour mask of one patient, each on its own grid.

    Made by ``read``, ``fromFiles`` or ``fromArrays``, which check it.

    Args:
        identifier: what the case is called in results.
        images: a Volume by sequence (T1, T2, FLAIR): native grid, rescale slope applied.
        mask: uint8 0/1, the whole tumour, on its own grid.
        warnings: what the reader of the result has to know.
        sources: the file or folder each came from, by T1, T2, FLAIR and mask.
        maskLabels: the labels that were chosen for the tumour; None where all are.
        parts: uint8, the tumour's labels as the mask has them, on the mask's grid; only where they were asked
            for, to learn from.
    """

    identifier: str
    images: Mapping[str, Volume]
    mask: Volume
    warnings: tuple[Notice, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    maskLabels: tuple[int, ...] | None = None
    parts: Volume | None = None

    @classmethod
    def read(
        cls,
        path: PathText,
        *,
        maskLabels: int | Sequence[int] | None = None,
        caseId: str | None = None,
        layout: str = "auto",
        given: Mapping[str, PathText] | None = None,
    ) -> Case:
        """Reads the case in a folder of any known layout (``case_files.LAYOUTS``).

        Args:
            maskLabels: the label or labels that make up the tumour; all but 0 by default.
            caseId: what to call it; the folder's name by default.
            given: by T1, T2, FLAIR or mask, a file or DICOM folder to take whatever the folder has for it.

        Raises:
            CaseError: something is missing, unreadable, or cannot be graded.
        """
        named = {role: Path(place) for role, place in (given or {}).items()}
        found = find_case_files(Path(path), layout, named)
        labels = found.mask_labels if maskLabels is None else labels_of(maskLabels)
        by_name = [role for role in ROLES if role not in named]
        case = read_paths(found.paths, labels, caseId or found.case, by_name)
        doubt = (Notice("unsuitable-scan", f"{case.identifier}: {found.doubt}"),) if found.doubt else ()
        return replace(case, warnings=(*doubt, *case.warnings))

    @classmethod
    def fromFiles(
        cls,
        *,
        t1: PathText,
        t2: PathText,
        flair: PathText,
        mask: PathText,
        maskLabels: int | Sequence[int] | None = None,
        caseId: str | None = None,
    ) -> Case:
        """Reads a case from four files or DICOM folders.

        Args:
            maskLabels: the label or labels that make up the tumour; all but 0 by default.
            caseId: what to call it; by default the name of the folder that holds the T1.

        Raises:
            CaseError: one of them is unreadable, or the case cannot be graded.
        """
        paths = dict(zip(ROLES, map(Path, (t1, t2, flair, mask)), strict=True))
        return read_paths(paths, maskLabels, caseId or case_identifier(paths["T1"].parent) or "case")

    @classmethod
    def fromArrays(
        cls,
        *,
        t1: np.ndarray | Volume,
        t2: np.ndarray | Volume,
        flair: np.ndarray | Volume,
        mask: np.ndarray | Volume,
        spacing: Sequence[float] = (1.0, 1.0, 1.0),
        origin: Sequence[float] = (0.0, 0.0, 0.0),
        direction: np.ndarray | Sequence[float] = _IDENTITY,
        maskLabels: int | Sequence[int] | None = None,
        caseId: str = "case",
    ) -> Case:
        """A case from arrays in memory; they are not copied where their type allows it.

        Args:
            t1, t2, flair, mask: (K, J, I) arrays that share the geometry below, or Volumes with their own.
            spacing: mm along I, J, K.
            origin: LPS position in mm of voxel (0, 0, 0).
            direction: 3 x 3 (or 9 numbers by row); columns are the directions of I, J, K in LPS.

        Raises:
            CaseError: an array is not 3D or not real, arrays that share the geometry differ in shape, or the
                case cannot be graded.
        """
        matrix = np.asarray(direction, dtype=float)
        if len(spacing) != 3 or len(origin) != 3 or matrix.size != 9:
            raise CaseError(
                "the geometry is incomplete", caseId, "give three spacings, three origins, nine directions"
            )
        given = dict(zip(ROLES, (t1, t2, flair, mask), strict=True))
        volumes = {
            role: _volume(
                role, item, tuple(map(float, spacing)), tuple(map(float, origin)), matrix.reshape(3, 3)
            )
            for role, item in given.items()
        }
        _check_one_shape(given)
        return _checked(volumes, [volumes.pop("mask")], maskLabels, caseId)


def _check_one_shape(given: Mapping[str, np.ndarray | Volume]) -> None:
    """Arrays that share a geometry share their shape: one in another order of axes would lie elsewhere."""
    shapes = {
        role: _single(np.asarray(item)).shape for role, item in given.items() if not isinstance(item, Volume)
    }
    first = next(iter(shapes), "")
    other = next((role for role in shapes if shapes[role] != shapes[first]), None)
    if other:
        raise CaseError(
            f"the {other} array has the shape {shapes[other]}, and the {first} array {shapes[first]}",
            remedy="give all in the order (K, J, I) on one grid, or Volumes with their own",
        )


def _single(array: np.ndarray) -> np.ndarray:
    """Without an axis for a single channel."""
    if array.ndim == 4 and 1 in (array.shape[0], array.shape[-1]):
        return array[0] if array.shape[0] == 1 else array[..., 0]
    return array


def _volume(
    role: str,
    item: np.ndarray | Volume,
    spacing: tuple[float, ...],
    origin: tuple[float, ...],
    direction: np.ndarray,
) -> Volume:
    volume = item if isinstance(item, Volume) else Volume(np.asarray(item), spacing, origin, direction)  # type: ignore[arg-type]
    volume = replace(volume, source=volume.source or f"the {role} array")
    array = _single(volume.array)
    if array.ndim != 3 or array.dtype.kind not in "biuf" or array.size == 0:
        what = f"shape {array.shape} and type {array.dtype}"
        raise CaseError(
            f"this is not a real 3D array ({what})", volume.source, "give one array (K, J, I) per sequence"
        )
    return finite(
        rectified(replace(volume, array=itk_array(array), direction=np.asarray(volume.direction, float)))
    )


def read_paths(
    paths: Mapping[str, Path],
    labels: Labels,
    identifier: str,
    found: Collection[str] = (),
    withParts: bool = False,
) -> Case:
    """Reads the four at once: unpacking leaves Python's lock, so two cores are used.

    Args:
        paths: file or DICOM folder by T1, T2, FLAIR and mask.
        found: the roles whose files were found by their names: where nobody has said that this is the T1, one
            with contrast by its header is refused, where it would come with a notice.
        withParts: keep the labels of the tumour (``Case.parts``).

    Raises:
        CaseError: as ``Case.fromFiles``.
    """
    try:
        inputs = resolve(paths, found)
    except OSError as error:
        where = str(error.filename or "")
        raise CaseError(f"it cannot be read ({error.strerror or error})", where, "check the path") from None
    make_readers_known()
    with ThreadPoolExecutor(max_workers=len(ROLES)) as pool:
        images = {name: pool.submit(read_volume, inputs.images[name]) for name in SEQUENCES}
        mask = pool.submit(read_layers, inputs.mask, labels is not None)
        volumes = {name: future.result() for name, future in images.items()}
        layers = mask.result()
    case = _checked(volumes, layers, labels, identifier, inputs.notices)
    return replace(case, parts=tumour_parts(layers, case.mask)) if withParts else case


def _checked(
    images: Mapping[str, Volume],
    layers: Sequence[Volume],
    labels: Labels,
    identifier: str,
    found: Sequence[Notice] = (),
) -> Case:
    if not isinstance(identifier, str):
        raise UsageError(f"the case's name is {identifier!r}", remedy="give a text")
    images = without_blank_ends(images)
    mask, mask_notices = whole_tumour(layers, labels)
    mask, skipped = without_skipped_slices(mask)
    notices = [*found, *(notice for volume in images.values() for notice in volume.warnings)]
    notices += [*mask_notices, *skipped, *check_case(images, mask)]
    sources = {**{name: volume.source for name, volume in images.items()}, "mask": mask.source}
    return Case(identifier, images, mask, tuple(dict.fromkeys(notices)), sources, labels_of(labels))
