"""Can this case be graded, and what does its reader have to know? Checks of sequences and mask.

What makes a grade meaningless is a ``CaseError``; what may be right but needs a look is a ``Notice``.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from . import coarse
from .doubts import PLACELESS
from .errors import CaseError, UsageError
from .grid import content_box, mask_points
from .reading.nrrd_segments import check_told_apart, segments_in
from .result import Notice
from .skipped_slices import without_skipped_slices
from .volume import LEAST_VALUE, Volume
from .words import SEQUENCES, SLICE_COUNT

Labels = int | Sequence[int] | None
"""Labels that make up the tumour: one, several, or None for every label of the mask."""

MAX_TUMOUR_ML = 700.0
"""Twice the largest gliomas of BraTS: beyond, the mask is one of the brain or the head."""

LEAST_TUMOUR_ML = 1.0
"""A seventh of the smallest of 326 gliomas of BraTS 2020: below, a mask is a point, or a slip of the brush."""

LARGE_LESION_ML, LARGE_LESION_SHARE = 1.0, 0.1
"""A further lesion is large from this volume and this share of the largest one on."""

CUT_OFF = "tumour-cut-off"
"""A sequence ends within the tumour."""

_MOST_LABELS = 20
_SCALES = (100, 255)
_NEARLY = 1e-3
"""How far a label may lie from a whole number: of rounding in a file."""
_COARSE_MM = 4.0
_SWAP_MARGIN = 0.3  # standard deviations of tissue; on BraTS patients the two ways round are 2 to 6 apart
_FEW_VALUES = 8  # an image with no more different values is a label map
_IMAGE_REMEDY = "give the image of this sequence"
_MASK_REMEDY = "check that the mask belongs to these images"


def check_case(images: Mapping[str, Volume], mask: Volume) -> tuple[Notice, ...]:
    """All checks of a case whose mask is already binary (uint8 0/1).

    Raises:
        CaseError: the mask is empty, larger than any tumour, or outside the head; a sequence is constant,
            a label map, thinner than the slices to take, the same as another, or does not reach the tumour.
    """
    millilitres = check_mask(mask)
    for name, volume in images.items():
        check_sequence(name, volume)
    _check_different(images)
    points = mask_points(mask)
    for name, volume in images.items():
        _check_coverage(name, volume, mask, points)
    notices = list(coverage_notices(images, mask))
    small = {name: coarse.shrunk(volume, _COARSE_MM) for name, volume in images.items()}
    heads = {name: coarse.head(volume) for name, volume in small.items()}
    notices += _check_inside(small, heads, points, mask)
    notices += _check_lesions(mask)
    if millilitres < LEAST_TUMOUR_ML:  # too few voxels to compare sequences by
        return (*notices, _tiny(millilitres))
    return (*notices, *_check_contrasts(small, heads, points))


def check_mask(mask: Volume) -> float:
    """Its volume in ml. Raises: CaseError: the mask is empty, or too large for a tumour."""
    voxels = int(np.count_nonzero(mask.array))
    if voxels == 0:
        raise CaseError(
            "the tumour mask is empty", mask.source, "draw the tumour, or choose the mask of this case"
        )
    millilitres = voxels * float(np.prod(mask.spacing)) / 1000
    if millilitres > MAX_TUMOUR_ML:
        raise CaseError(
            f"the mask holds {millilitres:.0f} ml, more than any tumour",
            mask.source,
            "give the tumour mask, not one of the brain; or choose its labels",
        )
    return millilitres


def _tiny(millilitres: float) -> Notice:
    return Notice(
        "mask-tiny",
        f"the mask holds {millilitres:.2g} ml, much less than any tumour that the models have learned from: "
        "check that it covers the whole tumour",
    )


def check_sequence(name: str, volume: Volume) -> None:
    """Raises: CaseError: the volume is no image of a head that 20 axial slices can be taken from."""
    count = axial_count(volume)
    if count < SLICE_COUNT:
        raise CaseError(
            f"{name} reaches over {count} axial slices of 1 mm, and {SLICE_COUNT} are needed",
            volume.source,
            "give the whole volume",
        )
    values = volume.array[::3, ::3, ::3].ravel()
    if _is_constant(values) and _is_constant(volume.array):  # what varies in part varies as a whole
        level = float(volume.array.min())
        raise CaseError(f"{name} is constant (every voxel is {level:g})", volume.source, _IMAGE_REMEDY)
    _check_scale(volume, values)
    counts = _value_counts(values)
    if counts.size <= _FEW_VALUES:
        what = "nearly constant" if counts.size == 1 else f"a label map (it has {counts.size} values)"
        raise CaseError(f"{name} is {what}", volume.source, _IMAGE_REMEDY)
    rest = values.size - int(counts.max())
    if rest < 0.002 * values.size:
        raise CaseError(
            f"{name} is nearly constant ({100 * counts.max() / values.size:.2f} % of it has one value)",
            volume.source,
            _IMAGE_REMEDY,
        )


def _check_scale(volume: Volume, some: np.ndarray) -> None:
    """``some`` of its voxels, which are enough for nearly every volume."""
    if _largest(some) < LEAST_VALUE and (largest := _largest(volume.array)) < LEAST_VALUE:
        text = f"it has no value beyond {largest:.3g}, which is too small to reckon with"
        raise CaseError(text, volume.source, "export it again without a scale factor")


def _largest(values: np.ndarray) -> float:
    return max(abs(float(values.min())), abs(float(values.max())))


def _is_constant(values: np.ndarray) -> bool:
    low, high = float(values.min()), float(values.max())
    return high - low <= 1e-6 * max(abs(low), abs(high))


def _value_counts(values: np.ndarray) -> np.ndarray:
    """How often each value that occurs does."""
    if values.dtype.kind in "iu" and values.dtype.itemsize <= 2:
        counts = np.bincount(values.astype(np.intp) - int(values.min()))  # several times faster than sorting
        return counts[counts > 0]
    return np.unique(values, return_counts=True)[1]


def axial_count(volume: Volume) -> int:
    """Axial slices 1 mm apart through the middle of the volume, from the centres of its outermost voxels on."""
    lengths = (np.asarray(volume.size) - 1) * np.asarray(volume.spacing)
    cosines = np.maximum(np.abs(np.asarray(volume.direction)[2]), 1e-9)
    return int(np.floor(min((lengths / cosines).min(), 1e6) + 1e-3)) + 1


def _check_different(images: Mapping[str, Volume]) -> None:
    names = list(images)
    for n, first in enumerate(names):
        for second in names[n + 1 :]:
            a, b = images[first].array, images[second].array
            if a.shape == b.shape and np.array_equal(a[:: max(1, len(a) // 4)], b[:: max(1, len(a) // 4)]):
                where = images[second].source or first
                raise CaseError(f"{first} and {second} are the same image", where, "give each sequence its own")


def _check_coverage(name: str, volume: Volume, mask: Volume, points: np.ndarray) -> None:
    share = _covered(volume, points)
    if share >= 0.5:
        return
    what = "does not overlap" if share < 0.01 else f"covers only {100 * share:.0f} % of"
    placeless = next((one for one in (volume, mask) if _is_placeless(one)), None)
    if placeless:
        text = f"{name} {what} the tumour mask, by a header that has no orientation"
        raise CaseError(text, placeless.source, "write the geometry of the image it belongs to into it")
    remedy = "check that both are of one patient and session (registration starts from their headers)"
    raise CaseError(f"{name} {what} the tumour mask", volume.source, remedy)


def _is_placeless(volume: Volume) -> bool:
    return any(warning.code == PLACELESS for warning in volume.warnings)


def coverage_notices(images: Mapping[str, Volume], mask: Volume) -> tuple[Notice, ...]:
    """Which sequences end within the tumour."""
    points = mask_points(mask)
    shares = {name: _covered(volume, points) for name, volume in images.items()}
    return tuple(
        Notice(CUT_OFF, f"{name} covers only {100 * share:.0f} % of the tumour mask")
        for name, share in shares.items()
        if share < 0.99
    )


def _covered(volume: Volume, points: np.ndarray) -> float:
    return float(coarse.within(volume, points).mean())


def _check_inside(
    small: Mapping[str, Volume], heads: Mapping[str, np.ndarray], points: np.ndarray, mask: Volume
) -> list[Notice]:
    """A mask outside the head in every sequence is another patient's, or in another orientation."""
    shares = {name: _share_inside(small[name], heads[name], points) for name in small}
    best = max(shares.values())
    if best < 0.5:
        raise CaseError(
            f"{100 * (1 - best):.0f} % of the tumour mask is outside the head", mask.source, _MASK_REMEDY
        )
    if best < 0.9:
        text = f"{100 * (1 - best):.0f} % of the tumour mask is outside the head: {_MASK_REMEDY}"
        return [Notice("mask-partly-outside", text)]
    return []


