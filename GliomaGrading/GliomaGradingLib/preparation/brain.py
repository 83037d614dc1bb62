"""Where the brain is, and the z-scores over it.

The training crops are skull-stripped and z-scored over the voxels that are not background. Stripped input
gets just that. Where the skull is still there the brain is estimated from the three sequences together, and
the z-scores are taken over it. What is background follows from the image (:mod:`.background`), so
that a sequence may be scaled, shifted or stored in another type.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import SimpleITK as sitk

from ..coarse import LARGEST_BRAIN_LITRES, components, filled, grown, largest_component
from ..errors import CaseError
from ..grid import FieldOfView, Lattice, content_box, cut_around, cut_to_content, triple
from ..result import Notice
from ..volume import LEAST_VALUE, Volume
from ..words import SEQUENCES
from .background import background_value, foreground

COARSE_MM, ROUGH_MM = 2.0, 4.0
"""The brain is looked for on a coarse grid, and the head on a rough one."""

STATISTICS_MM = 1.5
"""Where the brain is an estimate, every nth voxel is enough for mean and deviation: the nearest to this."""


@dataclass(frozen=True)
class Scale:
    """What makes z-scores of a sequence; ``background`` is the value around a stripped brain."""

    mean: float
    deviation: float
    background: float | None = None


@dataclass(frozen=True, eq=False)
class Brain:
    """The brain of a case.

    Args:
        scales: by sequence.
        centre: LPS mm, of the bounding box.
        mask: uint8 on a coarse LPS grid; None for stripped input, where every sequence has its own.
        warnings: what was estimated.
    """

    scales: Mapping[str, Scale]
    centre: tuple[float, float, float]
    mask: Volume | None = None
    warnings: tuple[Notice, ...] = ()

    @property
    def stripped(self) -> bool:
        return self.mask is None

    def normalised(self, sequence: str, voxels: Volume) -> np.ndarray:
        """Voxels of a sequence as float32 z-scores, 0 outside the brain (KJI)."""
        scale = self.scales[sequence]
        inside = foreground(voxels.array, scale.background)
        if self.mask is not None:
            inside = inside & within(self.mask, voxels)
        values = np.where(inside, voxels.array.astype(np.float64), scale.mean)  # in float32 not quite the mean
        return ((values - scale.mean) / scale.deviation).astype(np.float32)


def find_brain(images: Mapping[str, Volume], tumour: Volume, reference: Volume | None = None) -> Brain:
    """The brain in canonical volumes; ``reference`` is the image whose field of view counts.

    Raises:
        CaseError: a sequence is constant.
    """
    fov = FieldOfView.of(reference or tumour)
    backgrounds = {name: background_value(images[name].array) for name in SEQUENCES}

    def scales_of_stripped() -> dict[str, Scale]:
        return {name: _scale_of_stripped(images[name], backgrounds[name]) for name in SEQUENCES}

    with ThreadPoolExecutor(1, "scales") as beside:  # as long as it takes to see whether there is a skull
        begun = None if None in backgrounds.values() else beside.submit(scales_of_stripped)
        rough = _Rough.of(images, backgrounds, fov)
        if begun and rough.is_stripped():
            return Brain(begun.result(), _centre(rough.lattice.volume(rough.any_signal)))
    lit, rough = _with_dark_air(images, rough, fov)
    mask, doubt = _estimate(lit, tumour, rough)
    scales = {
        name: _scale_within(images[name], mask, name == "T1", backgrounds[name])
        if rough.is_alone_stripped(n)
        else _scale_within(lit[name], mask, name == "T1")
        for n, name in enumerate(SEQUENCES)
    }
    return Brain(scales, _centre(mask), mask, _notices(doubt))


def within(mask: Volume, voxels: Volume) -> np.ndarray:
    """A coarse mask at the voxels of a volume (bool KJI); its surface is interpolated."""
    resampler = sitk.ResampleImageFilter()
    resampler.SetSize(voxels.array.shape[::-1])
    resampler.SetOutputSpacing(tuple(map(float, voxels.spacing)))
    resampler.SetOutputOrigin(tuple(map(float, voxels.origin)))
    resampler.SetOutputDirection(tuple(map(float, np.asarray(voxels.direction).ravel())))
    image = replace(mask, array=mask.array.astype(np.float32)).toImage()
    return sitk.GetArrayFromImage(resampler.Execute(image)) > 0.5


@dataclass(frozen=True, eq=False)
class _Rough:
    """A quick look at a whole head: every nth voxel of the sequences on one rough LPS lattice.

    Args:
        lattice: where the points lie.
        thin: every nth voxel, by sequence.
        signal: (3, K, J, I) bool, not background; False outside a sequence.
        backgrounds: the constant value around the head, where there is one.
    """

    lattice: Lattice
    thin: tuple[Volume, ...]
    signal: np.ndarray
    backgrounds: tuple[float | None, ...]

    @classmethod
    def of(
        cls, images: Mapping[str, Volume], backgrounds: Mapping[str, float | None], fov: FieldOfView
    ) -> _Rough:
        lattice = fov.lattice((ROUGH_MM,) * 3)
        thin = tuple(_every_nth(images[name], ROUGH_MM / 2) for name in SEQUENCES)
        values = tuple(backgrounds[name] for name in SEQUENCES)
        signal = [_signal_at(lattice, v, background) for v, background in zip(thin, values, strict=True)]
        return cls(lattice, thin, np.stack(signal), values)

    @cached_property
    def t1(self) -> np.ndarray:
        """T1 (K, J, I) above its background; 0 outside."""
        return self._levels(SEQUENCES.index("T1"))

    def _levels(self, n: int) -> np.ndarray:
        array = self.thin[n].array
        base = _darkest(array, self.backgrounds[n])
        above = _above(array, foreground(array, self.backgrounds[n]), base)
        return self.lattice.sample_volume(replace(self.thin[n], array=above))

    def is_below_too(self, n: int) -> bool:
        """Whether a sequence has values on both sides of its background."""
        base = _darkest(self.thin[n].array, self.backgrounds[n])
        if not self.signal[n].any() or self.thin[n].array.min() >= base:
            return False
        return bool((self._levels(n)[self.signal[n]] < 0).mean() > 0.02)

    @property
    def any_signal(self) -> np.ndarray:
        return np.asarray(self.signal.any(axis=0))

    def is_stripped(self) -> bool:
        """Whether there is constant background in all sequences, and no scalp within.

        Fat under the skin makes the outer millimetres of a head brighter on T1 than what is deeper (1.4 times
        and more); those of a brain hold fluid and are darker (0.9 times at most in the patients seen). And no
        brain is as large as a head. Input that was z-scored before has values on both sides of its
        background, and its outer millimetres may be as bright or dark as they like.
        """
        if None in self.backgrounds:
            return False
        head = _filled(close(self.any_signal, 10, ROUGH_MM))
        if np.count_nonzero(head) * ROUGH_MM**3 / 1e6 > LARGEST_BRAIN_LITRES:
            return False
        if any(map(self.is_below_too, range(len(self.thin)))):
            return True
        depth = _depth(head)
        rim, inner = self.t1[head & (depth <= 8)], self.t1[head & (depth >= 16) & (depth < 30)]
        return not (inner.size and rim.mean() > 1.15 * inner.mean())

    def is_alone_stripped(self, n: int) -> bool:
        """Whether of a case with a skull a sequence shows no more than a brain, and much less than the others.

        What is missing of it within the brain that all three show is background, and no dark tissue.
        """
        points = int(np.count_nonzero(self.signal[n]))
        is_small = points * ROUGH_MM**3 / 1e6 < LARGEST_BRAIN_LITRES
        is_less = points < 0.75 * int(np.count_nonzero(self.any_signal))
        return self.backgrounds[n] is not None and is_small and is_less

    def core(self, tumour: Volume) -> np.ndarray:
        """Points that are deep in the head and not far from the tumour: nearly all of them brain."""
        levels = [self._levels(n) for n in range(len(self.thin))]
        brightness = np.sum([v / max(float(v.mean()), LEAST_VALUE) for v in levels], axis=0)
        bright = brightness > 0.6 * _otsu(brightness)
        head = _filled(largest_component(close(bright, 8, ROUGH_MM)))
        near = self._distance_from(tumour) < 60
        for deep in (20, 12, 4):
            core = head & near & bright & ~reached(~head, deep, ROUGH_MM)
            if np.count_nonzero(core) > 500:
                return core
        return near & bright

    def _distance_from(self, tumour: Volume) -> np.ndarray:
        x, y, z = _centre(tumour)
        points = [self.lattice.position(a, np.arange(n)) for a, n in enumerate(self.lattice.size)]
        return np.sqrt(
            (points[2][:, None, None] - z) ** 2 + (points[1][:, None] - y) ** 2 + (points[0] - x) ** 2
        )


def _with_dark_air(
    images: Mapping[str, Volume], rough: _Rough, fov: FieldOfView
) -> tuple[Mapping[str, Volume], _Rough]:
    """Heads that were z-scored over their own voxels, with the air as dark as the darkest of these again."""
    has_air = [background is not None for background in rough.backgrounds]
    lifted = [name for n, name in enumerate(SEQUENCES) if has_air[n] and rough.is_below_too(n)]
    if not lifted:
        return images, rough
    backgrounds, changed = dict(zip(SEQUENCES, rough.backgrounds, strict=True)), dict(images)
    for name in lifted:
        array = images[name].array
        signal = foreground(array, backgrounds[name])
        darkest = array[signal].min()
        changed[name] = replace(images[name], array=np.where(signal, array, darkest))
        backgrounds[name] = float(darkest)
    return changed, _Rough.of(changed, backgrounds, fov)


def _signal_at(lattice: Lattice, thin: Volume, background: float | None) -> np.ndarray:
    """Where the nearest voxels are not background (bool KJI)."""
    signal = replace(thin, array=foreground(thin.array, background).astype(np.uint8))
    return lattice.sample_volume(signal, sitk.sitkNearestNeighbor) > 0


def _above(array: np.ndarray, signal: np.ndarray, base: float) -> np.ndarray:
    """How far the signal is above a base, as float32; 0 where there is none."""
    if array.dtype.kind in "iu" and array.dtype.itemsize <= 2 and base.is_integer() and abs(base) < 1 << 16:
        return np.where(signal, array.astype(np.float32) - np.float32(base), np.float32(0))  # exact
    return (np.where(signal, array, base) - base).astype(np.float32)


def _estimate(images: Mapping[str, Volume], tumour: Volume, rough: _Rough) -> tuple[Volume, bool]:
    """The brain's mask on a coarse lattice, and whether it is to be doubted.

    What is not dark in all three sequences and not as bright as fat on T1 is brain, fluid, scalp or muscle.
    Erosion parts these where skull lies between them; what is left around the core, grown back, is the
    brain. Sulci and ventricles are closed.
    """
    core = rough.core(tumour)
    lattice = _around_core(rough, core)
    seed = lattice.sample(_binary(core, rough.lattice), sitk.sitkNearestNeighbor) > 0
    relative = [
        _relative(images[name], base, lattice, seed)
        for name, base in zip(SEQUENCES, rough.backgrounds, strict=True)
    ]
    drawn = lattice.sample(_binary_image(tumour), sitk.sitkNearestNeighbor) > 0
    inside, litres = _inside_skull(relative, seed, drawn)
    brain = _without_rim(relative, inside, seed, drawn)
    return lattice.volume(brain.astype(np.uint8)), not 0.3 < litres < LARGEST_BRAIN_LITRES


def _inside_skull(relative: list[np.ndarray], seed: np.ndarray, drawn: np.ndarray) -> tuple[np.ndarray, float]:
    """What the skull parts from scalp and neck, and its litres: brain, fluid, some marrow."""
    soft = (np.max(relative, axis=0) > 0.6) & (relative[0] < 1.35) | drawn
    for radius in (5.0, 7.0, 9.0):
        kept = _component(~reached(~soft, radius, COARSE_MM), seed)
        inside = reached(kept, radius, COARSE_MM) & soft
        litres = np.count_nonzero(inside) * COARSE_MM**3 / 1e6
        if litres < LARGEST_BRAIN_LITRES:
            break
    return _filled(close(inside | drawn, 6, COARSE_MM)), litres


def _without_rim(
    relative: list[np.ndarray], inside: np.ndarray, seed: np.ndarray, drawn: np.ndarray
) -> np.ndarray:
    """The brain without the fluid and the marrow around it: within 8 mm of the surface only tissue counts."""
    t1, t2, flair = relative
    tissue = (t1 > 0.45) & (t1 < 1.25) & (t2 > 0.45) & (flair > 0.45) | drawn
    likely = inside & (tissue | ~reached(~inside, 8, COARSE_MM))
    kept = _component(~reached(~likely, 3, COARSE_MM), seed)
    brain = reached(kept, 3, COARSE_MM) & likely
    closed = _filled(close(brain | drawn, 6, COARSE_MM) & (inside | drawn))
    marrow = (t1 > 1.25) & reached(~closed, 4, COARSE_MM)
    return closed & ~marrow | drawn


def _around_core(rough: _Rough, core: np.ndarray) -> Lattice:
    """A coarse lattice over what can be brain: a brain reaches no further from its core than this."""
    size = np.asarray(rough.lattice.size)
    points = np.argwhere(core)[:, ::-1] if core.any() else np.array([[0, 0, 0], size - 1])
    first, last = np.maximum(points.min(0) - 35, 0), np.minimum(points.max(0) + 35, size - 1)
    low, high = ([float(rough.lattice.position(a, end[a])) for a in range(3)] for end in (first, last))
    return FieldOfView(triple(low), triple(high)).lattice((COARSE_MM,) * 3)


def _relative(volume: Volume, background: float | None, lattice: Lattice, seed: np.ndarray) -> np.ndarray:
    """A sequence on a lattice, averaged to it; 0 is air and 1 the median over the seed."""
    base = _darkest(_every_nth(volume, ROUGH_MM / 2).array, background)
    voxels = cut_around(volume, lattice)
    array = np.where(foreground(voxels.array, background), voxels.array, base) - base
    image = replace(voxels, array=array.astype(np.float32)).toImage()
    factors = [
        min(n, max(1, round(COARSE_MM / s))) for s, n in zip(voxels.spacing, image.GetSize(), strict=True)
    ]
    coarse = lattice.sample(sitk.BinShrink(image, factors))
    level = float(np.median(coarse[seed])) if seed.any() else float(coarse.mean())
    return coarse / max(level, LEAST_VALUE)


def _darkest(array: np.ndarray, background: float | None) -> float:
    """What air measures: the background, or a low percentile where that is noise."""
    if background is not None and background == background:
        return background
    return float(np.percentile(array[np.isfinite(array)], 1)) if np.isfinite(array).any() else 0.0


def _scale_of_stripped(volume: Volume, background: float | None) -> Scale:
    array = volume.array
    if background is not None and array.dtype.kind in "iu" and array.dtype.itemsize <= 2:
        return _checked_scale(*_exact_statistics(array, background), volume, background)
    return _scale(array[foreground(array, background)], volume, background)


def _exact_statistics(array: np.ndarray, background: float) -> tuple[float, float]:
    """Mean and standard deviation of what is not background in an array of 16 bits or fewer, in one pass.

    Sums of whole numbers are exact in float64, in any order; the background's share is taken out at the end.
    """
    signal = foreground(array, background)
    part = array[content_box(signal)]
    total, squares, count = 0, 0, part.size
    for plane in part:
        values = plane.astype(np.float64).ravel(order="K")
        total += int(values.sum())
        squares += int(np.einsum("i,i->", values, values))  # on one thread: those of BLAS wait for one another
    if background.is_integer():
        level = int(background)
        outside = count - int(np.count_nonzero(signal))
        total, squares, count = total - outside * level, squares - outside * level**2, count - outside
    if not count:
        return 0.0, 0.0
    return total / count, math.sqrt((count * squares - total**2) / count**2)


def _scale_within(volume: Volume, mask: Volume, fat_is_bright: bool, background: float | None = None) -> Scale:
    """Mean and deviation over a mask, from every nth voxel that is not background."""
    thin = _every_nth(cut_around(volume, _lattice_of(mask)), STATISTICS_MM)
    values = thin.array[within(mask, thin) & foreground(thin.array, background)]
    if fat_is_bright:
        values = _without_fat(values, thin.array)
    return _scale(values, volume, background)


def _without_fat(values: np.ndarray, surrounding: np.ndarray) -> np.ndarray:
    """What is left of fat in an estimated brain: few voxels, but of T1 they would double the deviation."""
    if not values.size:
        return values
    air = _darkest(surrounding, None)
    return values[values - air < 1.5 * (np.median(values) - air)]


def _scale(values: np.ndarray, volume: Volume, background: float | None) -> Scale:
    """The crops' recipe: mean and standard deviation of all voxels of the brain."""
    deviation = float(values.std(dtype=np.float64)) if values.size else 0.0
    mean = float(values.mean(dtype=np.float64)) if values.size else 0.0
    return _checked_scale(mean, deviation, volume, background)


