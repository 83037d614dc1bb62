"""The report in a real headless browser: as it looks in light and dark, as paper, and with nothing loaded."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from GliomaGradingLib.export.evidence_picture import evidence_png
from GliomaGradingLib.export.pictures import slices_picture
from GliomaGradingLib.export.report import report_html
from GliomaGradingLib.result import GradeResult, Notice
from GliomaGradingLib.voting import DecisionRule
from GliomaGradingLib.words import DISCLAIMER
from PIL import Image
from test_export import result, square_display  # noqa: F401  # a fixture
from test_report_pictures import REGION, explanation

from Testing.browser import NEEDED, SECONDS, find_browser, photograph, run_browser


@pytest.fixture(scope="module")
def browser() -> str:
    found = find_browser()
    if not found:
        pytest.skip(NEEDED)
    return found


def page_of(result: GradeResult, folder: Path) -> Path:  # noqa: F811
    display = square_display(region=REGION)
    pictures = {
        "slices": slices_picture(display, result, heading=False),
        "saliency": evidence_png(display, explanation(), result),
    }
    card = {
        name: {"value": 0.9, "low": 0.8, "high": 0.95} for name in ("AUC by patient", "accuracy", "sensitivity")
    }
    page = folder / "report.html"
    page.write_text(report_html(result, pictures, card, rule=DecisionRule()), encoding="utf-8")
    return page


def screenshot(browser: str, page: Path, dark: bool) -> np.ndarray:
    picture = page.with_name("page.png")
    photograph(browser, page, picture, (1000, 1400), dark)
    return np.asarray(Image.open(io.BytesIO(picture.read_bytes())).convert("RGB")).astype(int)


def near(picture: np.ndarray, colour: str) -> int:
    wanted = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)])
    return int((np.abs(picture - wanted).max(-1) <= 3).sum())


def test_it_follows_the_readers_light_or_dark(browser: str, result: GradeResult, tmp_path: Path) -> None:  # noqa: F811
    page = page_of(result, tmp_path)
    light, dark = (screenshot(browser, page, is_dark) for is_dark in (False, True))
    assert near(light[:, :16], "#ffffff") > 0.95 * light[:, :16].size / 3
    assert near(dark[:, :16], "#101317") > 0.95 * dark[:, :16].size / 3
    assert near(light, "#b3320b") > 3000 and near(dark, "#ff9d7d") > 3000  # the frame of an HGG
    assert near(light, "#ffd640") > 20  # the tumour's outline: the picture is there


@pytest.mark.parametrize("warnings", [0, 4])
def test_it_prints_on_one_or_two_pages(
    browser: str,
    result: GradeResult,  # noqa: F811
    tmp_path: Path,
    warnings: int,
) -> None:
    text = "T1 has slices of 5.0 mm: detail along the body axis is missing and the probability may be off."
    notices = tuple(Notice(f"notice-{k}", text) for k in range(warnings))
    page = page_of(replace(result, warnings=notices, decision="indeterminate" if warnings else "HGG"), tmp_path)
    paper = tmp_path / "report.pdf"
    run_browser(browser, tmp_path, "--no-pdf-header-footer", f"--print-to-pdf={paper}", page.as_uri())
    content = paper.read_bytes()
    assert content.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", content)) in (1, 2)
    boxes = re.findall(rb"/MediaBox\s*\[\s*0\s+0\s+([\d.]+)\s+([\d.]+)", content)
    assert {(round(float(w)), round(float(h))) for w, h in boxes} <= {(595, 842), (596, 842), (594, 842)}


def test_every_sheet_of_paper_says_what_it_is_not_for(
    browser: str,
    result: GradeResult,  # noqa: F811
    tmp_path: Path,
) -> None:
    if shutil.which("pdftotext") is None:
        pytest.skip("needs pdftotext (Debian: apt-get install poppler-utils)")
    paper = tmp_path / "report.pdf"
    run_browser(browser, tmp_path, f"--print-to-pdf={paper}", page_of(result, tmp_path).as_uri())
    told = subprocess.run(
        ["pdftotext", "-layout", paper, "-"], capture_output=True, encoding="utf-8", check=True
    )
    first, second = (" ".join(sheet.split()) for sheet in told.stdout.rstrip("\f").split("\f"))
    assert first.count(DISCLAIMER) == 2, "beside the grade and below the sheet"
    assert first.index("high-grade glioma") < first.index(DISCLAIMER) < first.index("Votes")
    assert second.replace(" ", "").endswith("2/2") and DISCLAIMER in second


def test_on_a_narrow_page_nothing_covers_the_curves(
    browser: str,
    result: GradeResult,  # noqa: F811
    tmp_path: Path,
) -> None:
    """The legend wraps above the plot, which keeps its size; only the plot scrolls, never the page."""
    page = page_of(result, tmp_path)
    told = """<script>addEventListener('load', () => {
      const box = (name) => document.querySelector(name).getBoundingClientRect();
      document.body.dataset.seen = JSON.stringify([box('.legend').bottom <= box('.plot .scroll').top,
        Math.round(box('.plot .scroll>svg').width), document.documentElement.scrollWidth <= innerWidth]);
    })</script></body>"""
    open_page = page.read_text(encoding="utf-8").replace("default-src 'none'", "script-src 'unsafe-inline'")
    page.write_text(open_page.replace("</body>", told), encoding="utf-8")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'p'}"]
    command += ["--window-size=500,900", "--dump-dom", page.as_uri()]
    done = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", timeout=SECONDS, check=True
    )
    seen = re.search(r'data-seen="([^"]+)"', done.stdout)
    assert seen is not None and json.loads(seen[1]) == [True, 620, True]


def test_hostile_text_runs_nothing(browser: str, result: GradeResult, tmp_path: Path) -> None:  # noqa: F811
    evil = (
        "</title><script>document.body.innerHTML='OWNED'</script><img src=x onerror=\"document.title='OWNED'\">"
    )
    page = page_of(replace(result, case=evil, warnings=(Notice("w", evil),), model={"name": evil}), tmp_path)
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'p'}"]
    done = subprocess.run(
        [*command, "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        timeout=SECONDS,
        check=True,
    )
    assert "Votes" in done.stdout and "For research use only" in done.stdout
    assert "<script" not in done.stdout and "<title>OWNED" not in done.stdout
    assert "&lt;script&gt;" in done.stdout