def _share_inside(volume: Volume, region: np.ndarray, points: np.ndarray) -> float:
    """Share of the points in the head, the coarse voxels' edge counted as inside.

    Points that the volume does not reach, of which ``_check_coverage`` tells, count as its last voxels.
    """
    grown = coarse.dilated(region, 1)
    return float(coarse.nearest(volume, grown, points).mean())


def _check_lesions(mask: Volume) -> list[Notice]:
    sizes = lesion_volumes(mask)
    large = [v for v in sizes if v >= max(LARGE_LESION_ML, LARGE_LESION_SHARE * sizes[0])]
    if len(large) < 2:
        return []
    volumes = ", ".join(f"{v:.1f}" for v in large)
    text = f"the mask has {len(large)} large separate lesions ({volumes} ml); the slices are of the largest"
    return [Notice("several-lesions", text)]


def lesion_volumes(mask: Volume) -> list[float]:
    """ml of every connected part of the mask (touching corners connect), the largest first."""
    part = sitk.GetImageFromArray(mask.array[content_box(mask.array)])
    labels = sitk.GetArrayFromImage(sitk.ConnectedComponent(part, True))
    counts = np.sort(np.bincount(labels.ravel())[1:])[::-1]
    return [float(n) * float(np.prod(mask.spacing)) / 1000 for n in counts]


