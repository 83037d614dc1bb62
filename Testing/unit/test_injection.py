"""Text from outside is text everywhere; nothing goes to the network; nobody's name goes to a log."""

from __future__ import annotations

import csv
import io
import json
import os
import socket
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from GliomaGradingLib.cli.grade import summary
from GliomaGradingLib.export.report import report_html
from GliomaGradingLib.export.tables import csv_text, failed_row, graded_row
from GliomaGradingLib.result import GradeResult, Notice, SliceInfo, Vote

MODULE = Path(__file__).resolve().parents[2] / "GliomaGrading"
NAMES = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    '=HYPERLINK("http://x","y")',
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "\t=1+1",
    "\r=1+1",
    " =1+1",
    "\x1b[31mred\x1b]0;title\x07",
    "a\nb\r\nc",
    "../../etc/passwd",
    "..\\..\\windows",
    "a\0b",
    "\u202egpj.exe",
    "a\u2028b\x85c",
    "\udcff",
    "'; DROP TABLE cases; --",
    "{{7*7}}${7*7}%s%n",
    "x" * 5000,
)


def result(case: str) -> GradeResult:
    votes = tuple(Vote(s, "HGG", 0.9, (0.9,) * 20, 20) for s in ("T1", "T2", "FLAIR"))
    info = SliceInfo(tuple(range(20)), tuple(map(float, range(20))), 1.0, 4, 25.0)
    warning = Notice("non-finite-voxels", f"2 NaN in {case}")
    seconds = {"read": 0.0, "prepare": 0.0, "infer": 0.0, "total": 1.0}
    model = {"name": "m", "version": "1", "backbone": "b", "sha256": "0" * 64}
    return GradeResult(case, "HGG", "HGG", 0.9, votes, info, 3.0, (warning,), model, {}, seconds)


class Seen(HTMLParser):
    """Elements and attributes that a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


def elements(case: str) -> list[str]:
    seen = Seen()
    seen.feed(report_html(result(case), {}))
    assert seen.handlers == []
    return seen.tags


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_report_has_the_same_elements_whatever_the_name(name: str) -> None:
    assert elements(name) == elements("harmless")


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_table_has_one_row_and_no_formula(name: str) -> None:
    text = csv_text([graded_row(result(name)), failed_row(name, name)])
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert [len(row) for row in rows] == [len(rows[0])] * 3
    for cell in (cell for row in rows[1:] for cell in row):
        assert not cell.lstrip(" \n").startswith(("=", "+", "-", "@", "\t", "\r"))
        assert "\0" not in cell and "\r" not in cell


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_result_json_is_one_object_with_the_name_as_it_is(name: str) -> None:
    assert json.loads(result(name).toJson())["case"] == name


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_nothing_that_a_terminal_would_obey_is_printed(name: str) -> None:
    lines = summary(result(name)).split("\n")
    assert all(line.isprintable() for line in lines)
    assert len(lines) == len(summary(result("harmless")).split("\n"))


def test_an_error_is_one_printable_line_whatever_is_in_it() -> None:
    from GliomaGradingLib.errors import CaseError

    for name in NAMES:
        assert str(CaseError(f"wrong {name}", name, f"do {name}")).isprintable()


# No network, no log

_GUARDED = """
import socket, sys
def refuse(*arguments, **options):
    raise AssertionError("the network was used")
for name in ("connect", "connect_ex", "bind", "sendto"):
    setattr(socket.socket, name, refuse)
socket.create_connection = socket.getaddrinfo = socket.gethostbyname = refuse
import logging
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout, format="LOG %(name)s %(message)s")
import GliomaGradingLib
from GliomaGradingLib import sample
from GliomaGradingLib.cli import main
from small_head import volumes
sample.sample_volumes = lambda preset: volumes()  # written and read in less time
status = main(["sample", sys.argv[1]])
status = status or main(["grade", sys.argv[1], "--case-id", "Jane Doe 1970"]) or main(["doctor"])
sys.exit(status)
"""


def unshared() -> list[str]:
    """A command that shuts the network namespace, where this user may; otherwise the guard has to do."""
    command = ["unshare", "--net", "--map-root-user"]
    try:
        works = subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        works = False
    return command if works else []


def test_sample_grade_and_doctor_use_no_network_and_log_no_patient(tmp_path: Path) -> None:
    done = subprocess.run(
        [*unshared(), sys.executable, "-c", _GUARDED, str(tmp_path / "sample")],
        capture_output=True,
        text=True,
        env={**_environment(), "PYTHONPATH": os.pathsep.join([str(MODULE), str(Path(__file__).parent)])},
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the network was used" not in done.stdout + done.stderr
    assert not [line for line in done.stdout.splitlines() if line.startswith("LOG") and "Jane" in line]
    assert done.stderr == ""


def test_the_guard_guards() -> None:
    code = _GUARDED.split("import GliomaGradingLib")[0] + "socket.create_connection(('127.0.0.1', 9))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "the network was used" in done.stderr
    assert socket.create_connection is not None


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}
