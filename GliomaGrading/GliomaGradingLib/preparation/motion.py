"""Rigid motions between two sequences, by mutual information: how far they are off, and the motion back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from .. import coarse
from ..volume import LEAST_VALUE, Volume

CHECK_MM, FINE_MM = 4.0, 2.0
"""Voxel size at which alignment is checked, and at which a registration ends."""

INSIDE = 3
"""Voxels of CHECK_MM: what lies deeper than 12 mm is brain, with or without a skull."""

_BINS = 24
_DIGITS = 4  # of mm and degrees: finer differences are rounding, which must not grow
_STEP = 4.0  # mm and degrees: the shifts and turns of the check


@dataclass(frozen=True)
class Motion:
    """A rigid motion from reference to moving points (LPS, mm); the mutual information before and after."""

    matrix: np.ndarray
    before: float
    after: float

    @property
    def degrees(self) -> float:
        return rotation_degrees(self.matrix)

    def shift_mm(self, point: np.ndarray) -> float:
        """How far a point of the reference lies from where it is in the moving sequence."""
        return float(np.linalg.norm(self.matrix[:3, :3] @ point + self.matrix[:3, 3] - point))


@dataclass(frozen=True, eq=False)
class Target:
    """What a sequence is compared with: LPS points in the reference's head, and its grey levels there."""

    points: np.ndarray
    bins: np.ndarray

    @classmethod
    def of(cls, reference: Volume, points: np.ndarray) -> Target:
        return cls(points, _binned(coarse.sample(reference, points)[0]))

    @property
    def centre(self) -> np.ndarray:
        return self.points.mean(axis=0)

    def score(self, moving: Volume, matrix: np.ndarray) -> float:
        """Mutual information (nats) with ``moving``, a rigid motion applied to the points."""
        values, inside = coarse.sample(moving, coarse.transformed(matrix, self.points))
        if inside.mean() < 0.25:
            return 0.0
        return _information(self.bins[inside], _binned(values[inside]))


def suspected_motion(reference: Volume | Target, moving: Volume) -> float:
    """How far two coarse volumes seem to be off each other, in mm and degrees together (0 to about 10).

    A parabola through the mutual information at -4, 0 and +4 mm (degrees) for each of six rigid motions.
    """
    target = reference if isinstance(reference, Target) else check_target(reference)
    return float(np.linalg.norm(_newton_step(target, moving, np.eye(4), _STEP)))


def find_motion(reference: Volume, moving: Volume) -> Motion:
    """The rigid motion with the most mutual information: SimpleITK at 4 mm, then parabolas at 2 mm voxels.

    It is found on the head with its edge, which is where a rigid motion shows best, and judged (``before``,
    ``after``) on the inside of the head alone: an edge that only skull-stripping moved gains nothing there.
    Deterministic: the same voxels every time, on one thread.
    """
    small, small_moving = coarse.shrunk(reference, CHECK_MM), coarse.shrunk(moving, CHECK_MM)
    return refined(reference, moving, _optimise(small, small_moving, _start(small, small_moving)))


def refined(reference: Volume, moving: Volume, start: np.ndarray) -> Motion:
    """The motion with the most mutual information near one that is about right."""
    small = coarse.shrunk(reference, CHECK_MM)
    fine, fine_moving = coarse.shrunk(reference, FINE_MM), coarse.shrunk(moving, FINE_MM)
    whole = Target.of(fine, head_points(small, 1, most=40000))
    matrix = _rounded(polished(whole, fine_moving, start))
    inside = Target.of(fine, head_points(small, -INSIDE, most=15000))
    return Motion(matrix, inside.score(fine_moving, np.eye(4)), inside.score(fine_moving, matrix))