def swap_notices(images: Mapping[str, Volume], mask: Volume) -> tuple[Notice, ...]:
    """Whether two sequences seem to have been exchanged, by how bright fluid and tumour are."""
    small = {name: coarse.shrunk(volume, _COARSE_MM) for name, volume in images.items()}
    heads = {name: coarse.head(volume) for name, volume in small.items()}
    return tuple(_check_contrasts(small, heads, mask_points(mask)))


def _check_contrasts(
    small: Mapping[str, Volume], heads: Mapping[str, np.ndarray], points: np.ndarray
) -> Iterator[Notice]:
    levels = _grey_levels(small, heads, points)
    swapped = None if levels is None else _swapped(*levels)
    if swapped:
        first, second = swapped
        text = f"{first} and {second} seem to be swapped (by how bright fluid and tumour are): check the files"
        yield Notice(f"{first}-{second}-swapped".lower(), text)


def _swapped(tissue: Mapping[str, np.ndarray], tumour: Mapping[str, float]) -> tuple[str, str] | None:
    """The two sequences that seem to be exchanged. Fluid is bright on T2 only; glioma is darkest on T1."""
    if fluid_contrast(tissue["T1"], tissue["T2"]) < -_SWAP_MARGIN and tumour["T1"] > tumour["T2"]:
        return "T1", "T2"
    if fluid_contrast(tissue["FLAIR"], tissue["T2"]) < -_SWAP_MARGIN:
        return "T2", "FLAIR"
    if tumour["T1"] > tumour["FLAIR"] + 1:
        return "T1", "FLAIR"
    return None


def fluid_contrast(dark: np.ndarray, bright: np.ndarray) -> float:
    """How much more the voxels that are brightest on ``bright`` (CSF, on T2) are dark on ``dark`` than the
    other way round, in standard deviations; negative where the two images seem to be swapped."""
    top_bright = bright >= np.percentile(bright, 95)
    top_dark = dark >= np.percentile(dark, 95)
    return float(bright[top_dark].mean() - dark[top_bright].mean())