def _checked_scale(mean: float, deviation: float, volume: Volume, background: float | None) -> Scale:
    if deviation <= 1e-6 * abs(mean):
        raise CaseError(
            "the image is constant over the brain",
            volume.source,
            "check that this is the image that you meant",
        )
    return Scale(mean, deviation, background)


def _every_nth(volume: Volume, spacing: float) -> Volume:
    """As few voxels as give about this spacing (mm)."""
    steps = [max(1, round(spacing / s)) for s in volume.spacing]
    array = volume.array[tuple(slice(None, None, n) for n in steps[::-1])]
    return replace(
        volume, array=array, spacing=triple(s * n for s, n in zip(volume.spacing, steps, strict=True))
    )


def _lattice_of(mask: Volume) -> Lattice:
    return Lattice(mask.origin, mask.spacing, mask.array.shape[::-1])


def _centre(mask: Volume) -> tuple[float, float, float]:
    """LPS mm of the centre of a mask's bounding box."""
    content = FieldOfView.of(cut_to_content(mask) if mask.array.any() else mask)
    x, y, z = ((a + b) / 2 for a, b in zip(content.low, content.high, strict=True))
    return x, y, z


def _notices(doubt: bool) -> tuple[Notice, ...]:
    found = [Notice("brain-estimated", "The images still show the skull; the brain was found by estimate.")]
    if doubt:
        found.append(
            Notice(
                "brain-doubtful",
                "The brain could not be found with confidence, so that the intensities may be off: "
                "skull-strip the images and grade them again.",
            )
        )
    return tuple(found)


