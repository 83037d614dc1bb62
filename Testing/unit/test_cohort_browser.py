"""cohort.html in a real headless browser: sorted by mouse and keyboard, filtered, and nothing else runs."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batch_stub import make_cohort
from GliomaGradingLib.cohort.run import BatchJob, run
from GliomaGradingLib.cohort.work import Settings
from GliomaGradingLib.errors import UsageError
from test_batch import Instant
from test_report_browser import browser  # noqa: F401  # a fixture

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the browser is driven through two pipes of POSIX")

EVIL = "<img src=x onerror=\"document.title='OWNED'\"><script>document.title='OWNED'</script>"
NAMES = ("case 10", "case 2", "case 1", EVIL)
PROBABILITIES = (0.2, 0.9, 0.4, None)
"""The last case fails."""


class Tab:
    """A browser with one page, driven by its own protocol through pipes (no port, no network)."""

    def __init__(self, program: str, folder: Path) -> None:
        ours_in, its_out = os.pipe()
        its_in, ours_out = os.pipe()

        def take_pipes() -> None:  # the browser reads 3 and writes 4
            its = os.dup(its_in), os.dup(its_out)
            os.dup2(its[0], 3)
            os.dup2(its[1], 4)

        command = [program, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
        command += ["--disable-dev-shm-usage", "--disable-background-networking", "--remote-debugging-pipe"]
        self._process = subprocess.Popen(
            [*command, f"--user-data-dir={folder / 'profile'}", "--window-size=1300,1200"],
            stderr=subprocess.DEVNULL, preexec_fn=take_pipes, close_fds=False,
        )  # fmt: skip
        os.close(its_in)
        os.close(its_out)
        self._read, self._write = os.fdopen(ours_in, "rb"), os.fdopen(ours_out, "wb")
        self._count, self._session, self.events = 0, "", []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        self._write.write(
            json.dumps(message | ({"sessionId": self._session} if self._session else {})).encode()
        )
        self._write.write(b"\0")
        self._write.flush()
        while True:
            answer = self._next()
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                return answer["result"]

    def _next(self) -> dict[str, Any]:
        text = b""
        while not text.endswith(b"\0"):
            byte = self._read.read(1)
            assert byte, "the browser has ended"
            text += byte
        message = json.loads(text[:-1])
        if "method" in message:
            self.events.append(message)
        return message

    def open(self, page: Path) -> None:
        for domain in ("Page", "Network", "Runtime"):
            self.ask(f"{domain}.enable")
        self.ask("Page.navigate", url=page.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self._next()

    def value(self, expression: str) -> Any:
        return self.ask("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def press(self, key: str, text: str = "") -> None:
        code = {"Tab": 9, "Enter": 13, " ": 32}.get(key, 0)
        common = {"key": key, "windowsVirtualKeyCode": code}
        self.ask("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.ask("Input.dispatchKeyEvent", type="keyUp", **common)

    def click(self, selector: str) -> None:
        at = f"document.querySelector({json.dumps(selector)})"
        self.value(f"{at}.scrollIntoView({{block: 'center'}})")
        x, y = self.value(f"(b => [b.x + b.width / 2, b.y + b.height / 2])({at}.getBoundingClientRect())")
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._read.close()
        self._write.close()

    def names(self) -> list[str]:
        """The cases of the rows that can be seen, from above."""
        rows = "[...document.querySelectorAll('table.cases tbody tr')].filter(row => !row.hidden)"
        return self.value(f"{rows}.map(row => row.cells[1].textContent)")


@pytest.fixture(scope="module")
def tab(browser: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:  # noqa: F811
    folder = tmp_path_factory.mktemp("page")
    make_cohort(folder / "in", ["a"])
    files = ",".join(f"in/a/a_{ending}.nii.gz" for ending in ("t1", "t2", "flair", "seg"))
    quoted = ['"' + name.replace('"', '""') + '"' for name in NAMES]
    lines = ["case,t1,t2,flair,mask", *(f"{name},{files}" for name in quoted)]
    (folder / "list.csv").write_text("\n".join(lines))
    answers: dict[str, Any] = dict(zip(NAMES, PROBABILITIES, strict=True))
    answers = {n: UsageError(EVIL) if p is None else p for n, p in answers.items()}
    answers = {name.replace("/", "_"): answer for name, answer in answers.items()}
    run(BatchJob(folder / "list.csv", folder / "out"), Settings(), lambda: Instant(answers))
    opened = Tab(browser, folder)
    try:
        opened.open(folder / "out" / "cohort.html")
        yield opened
    finally:
        opened.close()


def heads(tab: Tab) -> list[str | None]:
    return tab.value("[...document.querySelectorAll('.cases th')].map(th => th.getAttribute('aria-sort'))")


def reload(tab: Tab) -> None:
    tab.events.clear()
    tab.ask("Page.reload")
    while not any(event["method"] == "Page.loadEventFired" for event in tab.events):
        tab._next()


SAFE = EVIL.replace("/", "_")


def test_a_click_on_a_head_sorts_up_and_a_second_one_down(tab: Tab) -> None:
    reload(tab)
    assert tab.names() == ["case 10", "case 2", "case 1", SAFE]
    tab.click(".cases th:nth-child(6) button")  # P(HGG)
    assert tab.names() == ["case 10", "case 1", "case 2", SAFE]
    tab.click(".cases th:nth-child(6) button")
    assert tab.names() == ["case 2", "case 1", "case 10", SAFE]  # without a value: last in both directions
    assert [state for state in heads(tab) if state] == ["descending"]


def test_the_keyboard_reaches_every_head_and_sorts(tab: Tab) -> None:
    reload(tab)
    tab.value("document.querySelector('input[type=search]').focus()")
    tab.press("Tab")
    assert tab.value("document.activeElement.textContent") == "Case"
    tab.press("Enter", "\r")
    assert tab.names()[-3:] == ["case 1", "case 2", "case 10"]  # numbers in names are numbers
    tab.press(" ", " ")
    assert tab.names()[:3] == ["case 10", "case 2", "case 1"]
    tab.press("Tab")
    assert tab.value("document.activeElement.textContent") == "Known"
    reached = "document.querySelectorAll('.cases th button').length"
    assert tab.value(reached) == 11  # every column but that of the pictures


def test_the_box_shows_the_rows_that_contain_its_text(tab: Tab) -> None:
    reload(tab)
    tab.value("document.querySelector('input[type=search]').focus()")
    tab.ask("Input.insertText", text="CASE 1")
    assert tab.names() == ["case 10", "case 1"]


def test_hostile_names_run_nothing_and_nothing_is_loaded(tab: Tab) -> None:
    reload(tab)
    assert tab.value("document.title") == "GliomaGrading: cohort"
    assert tab.value("document.querySelectorAll('script, img').length") == 1  # its own script
    assert SAFE in tab.names()
    asked = [e["params"]["request"]["url"] for e in tab.events if e["method"] == "Network.requestWillBeSent"]
    assert len(asked) == 1 and asked[0].startswith("file://") and asked[0].endswith("cohort.html")
    assert not [e for e in tab.events if e["method"] == "Runtime.exceptionThrown"]


def test_it_is_no_wider_than_a_narrow_screen(tab: Tab) -> None:
    tab.ask("Emulation.setDeviceMetricsOverride", width=400, height=900, deviceScaleFactor=1, mobile=False)
    try:
        assert tab.value("document.documentElement.scrollWidth") <= 400
        assert tab.value("document.querySelector('.cases').scrollWidth") > 400  # moved sideways by itself
    finally:
        tab.ask("Emulation.clearDeviceMetricsOverride")


def test_that_it_is_for_research_only_is_said_first_and_last(tab: Tab) -> None:
    text = tab.value("document.body.innerText").strip()
    said = "For research use only. Not a medical device; not for diagnosis or treatment decisions."
    assert said in text[:200] and text.endswith(said)