def _grey_levels(
    small: Mapping[str, Volume], heads: Mapping[str, np.ndarray], points: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, float]] | None:
    """By sequence: robustly scaled grey levels of the inner head without the tumour; the tumour's mean."""
    reference = small[SEQUENCES[0]]
    depth = max(1, round(8 / min(reference.spacing)))
    places = coarse.positions(reference)[coarse.eroded(heads[SEQUENCES[0]], depth)]
    places = places[~_near(places, points)]
    if len(places) < 200:
        return None
    tissue, tumour = {}, {}
    for name, volume in small.items():
        values, _ = coarse.sample(volume, places)
        low, middle, high = np.percentile(values, (16, 50, 84))
        scale = max(float(high - low) / 2, LEAST_VALUE)
        tissue[name] = (values - middle) / scale
        tumour[name] = float((coarse.sample(volume, points)[0].mean() - middle) / scale)
    return tissue, tumour


def _near(places: np.ndarray, points: np.ndarray, mm: float = 4.0) -> np.ndarray:
    """Which places share a cube of ``mm`` with a point: good enough to leave the tumour out."""

    def keys(x: np.ndarray) -> np.ndarray:
        cell = np.floor(x / mm).astype(np.int64) + (1 << 18)
        return (cell[:, 0] << 40) | (cell[:, 1] << 20) | cell[:, 2]

    return np.isin(keys(places), np.unique(keys(points)))


def labels_of(given: Labels) -> tuple[int, ...] | None:
    """Labels of a mask as a tuple; None stays None, which means every label.

    Raises:
        UsageError: one of them is no whole number.
    """
    if given is None:
        return None
    labels = given if isinstance(given, Iterable) and not isinstance(given, str) else (given,)
    try:
        return tuple(map(operator.index, labels))
    except TypeError:
        remedy = "give whole numbers, such as (1, 2, 4)"
        raise UsageError(f"the mask labels {given!r} are no labels", remedy=remedy) from None


def whole_tumour(layers: Sequence[Volume], labels: Labels = None) -> tuple[Volume, tuple[Notice, ...]]:
    """The binary mask (uint8 0/1) of a mask's layers: every label but 0, or the chosen ones.

    A mask of fractions (resampled, or a probability), of 1 or of 255 or 100, is cut at one half, with a notice.

    Raises:
        CaseError: it holds no labels, none of the chosen ones or nothing above 0.5, or the chosen set is empty;
            a chosen label stands for several segments of a file.
        UsageError: a chosen label is no whole number.
    """
    chosen = labels_of(labels)
    if chosen is not None and len(layers) > 1:
        check_told_apart(Path(layers[0].source), chosen)
    notices = [n for layer in layers for n in layer.warnings]
    if len(layers) > 1 and _has_frames(Path(layers[0].source)):
        notices.append(Notice("mask-frames", f"the mask's {len(layers)} frames were taken together"))
    integers = [_as_labels(layer, notices, chosen is not None) for layer in layers]
    wanted = None if chosen is None else _chosen(integers, chosen, layers[0].source, notices)
    selected = [a != 0 if wanted is None else np.isin(a, wanted) for a in integers]
    array = np.logical_or.reduce(selected).astype(np.uint8)
    first = layers[0]
    if not array.any() and any(notice.code == "mask-thresholded" for notice in notices):
        text = "the mask has values between 0 and 1, and none above 0.5"
        raise CaseError(text, first.source, "give a label map in which the tumour is 1")
    return replace(first, array=array), tuple(notices)


def tumour_parts(layers: Sequence[Volume], mask: Volume) -> Volume | None:
    """The labels (uint8) of a mask's tumour, 0 elsewhere; None where it is no label map of up to 255 labels: a
    mask of fractions has grey levels.

    Args:
        mask: what ``whole_tumour`` has made of the layers, ``without_skipped_slices``.
    """
    array = layers[0].array
    if len(layers) > 1 or array.shape != mask.array.shape or not 1 <= array.max() <= 255:
        return None
    if _top_of_fraction(array, _whole_numbers(array)):
        return None
    parts = np.where(mask.array, np.rint(array), 0).astype(np.uint8)
    parts = without_skipped_slices(replace(mask, array=parts))[0].array
    return replace(mask, array=parts) if np.array_equal(parts != 0, mask.array != 0) else None


