"""A synthetic head: signed distances of its parts, painted tissue by tissue in three contrasts.

Nothing here comes from a patient. Positions are in mm as (L, A, S): patient left, anterior and superior
of the middle of the brain, roughly where stereotactic atlases put them. A signed distance is negative
inside a part. Everything random comes from one seeded generator, so the same head is made every time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import SimpleITK as sitk

SIZE = (160, 224, 192)
"""Voxels along K (S), J (P) and I (L) at 1 mm."""

FIRST = (-66.0, -100.0, -95.5)
"""Position of the first voxel along S, P and L in mm."""

COARSE = 2
"""Smooth fields are computed on every second voxel and interpolated: eight times faster."""

Box = tuple[slice, slice, slice]
EVERYTHING: Box = (slice(None), slice(None), slice(None))

TISSUES: dict[str, tuple[float, float, float]] = {
    # tissue: brightness in T1, T2, FLAIR
    "air": (0, 0, 0),
    "bone": (50, 35, 30),
    "marrow": (560, 330, 260),
    "fat": (930, 600, 520),
    "skin": (420, 260, 270),
    "muscle": (380, 180, 250),
    "dura": (250, 110, 150),
    "vessel": (90, 40, 40),
    "csf": (150, 930, 55),
    "white": (660, 260, 310),
    "grey": (485, 360, 405),
    "thalamus": (540, 325, 370),
    "striatum": (505, 335, 395),
    "pallidum": (580, 225, 315),
    "brainstem": (610, 285, 330),
    "vitreous": (170, 900, 70),
    "lens": (330, 150, 190),
    "oedema": (440, 620, 760),
    "rim": (430, 440, 540),
    "necrosis": (250, 830, 380),
    "blood": (860, 170, 290),
    "diffuse": (340, 720, 375),
    "diffuse edge": (390, 670, 600),
}


@dataclass(frozen=True)
class Lesion:
    """One tumour: where it grows, how large, what it is made of and how far it pushes the midline."""

    centre: tuple[float, float, float]
    radius: float
    lumps: float
    oedema_reach: float
    core_share: float
    push: tuple[float, float, float]
    diffuse: bool


@dataclass(frozen=True, eq=False)
class Grid:
    """Coordinates (L, A, S) of a lattice over the head, each broadcastable to its shape."""

    step: int

    @property
    def shape(self) -> tuple[int, int, int]:
        return tuple(n // self.step for n in SIZE)  # type: ignore[return-value]

    def axes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        s, p, left = (
            first + self.step * np.arange(n, dtype=np.float32) + (self.step - 1) / 2
            for first, n in zip(FIRST, self.shape, strict=True)
        )
        return left[None, None, :], -p[None, :, None], s[:, None, None]

    def image(self, array: np.ndarray) -> sitk.Image:
        image = sitk.GetImageFromArray(array)
        image.SetSpacing((float(self.step),) * 3)
        image.SetOrigin(tuple(first + (self.step - 1) / 2 for first in reversed(FIRST)))
        return image


FINE, ROUGH = Grid(1), Grid(COARSE)


def finer(field: np.ndarray) -> np.ndarray:
    """A field of the rough grid, interpolated linearly to the fine one (its ends are extended)."""
    field = field.astype(np.float32, copy=False)
    for axis in (2, 1, 0):
        field = _doubled(field, axis)
    return field


def _doubled(field: np.ndarray, axis: int) -> np.ndarray:
    """Two samples for one along an axis, a quarter of a step to either side of it."""

    def along(*cut: int | None) -> Box:
        return tuple(slice(*cut) if k == axis else slice(None) for k in range(3))  # type: ignore[return-value]

    double = np.repeat(field * np.float32(0.75), 2, axis)
    rest = field * np.float32(0.25)
    double[along(2, None, 2)] += rest[along(None, -1)]
    double[along(1, -1, 2)] += rest[along(1, None)]
    double[along(None, 1)] += rest[along(None, 1)]
    double[along(-1, None)] += rest[along(-1, None)]
    return double


def waves(rng: np.random.Generator, size: float, band: bool = False) -> np.ndarray:
    """Smooth noise on the rough grid, mean 0 and deviation 1, with lumps of about ``size`` mm.

    ``band`` also takes out what is larger, so that the noise swings about 0 at one scale.
    """
    white = ROUGH.image(rng.standard_normal(ROUGH.shape, dtype=np.float32))
    smooth = sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(white, size / 4))
    if band:
        smooth = smooth - sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(white, size / 2.6))
    return (smooth - smooth.mean()) / smooth.std()


def ramp(value: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 up to ``low``, 1 from ``high``, smooth between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def blend(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    """Union of two signed distances, rounded where they meet."""
    h = np.maximum(width - np.abs(a - b), 0) / width
    return np.minimum(a, b) - h * h * width / 4


@dataclass(frozen=True, eq=False)
class Place:
    """Where the voxels of one box lie in the head before anything has pushed it (L, A, S in mm)."""

    left: np.ndarray
    front: np.ndarray
    up: np.ndarray

    @property
    def aside(self) -> np.ndarray:
        """Distance from the midline: parts that exist on both sides are described once."""
        return np.abs(self.left)

    def cut(self, box: Box) -> Place:
        return Place(self.left[box], self.front[box], self.up[box])

    def ellipsoid(
        self,
        centre: Sequence[float],
        axes: Sequence[float],
        both: bool = True,
        turn: float = 0.0,
    ) -> np.ndarray:
        """About the signed distance of an ellipsoid, turned by ``turn`` degrees about S."""
        x = (self.aside if both else self.left) - centre[0]
        y, z = self.front - centre[1], self.up - centre[2]
        c, s = np.float32(np.cos(np.deg2rad(turn))), np.float32(np.sin(np.deg2rad(turn)))
        p = ((c * x + s * y), (c * y - s * x), z)
        near = np.sqrt(sum((q / np.float32(a)) ** 2 for q, a in zip(p, axes, strict=True)))
        steep = np.sqrt(sum((q / np.float32(a * a)) ** 2 for q, a in zip(p, axes, strict=True)))
        return near * (near - 1) / np.maximum(steep, 1e-4)

    def tube(self, points: Sequence[tuple[float, float, float, float]], flat: float = 1.0) -> np.ndarray:
        """A tube through (L, A, S, radius) on both sides; ``flat`` below 1 makes it narrow across."""
        return np.minimum.reduce([self._piece(a, b, flat) for a, b in pairwise(points)])

    def _piece(self, start: Sequence[float], end: Sequence[float], flat: float) -> np.ndarray:
        a, b = np.asarray(start[:3], np.float32), np.asarray(end[:3], np.float32)
        along = b - a
        x, y, z = self.aside - a[0], self.front - a[1], self.up - a[2]
        t = np.clip((x * along[0] + y * along[1] + z * along[2]) / (along @ along), 0, 1)
        across = ((x - t * along[0]) / np.float32(flat)) ** 2
        far = np.sqrt(across + (y - t * along[1]) ** 2 + (z - t * along[2]) ** 2)
        return far - (start[3] + t * (end[3] - start[3]))


def box_of(low: Sequence[float], high: Sequence[float]) -> Box:
    """The voxels between two (L, A, S) corners."""
    start = (low[2], -high[1], low[0])
    stop = (high[2], -low[1], high[0])
    return tuple(  # type: ignore[return-value]
        slice(max(int(a - first), 0), min(int(b - first) + 1, n))
        for a, b, first, n in zip(start, stop, FIRST, SIZE, strict=True)
    )


def both_sides(outer: float, back: float, front: float, low: float, high: float) -> Box:
    """The box of a part that exists on both sides, with room for what a tumour moves."""
    return box_of((-outer - 9, back - 6, low - 6), (outer + 9, front + 6, high + 6))


# ---------------------------------------------------------------- the surfaces everything hangs on


def cerebrum(at: Place) -> np.ndarray:
    """Both hemispheres: an egg with a flat base, and the temporal lobes below it."""
    egg = Place(at.left * (1 + np.float32(0.0012) * (at.front + 16)), at.front, at.up)
    main = egg.ellipsoid((0, -16, 9), (68, 88, 67), both=False)
    temporal = at.ellipsoid((45, -10, -20), (20, 43, 20), turn=-8)
    return blend(np.maximum(main, tentorium(at) - at.up), temporal, 7)


def cerebellum(at: Place) -> np.ndarray:
    sides = at.ellipsoid((22, -65, -34), (31, 31, 25))
    whole = blend(sides, at.ellipsoid((0, -64, -22), (27, 27, 22)), 6)
    return np.maximum(whole, at.up - tentorium(at) + 1.8)


def tentorium(at: Place) -> np.ndarray:
    """Height of the base of the hemispheres, which rises to a tent over the cerebellum."""
    tent = 20 * np.exp(-((at.left / 30) ** 2)) * (1 - ramp(-at.front, 60, 100))
    return -22 + ramp(-at.front, 20, 50) * (1 + tent)


def brainstem(at: Place) -> np.ndarray:
    stem = at.tube([(0, -24, -6, 15), (0, -30, -32, 12.5), (0, -38, -54, 8), (0, -40, -75, 6.5)])
    legs = at.tube([(14, -14, -2, 7), (7, -22, -16, 7)])
    return blend(blend(stem, at.ellipsoid((0, -24, -32), (17, 13, 14)), 5), legs, 4)


def cavity(at: Place) -> np.ndarray:
    """The inside of the skull: the brain with its water around it."""
    inside = blend(blend(cerebrum(at), cerebellum(at), 16), brainstem(at), 14)
    return inside - np.float32(1.6)


def outline(at: Place, skull: np.ndarray) -> np.ndarray:
    """The skin: scalp over the skull, face, nose and neck."""
    face = at.ellipsoid((0, 26, -56), (62, 62, 66), both=False)
    nose = at.ellipsoid((0, 84, -50), (12, 22, 24), both=False)
    neck = np.sqrt((at.left / 60) ** 2 + ((at.front + 22) / 68) ** 2 + 0 * at.up) * 60 - 60
    neck = np.maximum(neck, at.up + 46)
    return blend(blend(blend(skull - np.float32(6.5), face, 22), nose, 10), neck, 20)


# ---------------------------------------------------------------- brain


@dataclass(frozen=True, eq=False)
class Ribbon:
    """What the folds of the cortex are made of, on the fine grid."""

    depth: np.ndarray
    """Depth below the brain's smooth surface in mm, negative outside."""
    fold: np.ndarray
    """Signed distance in mm to the nearest furrow's sheet."""
    reach: np.ndarray
    """How deep the furrows go here."""
    width: np.ndarray
    """Half the width of a furrow at the surface."""


