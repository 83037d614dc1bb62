"""Every bad input of the table through the command line and the Python API: status, message, nothing left."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from GliomaGradingLib import Case, CaseError
from GliomaGradingLib.cli import main

from Testing.robustness import files
from Testing.robustness.bad_inputs import BAD_INPUTS, BadInput, Place

IN_PROCESS = [bad for bad in BAD_INPUTS if not bad.alone]
OF_A_CASE = ("case", "path", "geometry", "numbers", "claims", "mask", "dicom")
posix = pytest.mark.skipif(os.name != "posix", reason="needs links, pipes and limits")


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return files.case_template(tmp_path_factory.mktemp("template"))


@pytest.fixture
def place(template: Path, tmp_path: Path) -> Place:
    return Place(tmp_path / "in", template)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder of the test's own, to see what is left in it."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    (tmp_path / "in").mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


def tree(folder: Path) -> dict[str, str]:
    """What a folder holds: a hash by path, the kind where it is no file."""
    found = {}
    for path in sorted(folder.rglob("*")):
        is_plain = path.is_file() and not path.is_symlink()
        found[str(path)] = (
            hashlib.sha256(path.read_bytes()).hexdigest() if is_plain else str(path.lstat().st_mode)
        )
    return found


def test_the_table_is_long_and_each_name_stands_once() -> None:
    names = [bad.name for bad in BAD_INPUTS]
    assert len(names) >= 100 and len(set(names)) == len(names)
    assert {bad.status for bad in BAD_INPUTS} == {0, 2, 3}


@posix
@pytest.mark.usefixtures("loaded_once")
@pytest.mark.parametrize("bad", IN_PROCESS, ids=lambda bad: bad.name)
def test_command_line(bad: BadInput, place: Place, temporary: Path, capfd: pytest.CaptureFixture[str]) -> None:
    if bad.needs and not importlib.util.find_spec(bad.needs):
        pytest.skip(f"needs {bad.needs}")
    arguments = bad.make(place)
    before = tree(place.folder)
    capfd.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # numpy's would stand beside the one error line
        status = main(arguments)
    out, err = capfd.readouterr()
    assert status == bad.status, err
    if status == 0:
        assert err == ""
        assert (place.folder / "out" / "result.json").is_file()
        told = (place.folder / "out" / "result.json").read_text(encoding="utf-8")
        assert re.search(bad.words, told)
        assert str(place.folder) not in told, "results are passed on, and folders may be named after patients"
        return
    assert out == "", "something was printed though it failed"
    assert_one_line(err, bad.words)
    assert tree(place.folder) == before, "a file was left, changed or lost"
    assert list(temporary.iterdir()) == []


def assert_one_line(err: str, words: str) -> None:
    assert err.startswith("error: ") and err.endswith("\n") and err.count("\n") == 1, err
    line = err.removesuffix("\n")
    assert line.isprintable(), "control characters reach the terminal"
    assert "Traceback" not in line and "--debug" not in line, line
    assert re.search(words, line), line
    assert re.search(r"[^:]: .+: \S", line), f"it does not say what to do: {line}"


@posix
@pytest.mark.parametrize(
    "bad", [b for b in IN_PROCESS if b.group in OF_A_CASE and b.status == 2], ids=lambda b: b.name
)
def test_python(bad: BadInput, place: Place) -> None:
    """``Case.read`` and ``Case.fromFiles`` raise one kind of error for whatever is wrong with a case."""
    if bad.needs and not importlib.util.find_spec(bad.needs):
        pytest.skip(f"needs {bad.needs}")
    read = reader(bad.make(place))
    if read is None:
        pytest.skip("not about reading a case")
    with pytest.raises(CaseError) as caught:
        read()
    assert "\n" not in str(caught.value) and caught.value.problem and caught.value.remedy


def reader(arguments: list[str]) -> Callable[[], Case] | None:
    """What the command would read, through the API."""
    values = dict(zip(arguments[1::2], arguments[2::2], strict=False))
    if all(f"--{name}" in values for name in ("t1", "t2", "flair", "mask")):
        return lambda: Case.fromFiles(**{name: values[f"--{name}"] for name in ("t1", "t2", "flair", "mask")})
    is_folder = len(arguments) == 4 and arguments[0] == "grade" and "out" in arguments[3]
    return (lambda: Case.read(arguments[1])) if is_folder else None