def _has_frames(path: Path) -> bool:
    """Whether the layers of a mask's file are frames, and no segments."""
    name = path.name.lower()
    if name.endswith((".nrrd", ".nhdr")):
        return not (name.endswith(".seg.nrrd") or segments_in(path))
    return name.endswith((".nii", ".nii.gz", ".hdr", ".img", ".mha", ".mhd"))


def _as_labels(layer: Volume, notices: list[Notice], is_chosen: bool) -> np.ndarray:
    array = layer.array
    if array.dtype.kind == "i" and array.size and array.min() < 0:
        raise CaseError(
            "the mask has negative labels", layer.source, "give a label map with 0 outside the tumour"
        )
    whole = _whole_numbers(array)
    if not is_chosen and (top := _top_of_fraction(array, whole)):
        notices.append(Notice("mask-thresholded", f"the mask has values between 0 and {top}; {_CUT}"))
        return ((array if whole is None else whole) > top / 2).astype(np.uint8)
    if whole is None:
        raise CaseError(
            "the mask has values between its labels", layer.source, "give integer labels, not resampled"
        )
    return whole


_CUT = "voxels above half of that were taken for tumour"


def _whole_numbers(array: np.ndarray) -> np.ndarray | None:
    """The array in a type of whole numbers; None where floats have values between them, or below 0."""
    if array.dtype.kind in "iub":
        return array
    rounded = np.rint(array)
    if np.abs(array - rounded).max() > _NEARLY or rounded.min() < 0:
        return None
    return rounded.astype(np.min_scalar_type(int(rounded.max())))


def _top_of_fraction(array: np.ndarray, whole: np.ndarray | None) -> int:
    """The value that stands for 1 in a mask of fractions; 0 for labels, and for what is neither.

    Args:
        whole: the array in whole numbers, if it has no others.
    """
    if whole is not None:
        return _top_of_whole_fraction(whole)
    if array.min() < -_NEARLY:
        return 0
    if array.max() <= 1 + _NEARLY:
        return 1
    top = int(np.rint(array.max()))
    return top if top in _SCALES and _top_of_whole_fraction(np.rint(array).astype(np.uint8)) else 0


def _top_of_whole_fraction(array: np.ndarray) -> int:
    """The value that stands for 1 in a fraction stored as whole numbers (0 to 255, 0 to 100); 0 for labels.

    A fraction has many values, of which the highest is the inside of the tumour. Of numbered lesions there are
    few, or each number up to the last is one of them.
    """
    top = int(array.max()) if array.size else 0
    if array.dtype == bool or top <= _MOST_LABELS:
        return 0
    values, counts = np.unique(array[content_box(array)], return_counts=True)
    counts = counts[values > 0]
    is_scale = top in _SCALES or len(counts) < top
    return top if len(counts) > _MOST_LABELS and is_scale and counts[-1] >= 0.1 * counts.sum() else 0


def _chosen(
    integers: Sequence[np.ndarray], labels: Sequence[int], source: str, notices: list[Notice]
) -> list[int]:
    wanted = sorted({*labels} - {0})
    present = sorted({int(v) for a in integers for v in np.unique(a)} - {0})
    have = ", ".join(map(str, present[:20])) or "none"
    if not set(wanted) & set(present):
        asked = ", ".join(map(str, wanted)) or "none"
        raise CaseError(
            f"none of the mask labels {asked} is in the mask", source, f"choose among its labels: {have}"
        )
    missing = sorted(set(wanted) - set(present))
    if missing:
        text = f"mask labels {', '.join(map(str, missing))} are not in the mask, which has {have}"
        notices.append(Notice("mask-label-missing", text))
    return wanted