def sheets(rng: np.random.Generator, surface: np.ndarray, size: float, lean: float) -> np.ndarray:
    """Signed distance to the zero sheets of smooth noise that stand upright on ``surface`` (rough grid).

    Noise is looked up at the point of the surface above each voxel (``lean`` of the way there), so that
    its zero sheets go straight down, as furrows do.
    """
    noise = ROUGH.image(waves(rng, size, band=True))
    slope = np.stack(np.gradient(surface, COARSE), axis=-1)
    slope /= np.maximum(np.linalg.norm(slope, axis=-1, keepdims=True), 1e-3)
    rise = np.clip(-surface, 0, 30)[..., None] * slope * np.float32(lean)
    shift = sitk.GetImageFromArray(rise[..., ::-1].astype(np.float64), isVector=True)
    shift.CopyInformation(noise)
    looked_up = sitk.GetArrayFromImage(
        sitk.Resample(noise, noise, sitk.DisplacementFieldTransform(shift), sitk.sitkLinear, 1.0)
    )
    steep = np.sqrt(sum(g * g for g in np.gradient(looked_up, COARSE)))
    return np.clip(looked_up / np.maximum(steep, 0.35 * steep.mean()), -25, 25)


def ribbon(rng: np.random.Generator, at: Place, effaced: np.ndarray) -> Ribbon:
    """Folds of the hemispheres; ``effaced`` (0 to 1, rough grid) is where swelling closes them."""
    surface = np.maximum(cerebrum(at), -median_gap(at))
    fold = sheets(rng, surface, 16, 0.7)
    reach = np.clip(15.5 + 7.5 * waves(rng, 26), 5, 30)
    width = np.clip(0.55 + 0.25 * waves(rng, 40), 0.2, 1.3) * (1 - 0.75 * effaced)
    uneven = np.clip(0.4 + 0.6 * waves(rng, 32), 0, 1.8) * (1 - effaced)
    return Ribbon(finer(-surface - uneven), finer(fold), finer(reach), finer(width))