def head_points(volume: Volume, rim: int, most: int) -> np.ndarray:
    """(N, 3) LPS centres of at most ``most`` voxels of the head, grown by ``rim`` voxels (or shrunk)."""
    points = coarse.positions(volume)[_head_region(volume, rim)]
    return points[:: max(1, -(-len(points) // most))]


def _head_region(volume: Volume, rim: int) -> np.ndarray:
    head = coarse.head(volume)
    if rim >= 0:
        return coarse.dilated(head, rim)
    inner = coarse.eroded(head, -rim)
    return inner if inner.any() else head


def check_target(small: Volume) -> Target:
    """The head with its edge, which tells as much as its inside."""
    return Target.of(small, head_points(small, 1, most=15000))


def rotation_degrees(matrix: np.ndarray) -> float:
    cosine = (np.trace(matrix[:3, :3]) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def inverse_motion(matrix: np.ndarray) -> np.ndarray:
    """The rigid motion that takes ``matrix`` back."""
    inverse = np.eye(4)
    inverse[:3, :3] = matrix[:3, :3].T
    inverse[:3, 3] = -(matrix[:3, :3].T * matrix[:3, 3]).sum(axis=1)
    return inverse


def rigid_matrix(vector: np.ndarray, translation: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """4 x 4: turns about ``centre`` by the rotation vector (radians), then shifts (mm)."""
    angle = float(np.linalg.norm(vector))
    matrix = np.eye(4)
    if angle > 0:
        x, y, z = np.asarray(vector) / angle
        cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        matrix[:3, :3] += np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    matrix[:3, 3] = centre - matrix[:3, :3] @ centre + translation
    return matrix


def _newton_step(target: Target, moving: Volume, start: np.ndarray, step: float) -> np.ndarray:
    """Shift (mm) and turn (degrees) from ``start`` to the peaks of six parabolas, each at most ``step``."""
    here, centre = target.score(moving, start), target.centre
    best = np.zeros(6)
    for axis in range(6):
        sides = []
        for sign in (-step, step):
            motion = np.zeros(6)
            motion[axis] = sign
            sides.append(target.score(moving, start @ _small_motion(motion, centre)))
        best[axis] = vertex(sides[0], here, sides[1]) * step
    return best.round(_DIGITS)


def _small_motion(motion: np.ndarray, centre: np.ndarray) -> np.ndarray:
    return rigid_matrix(np.deg2rad(motion[3:]), motion[:3], centre)


def polished(target: Target, moving: Volume, matrix: np.ndarray) -> np.ndarray:
    """Repeated steps to the parabolas' peaks; a step that loses information is taken half as far."""
    score = target.score(moving, matrix)
    for step in (2.0,) * 6 + (1.0,) * 4:
        motion = _newton_step(target, moving, matrix, step)
        for fraction in (1.0, 0.5, 0.25):
            candidate = matrix @ _small_motion(fraction * motion, target.centre)
            reached = target.score(moving, candidate)
            if reached > score:
                matrix, score = candidate, reached
                break
        if np.linalg.norm(motion) < 0.05:
            break
    return matrix


def _start(reference: Volume, moving: Volume) -> np.ndarray:
    """Where the headers put the sequence, or where the heads' centres meet: what has more information."""
    target = check_target(reference)
    centres = [coarse.positions(v)[coarse.head(v)].mean(axis=0) for v in (reference, moving)]
    candidates = [np.eye(4), rigid_matrix(np.zeros(3), centres[1] - centres[0], centres[0])]
    return max(candidates, key=lambda matrix: target.score(moving, matrix))


def _optimise(reference: Volume, moving: Volume, start: np.ndarray) -> np.ndarray:
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)  # sums over threads come in any order, and the last digits with them
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricSamplingStrategy(method.NONE)
    fixed = reference.toImage()
    region = _thinned(_head_region(reference, 1), most=15000)
    mask = sitk.GetImageFromArray(region)
    mask.CopyInformation(fixed)
    method.SetMetricFixedMask(mask)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(2.0, 0.01, 60, relaxationFactor=0.5)
    method.SetOptimizerScalesFromPhysicalShift()
    transform = _euler(start, coarse.positions(reference)[region > 0].mean(axis=0))
    method.SetInitialTransform(transform, inPlace=True)
    try:
        method.Execute(fixed, moving.toImage())
    except RuntimeError:  # the volumes do not overlap enough to measure anything
        return start
    return _rounded(_matrix(transform))


def _rounded(matrix: np.ndarray) -> np.ndarray:
    """The rigid motion with angles to 1e-6 radians and shifts to 1e-4 mm: the same in every process."""
    transform = _euler(matrix, np.zeros(3))
    angles, shift = np.split(np.asarray(transform.GetParameters()), 2)
    transform.SetParameters([float(x) for x in (*angles.round(6), *shift.round(4))])
    return _matrix(transform)


def _thinned(region: np.ndarray, most: int) -> np.ndarray:
    """At most ``most`` voxels of a region, evenly chosen: uint8."""
    chosen = np.zeros(region.shape, np.uint8)
    index = np.flatnonzero(region)
    chosen.reshape(-1)[index[:: max(1, -(-len(index) // most))]] = 1
    return chosen


def _euler(matrix: np.ndarray, centre: np.ndarray) -> sitk.Euler3DTransform:
    transform = sitk.Euler3DTransform()
    transform.SetCenter([float(x) for x in centre])
    transform.SetMatrix([float(x) for x in matrix[:3, :3].ravel()], 1e-6)
    shift = matrix[:3, :3] @ centre + matrix[:3, 3] - centre
    transform.SetTranslation([float(x) for x in shift])
    return transform


def _matrix(transform: sitk.Euler3DTransform) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = np.asarray(transform.GetMatrix()).reshape(3, 3)
    matrix[:3, 3] = np.asarray(transform.TransformPoint((0.0, 0.0, 0.0)))
    return matrix


def _binned(values: np.ndarray) -> np.ndarray:
    low, high = np.percentile(values, (1, 99))
    width = max(float(high - low), LEAST_VALUE)
    return np.clip((values - low) * (_BINS / width), 0, _BINS - 1).astype(np.intp)


def _information(first: np.ndarray, second: np.ndarray) -> float:
    joint = np.bincount(first * _BINS + second, minlength=_BINS * _BINS).reshape(_BINS, _BINS) / first.size
    return _entropy(joint.sum(axis=0)) + _entropy(joint.sum(axis=1)) - _entropy(joint.ravel())


def _entropy(p: np.ndarray) -> float:
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def vertex(left: float, middle: float, right: float) -> float:
    """Where the parabola through three equally spaced values peaks, in steps, at most one step away."""
    curvature = left - 2 * middle + right
    if curvature >= 0:
        return float(np.sign(right - left))
    return float(np.clip(0.5 * (left - right) / curvature, -1, 1))
