"""A headless browser, for pages as their readers see them: the first one found, or GLIOMA_GRADING_BROWSER."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
NEEDED = f"needs a headless browser ({', '.join(NAMES)}, or name one in GLIOMA_GRADING_BROWSER)"
SECONDS = 120


def find_browser() -> str:
    """The browser's command; '' where there is none."""
    return os.environ.get("GLIOMA_GRADING_BROWSER") or next(filter(None, map(shutil.which, NAMES)), "")


def run_browser(browser: str, folder: Path, *options: str) -> None:
    """Runs it without a window in a folder, where it may leave its profile."""
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += [f"--user-data-dir={folder / 'profile'}", "--disable-dev-shm-usage", "--no-first-run", *options]
    subprocess.run(command, check=True, capture_output=True, timeout=SECONDS, cwd=folder)


def photograph(browser: str, page: Path, picture: Path, size: tuple[int, int], dark: bool = False) -> None:
    """A PNG of the page as a window of this width and height shows it."""
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    window = f"--window-size={size[0]},{size[1]}"
    run_browser(browser, picture.parent, scheme, window, f"--screenshot={picture}", page.as_uri())