def callosum_ring(at: Place) -> np.ndarray:
    """Distance in the median plane from the arch that the corpus callosum follows, negative below it."""
    return np.hypot((at.front + 3) / np.float32(40), (at.up - 2) / np.float32(27)) * 31 - 31


def median_gap(at: Place) -> np.ndarray:
    """Distance to the fissure between the hemispheres, which ends on the corpus callosum."""
    return np.hypot(at.left, np.maximum(-callosum_ring(at), 0))


def to_water(at: Place, folds: Ribbon) -> np.ndarray:
    """Distance from the nearest outer water (surface, furrow or fissure) in mm, negative in it."""
    below = np.maximum(folds.depth - folds.reach, 0)
    depth = np.maximum(folds.depth, 0)
    narrow = folds.width * (1 - 0.6 * np.minimum(depth / folds.reach, 1) + 0.7 * np.exp(-depth / 3))
    furrow = np.hypot(folds.fold, below) - narrow
    middle = median_gap(at) - np.float32(0.5)
    return np.minimum(np.minimum(folds.depth, furrow), np.minimum(middle, lateral_fissure(at)))


def lateral_fissure(at: Place) -> np.ndarray:
    """The Sylvian fissure: a cleft from the side, and the sheet over the insula that it opens on."""
    height = 1.5 * np.sin(at.front / np.float32(5)) - np.float32(0.3) * at.front - 1
    over = at.up - height
    cleft = np.hypot(over, np.maximum(np.maximum(38 - at.aside, np.abs(at.front + 4) - 30), 0)) - 0.8
    bent = at.aside - (39 - np.float32(0.008) * (at.front + 2) ** 2)
    island = np.hypot(bent, np.maximum(np.maximum(np.abs(over) - 11, np.abs(at.front + 2) - 21), 0)) - 0.5
    return np.minimum(cleft, island)