def distance(mask: np.ndarray, spacing: float) -> np.ndarray:
    """Distance in mm of every voxel from the nearest of the mask; 0 or less within it."""
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing((spacing,) * 3)
    return sitk.GetArrayFromImage(
        sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True)
    )


def reached(mask: np.ndarray, radius: float, spacing: float) -> np.ndarray:
    """What is within a radius of a mask (mm), the mask included: ``distance(...) <= radius``, but faster."""
    return grown(mask, (radius / spacing) ** 2)


def close(mask: np.ndarray, radius: float, spacing: float) -> np.ndarray:
    """Morphological closing with a ball (radius and spacing in mm)."""

    reach = (radius / spacing) ** 2

    def closed(part: np.ndarray) -> np.ndarray:
        return ~grown(~grown(part, reach), reach)

    return _within_box(mask, int(radius / spacing) + 2, closed)


def _depth(head: np.ndarray) -> np.ndarray:
    """Distance in mm from the outside of a head on the rough grid; 0 outside."""
    return _within_box(head, 1, lambda part: np.maximum(distance(~part, ROUGH_MM), 0))


def _within_box(mask: np.ndarray, margin: int, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """A function of a mask that is 0 beyond the mask's bounding box and ``margin``, computed only there."""
    box = content_box(mask, margin)
    if not mask[box].size:
        return function(mask)
    inside = function(mask[box])
    result = np.zeros(mask.shape, inside.dtype)
    result[box] = inside
    return result


def _component(mask: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """The component of a mask with the most of the seed in it; the largest where none has any."""
    labels = components(mask)
    counts = np.bincount(labels[seed & mask])
    return labels == counts.argmax() if counts.size else largest_component(mask)


def _filled(mask: np.ndarray) -> np.ndarray:
    return _within_box(mask, 0, filled)


def _otsu(values: np.ndarray) -> float:
    threshold = sitk.OtsuThresholdImageFilter()
    threshold.Execute(sitk.GetImageFromArray(values.astype(np.float32)))
    return float(threshold.GetThreshold())


def _binary(mask: np.ndarray, lattice: Lattice | None = None) -> sitk.Image:
    array = mask.astype(np.uint8)
    return lattice.volume(array).toImage() if lattice else sitk.GetImageFromArray(array)


def _binary_image(volume: Volume) -> sitk.Image:
    content = cut_to_content(volume)
    if content.array.size == 0:
        content = replace(volume, array=volume.array[:1, :1, :1])
    return replace(content, array=content.array.astype(np.uint8)).toImage()
