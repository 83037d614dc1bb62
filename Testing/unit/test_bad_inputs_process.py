"""Bad inputs in a process of their own, as users meet them: little memory, little time, no rights, no room."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from Testing.robustness import files
from Testing.robustness.bad_inputs import BAD_INPUTS, BadInput, Place
from Testing.unit.test_bad_inputs import assert_one_line, tree

resource = pytest.importorskip("resource", reason="needs the limits of a POSIX system")

MODULE = Path(__file__).resolve().parents[2] / "GliomaGrading"
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2
"""Without these two, root may no more than the permissions of a file say (capabilities(7))."""

SAMPLE = (
    "nii.gz: cut in its voxels",
    "mha: random bytes",
    "claims: nrrd of a million cubed voxels",
    "claims: nii.gz of 800 cubed in 20 kB",
    "claims: packed nrrd that unpacks to 300 MB",
    "claims: mha of 200 dimensions",
    "dicom: one file that claims a million frames",
    "case: FLAIR is a pipe that nobody writes to",
    "case: FLAIR is a device that never ends",
    "path: bytes that are no UTF-8",
    "option: no such vote",
    "bundle: metadata is a device that never ends",
)
ALONE = [bad for bad in BAD_INPUTS if bad.alone]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return files.case_template(tmp_path_factory.mktemp("template"))


@pytest.fixture
def open_place(template: Path) -> Iterator[Place]:
    """A place that any user may enter (pytest's own folders are for this one alone)."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        inner = Path(folder) / "in"
        inner.mkdir()
        inner.chmod(0o777)
        yield Place(inner, template)


def limits(bad: BadInput) -> Callable[[], None]:
    """4 GB of address space and a minute of processor; the row's own limits; no rights of root."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
        for name, value in bad.limits.items():
            resource.setrlimit(getattr(resource, name), (value, value))
        if not bad.limits and bad.group != "output":
            resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
        if bad.alone and os.geteuid() == 0 and not bad.limits:
            for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
                ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)

    return limit


@pytest.mark.timeout(290)
@pytest.mark.parametrize(
    "bad", [*ALONE, *(b for b in BAD_INPUTS if b.name in SAMPLE)], ids=lambda bad: bad.name
)
def test_in_its_own_process(bad: BadInput, open_place: Place, tmp_path: Path) -> None:
    if bad.needs:
        pytest.importorskip(bad.needs)
    arguments = bad.make(open_place)
    before = tree_of(open_place)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_")}  # it writes a file, too
    done = subprocess.run(
        [sys.executable, "-m", "GliomaGradingLib", *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd="/",
        env={**inherited, "PYTHONPATH": str(MODULE), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"},
        preexec_fn=limits(bad),
        timeout=280,
        check=False,
    )
    assert done.returncode == bad.status, done.stderr
    assert done.stdout == ""
    assert_one_line(done.stderr, bad.words)
    assert tree_of(open_place) == before


def tree_of(place: Place) -> dict[str, str]:
    """As ``tree``, of what this user may see."""
    return {name: kind for name, kind in tree(place.folder).items() if not name.endswith("/sample")}


def test_every_name_of_the_sample_is_in_the_table() -> None:
    assert set(SAMPLE) <= {bad.name for bad in BAD_INPUTS}