VENTRICLE = [
    (6.5, 33, 3, 2.5),
    (6.5, 22, 10, 5.5),
    (6.5, 4, 19, 6.2),
    (9, -14, 21, 5.4),
    (17, -28, 20, 5.2),
    (24, -40, 14, 7.2),
]
HORNS = [
    [(24, -40, 14, 6.0), (27, -56, 9, 4.2), (25, -74, 6, 1.6)],
    [(24, -40, 12, 5.0), (32, -34, -4, 3.2), (34, -20, -14, 2.6), (31, -10, -17, 2.2)],
]


def ventricles(at: Place) -> np.ndarray:
    """Lateral ventricles with three horns each."""
    body = at.tube(VENTRICLE, flat=0.85)
    for horn in HORNS:
        body = blend(body, at.tube(horn, flat=0.8), 3)
    return np.maximum(body, 0.7 - at.aside)


def third_ventricle(at: Place) -> np.ndarray:
    return np.maximum(at.aside - 2.0, at.ellipsoid((0, -12, -2), (9, 16, 11)))


def fourth_ventricle(at: Place) -> np.ndarray:
    tent = at.ellipsoid((0, -46, -35), (8, 6, 11))
    return np.minimum(tent, at.tube([(0, -32, -8, 1.3), (0, -42, -30, 1.6)]))


