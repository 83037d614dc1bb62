"""From a case to what the transfer models see: 20 adjacent axial slices around the largest tumour area.

The form is that of the crops the models are trained on. Two lattices (see ``grid.py``), both centred in the
field of view of the reference image, which is the image the mask was drawn on:

* the axial grid, 1 mm: slices are counted and named on it;
* the crop lattice: 239/127 mm in plane and 154/127 mm along S. It is what a 240 x 240 x 155 image of 1 mm
  becomes when it is brought to 128 x 128 x 128 points with its ends aligned.

Rules written down once:

* Largest slice: the axial plane with the most tumour (all lesions) among those of the largest lesion, which
  is the one that the region below is around. A crop, of which models learn, has mostly one, and counts all. Of
  planes that tie, the middle one (the lower of two middle ones) of the longest run of adjacent planes, and the
  lowest such run.
* The 20 slices: from 10 below the largest to 9 above it, shifted inward where the volume ends
  (paper, Methods: 20 adjacent slices around the largest area).
* The tumour region: 32 lattice points a side around the bounding box of the largest 6-connected component
  of the tumour on the crop lattice, from ``(low + high + 1) // 2 - 16``, shifted inward where the lattice
  ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from ..coarse import largest_component, within
from ..doubts import OUT_OF_REACH
from ..errors import CaseError
from ..grid import (
    FieldOfView,
    Lattice,
    canonical,
    cut_around,
    cut_to_content,
    gather,
    linear_weights,
    mask_points,
    nearest,
    shares_grid,
    with_margin,
)
from ..result import Notice, SliceInfo
from ..volume import Volume
from ..words import SEQUENCES, SLICE_COUNT
from .background import without_blended_edge, without_halo
from .brain import Brain, find_brain

if TYPE_CHECKING:
    from ..case import Case

AXIAL_MM = 1.0
WHOLE_SLICE_MM = 240.0
FEWEST_OF_SPLINE = 4
KINDS = ("tumour-region", "whole-slice")
INTENSITIES = ("brain", "region")
ANCHORS = ("lattice", "lesion")

LEAST_BRAIN = 0.25
"""Of the brain in the fullest slice: where a sequence shows none and the others less than this, the brain ends.
Sequences that were stripped one by one differ there by a slice or two."""


@dataclass(frozen=True)
class InputForm:
    """What a transfer model sees; part of its bundle.

    Args:
        kind: ``tumour-region`` (the form of the crops) or ``whole-slice``.
        pixels: points a side of the region or of the slice.
        pixel_mm: mm between points in plane.
        plane_mm: mm between the planes of the crop lattice (tumour region only).
        margin: planes kept below and above the 20 slices, for neighbouring planes.
        intensity: ``brain``: z-scores over the brain, as the crops have them; ``region``: those brought to
            median 0 and a robust standard deviation of 1 over the healthy brain within the region, which
            depends less on where the brain is found to end.
        anchor: ``lattice``: the region starts on a point of the crop lattice, as the crops do; ``lesion``: at
            the lesion's centre to a fraction of a point, so that it does not jump by a point (1.9 mm) when
            the image is resampled. Cropped training data are on the lattice in any case.
    """

    kind: str = "tumour-region"
    pixels: int = 32
    pixel_mm: float = 239 / 127
    plane_mm: float = 154 / 127
    margin: int = 3
    intensity: str = "brain"
    anchor: str = "lattice"

    def __post_init__(self) -> None:
        for value, known in ((self.kind, KINDS), (self.intensity, INTENSITIES), (self.anchor, ANCHORS)):
            if value not in known:
                raise ValueError(f"no input form has {value!r}; known are {', '.join(known)}")
        if self.pixels < 2 or self.margin < 0 or min(self.pixel_mm, self.plane_mm) <= 0:
            raise ValueError(f"not an input form: {self}")

    @classmethod
    def wholeSlice(cls, pixels: int = 224, **others: Any) -> InputForm:
        """Whole axial slices: a square of 240 mm around the brain."""
        return cls(kind="whole-slice", pixels=pixels, pixel_mm=WHOLE_SLICE_MM / pixels, **others)


@dataclass(frozen=True, eq=False)
class SliceStack:
    """The slices of a case in the form of the training data.

    Args:
        planes: float32 (3, P, H, W), sequences as in ``SEQUENCES``; z-scored, 0 outside the brain. Planes
            run foot to head 1 mm apart, rows front to back, columns right to left.
        mask: uint8 (P, H, W) tumour on the same points.
        first: index in P of the first of the 20 slices; the planes around them are their neighbours.
        info: which slices these are.
        tumour_ml: volume of the whole tumour mask in ml.
        warnings: the case's, and what was found here.
        region: where the points lie in the patient (None for a stack made from a crop).
    """

    planes: np.ndarray
    mask: np.ndarray
    first: int
    info: SliceInfo
    tumour_ml: float
    warnings: tuple[Notice, ...] = ()
    region: Lattice | None = None


Placed = tuple[np.ndarray, np.ndarray]
"""A mask on the axial grid, only where there is some: uint8 KJI, and its first index x, y, z."""


@dataclass(frozen=True, eq=False)
class Scene:
    """A case on its two lattices: everything that is needed to cut slices or a crop out of it.

    All volumes are canonical (see ``grid.canonical``).
    """

    images: Mapping[str, Volume]
    mask: Volume
    reference: Volume
    form: InputForm
    brain: Brain = field(repr=False)

    @cached_property
    def axial(self) -> Lattice:
        return FieldOfView.of(self.reference).lattice((AXIAL_MM,) * 3)

    @cached_property
    def lattice(self) -> Lattice:
        step = (self.form.pixel_mm, self.form.pixel_mm, self.form.plane_mm)
        return FieldOfView.of(self.reference).lattice(step, even=True)

    @cached_property
    def _content(self) -> Volume:
        """The mask where there is some and an empty voxel around it: files may hold no more than the tumour."""
        return with_margin(cut_to_content(self.mask))

    @cached_property
    def tumour(self) -> Placed:
        """The tumour on the axial grid."""
        content = self._content
        if content.array.size == 0:
            raise _empty_mask(self.mask)
        inside, low = self._on_axial(content)
        if not inside.any():
            raise CaseError(
                f"the tumour mask lies between the points of {AXIAL_MM:g} mm that slices are taken at",
                self.mask.source,
                "draw the whole tumour",
            )
        return inside, low

    def labelled(self, parts: Volume) -> Placed:
        """The tumour with its labels, to be cut out in place of ``tumour``: where the region lies, that says.

        Args:
            parts: uint8, the labels on the mask's grid, 0 where the mask is.
        """
        return self._on_axial(with_margin(cut_to_content(canonical(parts))))

    def _on_axial(self, content: Volume) -> Placed:
        """A mask, cut to its content, on the axial grid: the nearest voxels (uint8 KJI); its first index."""
        fov = FieldOfView.of(content)
        low = [int(np.floor(self.axial.index(a, fov.low[a]))) for a in range(3)]
        high = [int(np.ceil(self.axial.index(a, fov.high[a]))) for a in range(3)]
        window = self.axial.window(low, np.subtract(high, low) + 1)
        drawn = replace(content, array=content.array.astype(np.uint8, copy=False))
        return window.sample_volume(drawn, sitk.sitkNearestNeighbor), np.asarray(low)

    @cached_property
    def tumour_ml(self) -> float:
        count = np.count_nonzero(self._content.array)
        return float(count * np.prod(self.mask.spacing) / 1000)

    @cached_property
    def areas(self) -> np.ndarray:
        """Tumour area in mm2 of every plane of the axial grid."""
        tumour, low = self.tumour
        areas = np.zeros(self.axial.size[2])
        planes = low[2] + np.arange(len(tumour))
        kept = (planes >= 0) & (planes < len(areas))
        areas[planes[kept]] = tumour[kept].sum((1, 2), dtype=float) * AXIAL_MM**2
        return areas

    @cached_property
    def start(self) -> np.ndarray:
        """First point (x, y, z) of the tumour region on the crop lattice; whole for that anchor."""
        half = self.form.pixels // 2
        low, high = self._lesion
        on_average = (low + high) / 2 - half + 0.25  # where the crops' rule starts
        start = on_average if self.form.anchor == "lesion" else (low + high + 1) // 2 - half
        return _shift_inward(start, self.form.pixels, np.asarray(self.lattice.size))

    @cached_property
    def lesion_areas(self) -> np.ndarray:
        """``areas`` in the planes that the largest lesion reaches, around which the region lies; else 0.

        Of several lesions the flat ones may share a plane with more area in it than any of the largest.
        """
        low, high = self._lesion
        half = self.form.plane_mm / 2
        first = self.axial.index(2, self.lattice.position(2, low[2]) - half)
        last = self.axial.index(2, self.lattice.position(2, high[2]) + half)
        planes = np.arange(len(self.areas))
        areas = np.where((planes >= first - 1e-6) & (planes <= last + 1e-6), self.areas, 0)
        return areas if areas.any() else self.areas

    @cached_property
    def _lesion(self) -> tuple[np.ndarray, np.ndarray]:
        """Bounding box (first, last; x, y, z) of the largest lesion in lattice indices."""
        return self._lesion_ends() if self.form.anchor == "lesion" else self._lesion_points()

    def _lesion_points(self) -> tuple[np.ndarray, np.ndarray]:
        """Bounding box (first, last; x, y, z) of the largest lesion on the crop lattice."""
        tumour, low = self.tumour
        first, last = self._lattice_span(low, low + np.asarray(tumour.shape[::-1]) - 1)
        take = [
            nearest(self.axial.index(a, self.lattice.position(a, np.arange(first[a], last[a] + 1)))) - low[a]
            for a in range(3)
        ]
        coarse = gather(tumour, take[::-1])
        if not coarse.any():  # smaller than the lattice is fine
            return first, last
        points = np.argwhere(largest_component(coarse))[:, ::-1]
        return first + points.min(0), first + points.max(0)

    def _lesion_ends(self) -> tuple[np.ndarray, np.ndarray]:
        """Bounding box of the largest lesion on the axial grid, as continuous lattice indices."""
        tumour, low = self.tumour
        points = np.argwhere(largest_component(tumour))[:, ::-1] + low
        ends = points.min(0), points.max(0)
        first, last = (
            np.array([self.lattice.index(a, self.axial.position(a, end[a])) for a in range(3)]) for end in ends
        )
        return first, last

    def _lattice_span(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lattice points around a box of the axial grid."""
        ends = [self.lattice.index(a, self.axial.position(a, np.array([low[a], high[a]]))) for a in range(3)]
        return np.floor([e[0] for e in ends]).astype(int), np.ceil([e[1] for e in ends]).astype(int)

    def planes_of(
        self, indices: np.ndarray, tumour: Placed | None = None
    ) -> tuple[np.ndarray, np.ndarray, Lattice]:
        """Images (3, P, H, W) and tumour (P, H, W) at planes of the axial grid, and where the points lie.

        Args:
            tumour: what to cut out in place of the scene's own.
        """
        if self.form.kind == "whole-slice":
            return self._whole_planes(indices, tumour)
        ends = self.lattice.size[2] - 1
        levels = np.clip(self.lattice.index(2, self.axial.position(2, indices)), 0, ends)
        first = int(np.floor(levels.min()))
        count = int(np.ceil(levels.max())) - first + 1
        size = (self.form.pixels,) * 2 + (count,)
        images, mask = self.block(np.array([*self.start[:2], first]), size, tumour)
        weights = linear_weights(levels - first, count)
        images = np.einsum("pz,szyx->spyx", weights, images).astype(np.float32)
        region = self.lattice.window((*self.start[:2], 0), (self.form.pixels, self.form.pixels, 1))
        return images, mask[nearest(levels) - first], _with_planes(region, self.axial, indices)

    def block(
        self, start: np.ndarray, size: tuple[int, int, int], tumour: Placed | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """A block of the crop lattice: images (3, K, J, I) float32, tumour (K, J, I) uint8.

        Args:
            tumour: what to cut out in place of the scene's own.
        """
        positions = [self.lattice.position(a, start[a] + np.arange(size[a])) for a in range(3)]
        points = [self.axial.index(a, positions[a]) for a in range(3)]
        return self._at(points, tumour)

    def _at(self, points: list[np.ndarray], tumour: Placed | None) -> tuple[np.ndarray, np.ndarray]:
        """Images and tumour at a product of continuous indices (x, y, z) of the axial grid."""
        low = np.array([int(np.floor(p.min() + 1e-6)) for p in points])
        high = np.array([int(np.ceil(p.max() - 1e-6)) for p in points])
        window = self.axial.window(low, high - low + 1)
        weights = [linear_weights(p - o, n) for p, o, n in zip(points, low, window.size, strict=True)]
        images = [self._interpolate(window, name, weights) for name in SEQUENCES]
        inside, corner = self.tumour if tumour is None else tumour
        mask = gather(inside, [nearest(p) - c for p, c in zip(points, corner, strict=True)][::-1])
        return np.stack(images), mask

    def _interpolate(self, window: Lattice, name: str, weights: list[np.ndarray]) -> np.ndarray:
        x, y, z = weights
        block = self.normalised(window, name)
        block = (z @ block.reshape(block.shape[0], -1)).reshape(len(z), *block.shape[1:])
        return (y @ block @ x.T).astype(np.float32)

    def normalised(self, window: Lattice, name: str) -> np.ndarray:
        """A sequence on points of the axial grid, KJI float32: z-scored, 0 outside the brain."""
        voxels = cut_around(self.images[name], window, margin=4)
        if min(voxels.array.shape) == 0:
            return np.zeros(window.size[::-1], np.float32)
        scaled = replace(voxels, array=self.brain.normalised(name, voxels))
        # thinner than the grid: average, as the training data did not have that noise either
        factors = [max(1, round(AXIAL_MM / step)) for step in voxels.spacing]
        factors = [min(f, n) for f, n in zip(factors, scaled.size, strict=True)]
        if max(factors) > 1:
            shrunk = sitk.BinShrink(_image(scaled, np.float32), factors)
            scaled = Volume.fromImage(shrunk, voxels.source)
        return sharply_sampled(scaled, window)

    def _whole_planes(
        self, indices: np.ndarray, tumour: Placed | None
    ) -> tuple[np.ndarray, np.ndarray, Lattice]:
        size, step = self.form.pixels, self.form.pixel_mm
        offsets = (np.arange(size) - (size - 1) / 2) * step
        centre = self.brain.centre
        points = [self.axial.index(a, centre[a] + offsets) for a in range(2)]
        images, mask = self._at([*points, indices.astype(float)], tumour)
        start = (centre[0] + offsets[0], centre[1] + offsets[0], 0.0)
        region = Lattice(start, (step, step, AXIAL_MM), (size, size, 1))
        return images, mask, _with_planes(region, self.axial, indices)


def sharply_sampled(scaled: Volume, window: Lattice) -> np.ndarray:
    """Z-scores on a lattice (float32 KJI), 0 outside the brain; where it takes interpolation, by cubic splines.

    The training images lay on this lattice. Linear interpolation would blur others, and the networks look at
    texture: a blurred tumour looks more like LGG. The brain's edge stays as sharp as it is on the lattice.
    Through fewer points than a cubic needs ITK's spline goes anywhere.
    """
    if window.picks(scaled) or min(scaled.size) < FEWEST_OF_SPLINE:
        return window.sample_volume(scaled)
    inside = replace(scaled, array=(scaled.array != 0).astype(np.float32))
    is_brain = window.sample_volume(inside) > 0.5 - 1e-6  # half way between two voxels, however it is rounded
    return np.where(is_brain, window.sample_volume(scaled, sitk.sitkBSpline), np.float32(0))


def prepare(case: Case, form: InputForm | None = None) -> SliceStack:
    """The slices that a case is graded on; its sequences are taken to be registered.

    Raises:
        CaseError: fewer than 20 axial slices, an empty mask, a constant sequence, or a sequence that does
            not reach the tumour.
    """
    return _stack(scene_of(case, form or InputForm()), case.warnings)


def crop(case: Case, form: InputForm | None = None) -> tuple[np.ndarray, np.ndarray]:
    """A case in the form of the shared crops: images (3, 32, 32, 32) float32, tumour (32, 32, 32) uint8, with
    its labels where the case has them (``Case.parts``).
    """
    scene = scene_of(case, form or InputForm())
    tumour = None if case.parts is None else scene.labelled(case.parts)
    return scene.block(scene.start, (scene.form.pixels,) * 3, tumour)


def prepare_labelled(case: Case, form: InputForm) -> tuple[SliceStack, np.ndarray]:
    """A case's slices, as ``prepare``, and their mask with its labels (uint8) where the case has them.

    Raises:
        CaseError: as ``prepare``.
    """
    scene = scene_of(case, form)
    stack = _stack(scene, case.warnings)
    if case.parts is None:
        return stack, stack.mask
    indices = _with_margin(stack.info, form.margin, scene.axial.size[2])
    return stack, scene.planes_of(indices, scene.labelled(case.parts))[1]


def stack_from_crop(
    images: np.ndarray, labels: np.ndarray, form: InputForm | None = None, largest: int | None = None
) -> SliceStack:
    """The slices of a crop, in the form :func:`prepare` gives for the whole case.

    Args:
        images: (3, K, J, I) as :func:`crop` gives them, planes ``form.plane_mm`` apart.
        labels: (K, J, I), tumour where not 0.
        largest: plane (1 mm apart, from the crop's first) to take for that with the largest area.
    """
    form = form or InputForm()
    count = int(np.floor((labels.shape[0] - 1) * form.plane_mm / AXIAL_MM + 1e-6)) + 1
    levels = np.arange(count) * AXIAL_MM / form.plane_mm
    mask = (labels != 0).astype(np.uint8)
    areas = mask.sum((1, 2), dtype=float)[nearest(levels)] * form.pixel_mm**2
    info = choose_slices(areas, 0.0, largest)
    chosen = _with_margin(info, form.margin, count)
    weights = linear_weights(levels[chosen], labels.shape[0])
    planes = np.einsum("pz,szyx->spyx", weights, images.astype(np.float64)).astype(np.float32)
    mask_planes = mask[nearest(levels[chosen])]
    volume = float(mask.sum() * form.pixel_mm**2 * form.plane_mm / 1000)
    planes = renormalise(planes, mask_planes, form.intensity)
    return SliceStack(planes, mask_planes, form.margin, info, volume)


def choose_slices(areas: np.ndarray, first_mm: float, largest: int | None = None) -> SliceInfo:
    """The 20 planes around the largest tumour area (mm2 of every plane; ``first_mm``: S of plane 0)."""
    if len(areas) < SLICE_COUNT:
        raise CaseError(
            f"the images reach over {len(areas)} axial slices of 1 mm, and {SLICE_COUNT} are needed",
            remedy="give images that reach further from foot to head",
        )
    middle = largest_plane(areas) if largest is None else largest
    first = min(max(middle - SLICE_COUNT // 2, 0), len(areas) - SLICE_COUNT)
    indices = tuple(range(first, first + SLICE_COUNT))
    return SliceInfo(
        indices=indices,
        positions_mm=tuple(round(first_mm + i * AXIAL_MM, 4) for i in indices),
        spacing_mm=AXIAL_MM,
        largest_index=middle,
        largest_area_mm2=round(float(areas[middle]), 4),
    )


def largest_plane(areas: np.ndarray) -> int:
    """The plane with the largest area; for ties see the rules at the head of this file."""
    tied = np.flatnonzero(areas >= areas.max() - 1e-6)
    runs = np.split(tied, np.flatnonzero(np.diff(tied) > 1) + 1)
    longest = max(runs, key=len)  # max keeps the first, so the lowest, of equal ones
    return int(longest[(len(longest) - 1) // 2])


def renormalise(planes: np.ndarray, mask: np.ndarray, intensity: str) -> np.ndarray:
    """Planes (3, P, H, W) with the intensities of an :class:`InputForm`'s ``intensity``; 0 stays 0."""
    if intensity == "brain":
        return planes
    return np.stack([_renormalised(sequence, mask) for sequence in planes])


def scene_of(case: Case, form: InputForm) -> Scene:
    """A case on its lattices, with its brain found; sequences are taken to be registered."""
    images = {name: without_blended_edge(without_halo(canonical(case.images[name]))) for name in SEQUENCES}
    mask = canonical(case.mask)
    reference = reference_of(images, mask)
    return Scene(images, mask, reference, form, find_brain(images, mask, reference))


def reference_of(images: Mapping[str, Volume], mask: Volume) -> Volume:
    """The image that the mask was drawn on, whose field of view counts.

    A mask file may hold no more than the tumour's bounding box (3D Slicer writes such), or much more than the
    head, so that a mask's own field of view never counts: first a sequence on the mask's voxels that covers the
    tumour, then one that covers it, then the one that covers the most of it.
    """
    content = cut_to_content(mask, margin=0)
    tumour = FieldOfView.of(content if content.array.size else mask)
    covering = [v for v in images.values() if FieldOfView.of_voxels(v).contains(tumour)]
    sharing = [v for v in covering if shares_grid(v, mask)]
    if covering or not content.array.size:
        return next(iter([*sharing, *covering, *images.values()]))
    points = mask_points(mask)
    return max(images.values(), key=lambda v: round(float(within(v, points).mean()), 2))


def _stack(scene: Scene, warnings: tuple[Notice, ...]) -> SliceStack:
    largest = largest_plane(scene.lesion_areas) if len(scene.areas) >= SLICE_COUNT else None
    info = choose_slices(scene.areas, scene.axial.start[2], largest)
    indices = _with_margin(info, scene.form.margin, scene.axial.size[2])
    planes, mask, region = scene.planes_of(indices)
    graded = planes[:, scene.form.margin : scene.form.margin + SLICE_COUNT]
    shown = np.count_nonzero(graded, axis=(2, 3))  # points of brain by sequence and slice
    for name, points in zip(SEQUENCES, shown, strict=True):
        if not points.any():
            raise CaseError(
                f"{name} has no brain where the tumour is",
                scene.images[name].source,
                "check that the sequence and the mask belong to the same examination",
            )
    return SliceStack(
        planes=renormalise(planes, mask, scene.form.intensity),
        mask=mask,
        first=scene.form.margin,
        info=info,
        tumour_ml=scene.tumour_ml,
        warnings=(*warnings, *scene.brain.warnings, *_at_the_edge(scene.areas), *_out_of_reach(shown)),
        region=region,
    )


def _out_of_reach(shown: np.ndarray) -> Iterator[Notice]:
    """Which sequences end among the slices, where others show that the brain goes on."""
    most = shown.max(axis=0)
    for name, points in zip(SEQUENCES, shown, strict=True):
        count = np.count_nonzero((points == 0) & (most >= LEAST_BRAIN * most.max()))
        if count:
            text = f"{name} does not reach {count} of the {SLICE_COUNT} slices that are graded"
            yield Notice(OUT_OF_REACH, f"{text}: give the whole volume")


def _at_the_edge(areas: np.ndarray) -> tuple[Notice, ...]:
    """Where the tumour goes on to the last slice, nobody knows whether its largest slice is among them."""
    ends = [name for name, area in (("lowest", areas[0]), ("highest", areas[-1])) if area > 0]
    text = f"the tumour reaches the {' and the '.join(ends)} slice of the images: part of it may lie beyond"
    return (Notice("tumour-at-edge", text),) if ends else ()


def _with_margin(info: SliceInfo, margin: int, count: int) -> np.ndarray:
    """The chosen planes and ``margin`` more at both ends; planes beyond the volume repeat its last one."""
    return np.clip(np.arange(info.indices[0] - margin, info.indices[-1] + margin + 1), 0, count - 1)


def _with_planes(region: Lattice, axial: Lattice, indices: np.ndarray) -> Lattice:
    """The in-plane points of a region at planes 1 mm apart, of which the ones in the middle are ``indices``.

    At the ends of a volume indices repeat: the planes beyond it go on all the same, so that each slice lies
    where it was taken.
    """
    middle = len(indices) // 2
    bottom = float(axial.position(2, indices[middle])) - middle * AXIAL_MM
    return Lattice(
        (region.start[0], region.start[1], bottom),
        (region.step[0], region.step[1], AXIAL_MM),
        (region.size[0], region.size[1], len(indices)),
    )


def _shift_inward(start: np.ndarray, size: int, count: np.ndarray) -> np.ndarray:
    """A window within ``count`` points; centred on them where they are fewer than the window's."""
    room = count - size
    return np.where(room >= 0, np.clip(start, 0, np.maximum(room, 0)), room // 2)


def _renormalised(sequence: np.ndarray, mask: np.ndarray) -> np.ndarray:
    brain = sequence != 0
    healthy = sequence[brain & (mask == 0)]
    values = healthy if healthy.size >= 0.05 * sequence.size else sequence[brain]
    low, middle, high = np.percentile(values, (16, 50, 84)) if values.size else (0.0, 0.0, 0.0)
    if high - low < 1e-6:
        return sequence
    return np.where(brain, (sequence - middle) / ((high - low) / 2), 0).astype(np.float32)


def _image(volume: Volume, dtype: type) -> sitk.Image:
    return replace(volume, array=np.ascontiguousarray(volume.array, dtype=dtype)).toImage()


def _empty_mask(mask: Volume) -> CaseError:
    return CaseError(
        "the tumour mask is empty", mask.source, "draw the tumour, or choose the labels that it has"
    )