# ---------------------------------------------------------------- painting


class Canvas:
    """Three images that tissues are painted on, each with the part of a voxel that it fills."""

    def __init__(self) -> None:
        self.images = [np.zeros(SIZE, np.float32) for _ in range(3)]

    def cover(self, tissue: str, part: np.ndarray, box: Box = EVERYTHING) -> None:
        for image, value in zip(self.images, TISSUES[tissue], strict=True):
            view = image[box]
            view += part * (np.float32(value) - view)

    def fill(self, tissue: str, distance: np.ndarray, box: Box = EVERYTHING, soft: float = 1.2) -> None:
        """Paint the inside of a signed distance with an edge ``soft`` mm wide (partial volume)."""
        self.cover(tissue, np.clip(0.5 - distance / np.float32(soft), 0, 1), box)


@dataclass(frozen=True, eq=False)
class Head:
    """Everything that the painters share."""

    canvas: Canvas
    true: Place
    """Positions as they are."""
    rest: Place
    """Positions before the tumour pushed: the brain is described here."""
    inside: np.ndarray
    """Signed distance to the inside of the skull."""
    rng: np.random.Generator

    def noise(self, size: float, box: Box = EVERYTHING) -> np.ndarray:
        return finer(waves(self.rng, size))[box]


def paint_skin_to_skull(head: Head, skin: np.ndarray) -> None:
    """Outside in: skin, fat, muscle, bone with marrow; then the inside of the skull as water."""
    canvas, at, inside = head.canvas, head.true, head.inside
    lumps = head.noise(14)
    canvas.fill("skin", skin)
    canvas.fill("fat", skin + 1.8)
    temple = np.maximum(np.abs(at.front - 18) - 34, np.abs(at.up + 12) - 36) / 3
    deep = np.maximum(skin + 5.5 + 1.2 * lumps, np.minimum(at.up + 26 - 0.2 * at.front, temple))
    canvas.fill("muscle", np.maximum(deep, 6 - inside))
    canvas.fill("fat", np.maximum(np.maximum(deep + 3, 1.6 - 2 * np.abs(lumps - 0.5)), 8 - inside))
    thick = 6.8 + 0.5 * lumps
    canvas.fill("bone", inside - thick)
    canvas.fill("marrow", np.abs(inside - 0.5 * thick) - 1.15 - 0.3 * lumps, soft=1.4)
    canvas.fill("dura", inside - 0.7)
    canvas.fill("csf", inside)


def paint_face(head: Head) -> None:
    """Eyes in their fat, air in nose and sinuses: landmarks, not anatomy."""
    box = box_of((-62, 5, -66), (62, 99, 4))
    canvas, at, outside = head.canvas, head.true.cut(box), 5 - head.inside[box]
    orbit = np.maximum(at.ellipsoid((29, 58, -31), (19, 28, 18), turn=14), outside)
    canvas.fill("bone", orbit - 1.5, box)
    canvas.fill("fat", orbit, box)
    for side in (-5.5, 5.5):
        muscle = at.tube([(31 + side, 66, -31, 2), (21, 34, -29, 1.5)])
        canvas.fill("muscle", np.maximum(muscle, outside), box)
    canvas.fill("muscle", at.tube([(31, 58, -31, 1.8), (20, 32, -28, 1.8)]), box)
    canvas.fill("bone", at.ellipsoid((31, 67, -31), (13, 13, 13)), box)
    canvas.fill("vitreous", at.ellipsoid((31, 67, -31), (12, 12, 12)), box)
    canvas.fill("lens", at.ellipsoid((31, 75.5, -31), (4.5, 2.2, 4.5)), box)
    cells = np.maximum(at.ellipsoid((7, 52, -42), (5.5, 26, 15)), outside)
    maxilla = np.maximum(at.ellipsoid((27, 46, -64), (15, 17, 13)), outside)
    frontal = np.maximum(at.ellipsoid((10, 76, -16), (10, 5, 8)), 2 - head.inside[box])
    sphenoid = np.maximum(at.ellipsoid((7, 14, -33), (6.5, 12, 8)), outside)
    for air in (cells, maxilla, frontal, sphenoid):
        canvas.fill("bone", air - 1.2, box)
        canvas.fill("air", air, box)
    canvas.fill("skin", np.maximum(at.aside - 1.0, cells), box)


def paint_temporal_bone(head: Head) -> None:
    box = both_sides(68, -52, -10, -52, -26)
    at = head.true.cut(box)
    rock = np.maximum(at.ellipsoid((44, -28, -40), (30, 13, 11), turn=18), 0.8 - head.inside[box])
    mottled = head.noise(7, box)
    head.canvas.fill("bone", rock, box)
    head.canvas.fill("marrow", np.maximum(rock + 2, 1.5 - 2 * mottled), box)
    canal = at.tube([(50, -28, -40, 3.0), (80, -26, -42, 3.5)])
    head.canvas.fill("air", canal, box)


def paint_hemispheres(head: Head, folds: Ribbon) -> np.ndarray:
    """Cortex and white matter; returns how much of each voxel is white matter."""
    water = to_water(head.rest, folds)
    water = np.minimum(water, folds.depth)
    thick = np.float32(3.1)
    head.canvas.fill("grey", -water)
    white = np.clip(0.5 + (water - thick) / np.float32(1.8), 0, 1)
    head.canvas.cover("white", white)
    return white


def paint_callosum(head: Head) -> None:
    box = both_sides(24, -46, 40, 0, 32)
    at = head.rest.cut(box)
    arch = np.abs(callosum_ring(at) + 3.6) - 3.2 - ramp(np.abs(at.front + 3), 25, 40)
    head.canvas.fill("white", np.maximum(np.maximum(arch, at.aside - 20), 1 - at.up), box)


def paint_nuclei(head: Head) -> None:
    """Deep grey matter, around the ventricles and not over them."""
    box = both_sides(36, -34, 32, -22, 28)
    at = head.rest.cut(box)
    caudate = at.tube([(12, 20, 4, 5.5), (13, 10, 11, 5.0), (15.5, -4, 19, 3.2), (20, -22, 21, 2.0)])
    parts: Iterable[tuple[str, np.ndarray]] = (
        ("striatum", caudate),
        ("striatum", at.ellipsoid((26.5, 2, 1), (5.2, 17, 11.5), turn=-14)),
        ("pallidum", at.ellipsoid((19.5, -3, -1), (4.6, 9, 7), turn=-24)),
        ("thalamus", at.ellipsoid((11.5, -19, 8), (9.5, 14.5, 9), turn=-24)),
        ("grey", np.abs(at.ellipsoid((27.5, 0, 2), (8, 21, 14), turn=-12)) - 0.4),
    )
    for tissue, distance in parts:
        head.canvas.fill(tissue, distance, box, soft=2.0)
    low = both_sides(36, -40, 2, -26, -4)
    hippocampus = head.rest.cut(low).tube([(24, -2, -18, 7), (27, -20, -15, 4), (28, -36, -6, 2)])
    head.canvas.fill("grey", hippocampus, low)


def paint_ventricles(head: Head) -> None:
    box = both_sides(42, -82, 40, -24, 34)
    at = head.rest.cut(box)
    head.canvas.fill("csf", ventricles(at), box)
    head.canvas.fill("csf", third_ventricle(at), box)
    plexus = np.maximum(at.ellipsoid((23, -40, 12), (2.6, 6, 3.5)), ventricles(at))
    head.canvas.fill("grey", plexus, box)


def paint_behind(head: Head) -> None:
    """Brain stem and cerebellum with its leaves."""
    box = both_sides(56, -96, -2, -60, 4)
    at = head.rest.cut(box)
    stem, hull = brainstem(at), cerebellum(at)
    wobble = head.noise(18, box)
    phase = (at.up + 38 - 0.25 * (at.front + 64) + 2.0 * wobble) / np.float32(6.0)
    leaf = np.abs(phase - np.round(phase)) * 6.0
    furrow = np.hypot(leaf, np.maximum(-hull - 12, 0)) - 0.35
    water = np.minimum(-hull, furrow)
    head.canvas.fill("grey", -water, box)
    head.canvas.cover("white", np.clip(0.5 + (water - 1.9) / 1.6, 0, 1) * (hull < -2.5), box)
    head.canvas.fill("white", at.ellipsoid((16, -58, -38), (10, 9, 6)), box, soft=4)
    head.canvas.fill("striatum", np.abs(at.ellipsoid((15, -60, -38), (6.5, 6.5, 5))) - 0.5, box)
    head.canvas.fill("brainstem", np.maximum(stem, at.up - 1), box, soft=3)
    head.canvas.fill("pallidum", at.ellipsoid((5.5, -20, -10), (3, 3, 4)), box, soft=2)
    head.canvas.fill("csf", fourth_ventricle(at), box)


def paint_membranes(head: Head) -> None:
    """Falx and the large veins and arteries: dark lines that tell the midline at once."""
    at, inside = head.rest, head.inside
    ring = callosum_ring(at)
    falx = np.maximum(np.abs(at.left) - 0.5, np.maximum(6 + 6 * ramp(at.front, 0, 60) - ring, -14 - at.up))
    head.canvas.fill("dura", np.maximum(falx, inside))
    sinus = np.maximum(np.abs(at.left) * 1.2 - (5 + inside), np.maximum(inside, -inside - 5))
    head.canvas.fill("vessel", np.maximum(sinus, np.maximum(at.front - 55, 5 - at.up)))
    box = both_sides(40, -40, 24, -34, 10)
    near = head.rest.cut(box)
    arteries = near.tube([(0.5, -12, -32, 1.7), (0.5, -12, -20, 1.7)])
    arteries = np.minimum(arteries, near.tube([(8, 2, -26, 2.2), (12, 4, -18, 1.7), (33, 4, -8, 1.2)]))
    head.canvas.fill("vessel", arteries, box)


# ---------------------------------------------------------------- tumour


def pushed(at: Place, inside: np.ndarray, lesion: Lesion, sway: list[np.ndarray]) -> Place:
    """Where each voxel's tissue lay before the tumour grew (rough grid)."""
    x, y, z = (a - np.float32(c) for a, c in zip((at.left, at.front, at.up), lesion.centre, strict=True))
    near = np.exp(-(x * x + y * y + z * z) / np.float32(2 * 38.0**2))
    free = ramp(-inside, 0, 26)
    spread = 0.16 * near
    moved = [
        a - free * (near * np.float32(push) + spread * d) - 1.2 * s * free
        for a, push, d, s in zip((at.left, at.front, at.up), lesion.push, (x, y, z), sway, strict=True)
    ]
    return Place(*(m.astype(np.float32) for m in moved))


def lesion_body(head: Head, lesion: Lesion, box: Box) -> np.ndarray:
    """Signed distance of the solid tumour: a lumpy ball that stays inside the skull."""
    at = head.true.cut(box)
    x, y, z = (a - np.float32(c) for a, c in zip((at.left, at.front, at.up), lesion.centre, strict=True))
    ball = np.sqrt(x * x + (y / 1.15) ** 2 + (z / 0.95) ** 2) - lesion.radius
    lumps = head.noise(22, box) + 0.25 * head.noise(9, box)
    return np.maximum(ball + lesion.lumps * lumps, head.inside[box] + 3)


def lesion_box(lesion: Lesion) -> Box:
    """Room for the tumour, its oedema and the noise in their outlines."""
    room = lesion.radius * 1.15 + lesion.oedema_reach + 3 * lesion.lumps + 18
    return box_of([c - room for c in lesion.centre], [c + room for c in lesion.centre])


def paint_aggressive(head: Head, lesion: Lesion, white: np.ndarray, mask: np.ndarray) -> None:
    """Oedema that follows the white matter, a solid rim, a necrotic centre and specks of blood."""
    box, canvas = lesion_box(lesion), head.canvas
    body, labels = lesion_body(head, lesion, box), mask[box]
    water = oedema(head, lesion, body, white[box], box)
    canvas.cover("oedema", water, box)
    labels[water > 0.45] = 2
    canvas.fill("rim", body, box, soft=1.8)
    labels[body < 0] = 4
    core = body + lesion.radius * (1 - lesion.core_share) + 1.6 * head.noise(12, box)
    canvas.fill("necrosis", core, box, soft=2.2)
    labels[core < 0] = 1
    canvas.fill("blood", np.maximum(body + 1.5, 3.4 - 2 * head.noise(7, box)), box, soft=1.6)


def oedema(head: Head, lesion: Lesion, body: np.ndarray, white: np.ndarray, box: Box) -> np.ndarray:
    """How much water each voxel took up: much in white matter, little in cortex, none past the midline."""
    rest = head.rest.cut(box)
    reach = body - lesion.oedema_reach - 5.0 * head.noise(26, box) - 2.0 * head.noise(12, box)
    side = rest.left * np.float32(np.sign(lesion.centre[0]))
    dry = ramp(np.minimum(ventricles(rest), side - 2.5), 0, 1.5)
    return ramp(-reach, -1.5, 4) * (0.81 + 0.14 * ramp(-reach, 0, 14)) * (0.12 + 0.88 * white) * dry


def paint_diffuse(head: Head, lesion: Lesion, mask: np.ndarray) -> None:
    """Even and well outlined: bright on T2, on FLAIR darker within a bright edge, no oedema."""
    box = lesion_box(lesion)
    body = lesion_body(head, lesion, box)
    head.canvas.fill("diffuse edge", body, box, soft=2.0)
    head.canvas.cover("diffuse", ramp(-body, 0.5, 6.5), box)
    mask[box][body < 0] = 1


# ---------------------------------------------------------------- the whole


def build(seed: int, lesion: Lesion) -> tuple[list[np.ndarray], np.ndarray]:
    """Three noise-free images (K, J, I, float32) and the tumour mask with BraTS labels (uint8)."""
    rng = np.random.default_rng(seed)
    rough = Place(*(np.broadcast_to(a, ROUGH.shape) for a in ROUGH.axes()))
    inside = cavity(rough)
    skin = outline(rough, inside + np.float32(0) - 6.2)
    rest = pushed(rough, inside, lesion, [waves(rng, 45) for _ in range(3)])
    close = ramp(-np.sqrt(_distance2(rough, lesion.centre)), -62, -28) * (0.3 if lesion.diffuse else 1.0)
    folds = ribbon(rng, rest, close)
    head = Head(
        Canvas(),
        Place(*(np.broadcast_to(a, SIZE) for a in FINE.axes())),
        Place(*(finer(a) for a in (rest.left, rest.front, rest.up))),
        finer(inside),
        rng,
    )
    return _painted(head, finer(skin), folds, lesion)


def _painted(
    head: Head, skin: np.ndarray, folds: Ribbon, lesion: Lesion
) -> tuple[list[np.ndarray], np.ndarray]:
    mask = np.zeros(SIZE, np.uint8)
    paint_skin_to_skull(head, skin)
    paint_face(head)
    paint_temporal_bone(head)
    paint_behind(head)
    white = paint_hemispheres(head, folds)
    paint_callosum(head)
    paint_nuclei(head)
    paint_ventricles(head)
    paint_membranes(head)
    if lesion.diffuse:
        paint_diffuse(head, lesion, mask)
    else:
        paint_aggressive(head, lesion, white, mask)
    return head.canvas.images, mask


def _distance2(at: Place, centre: Sequence[float]) -> np.ndarray:
    return (at.left - centre[0]) ** 2 + (at.front - centre[1]) ** 2 + (at.up - centre[2]) ** 2
