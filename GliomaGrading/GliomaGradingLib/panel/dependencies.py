"""What Slicer's Python needs for grading, and how it gets there: through the PyTorch extension, on demand."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import platform
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from ..errors import GliomaGradingError

REQUIREMENTS = Path(__file__).resolve().parents[2] / "Resources" / "requirements.txt"

DOWNLOAD = "200 MB to 3 GB"
"""CPU builds of torch and torchvision are at the low end, builds for NVIDIA graphics cards at the high end."""


def requirements(path: Path = REQUIREMENTS) -> dict[str, str]:
    """Version demands (``>=2.4``) by package."""
    lines = (line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    pairs = (line.partition(">=") for line in lines if line)
    return {name.strip(): f">={version.strip()}" if version else "" for name, _sign, version in pairs}


def missing(find: Callable[[str], Any] = importlib.util.find_spec) -> list[str]:
    """Packages that are not installed. Nothing is imported: that is for the grading process alone.

    A folder that an interrupted installation has left is no package, though Python finds it.
    """
    importlib.invalidate_caches()
    return [name for name in requirements() if getattr(find(name), "origin", None) is None]


def ensure() -> bool:
    """Installs what is missing after asking once; False where the user said no.

    Raises:
        GliomaGradingError: it cannot be installed; the message says what to do, also without network.
    """
    absent, old = missing(), _too_old(requirements())
    if absent or old:
        _check_computer()
    if not absent:
        _check_versions(old)
        return True
    logic = _pytorch_extension()
    _check_somebody_is_there()
    if not slicer.util.confirmOkCancelDisplay(question(absent), _("Install PyTorch")):
        return False
    demands = requirements()
    try:
        with _kept_out_of_slicer(demands):
            logic.installTorch(
                askConfirmation=False,
                torchVersionRequirement=demands["torch"],
                torchvisionVersionRequirement=demands["torchvision"],
            )
    except Exception as error:  # pip, the network, the disk: whatever it is, the user has to hear of it
        if missing():  # else it was installed, and only the import at its end failed
            raise _not_installed(str(error) or type(error).__name__) from error
    if missing():
        raise _not_installed(_("see the application's log"))
    return True


def _check_computer() -> None:
    """Raises GliomaGradingError where no PyTorch that fits was ever made for this Slicer.

    The last for Intel's Macs is 2.2, and Slicer's packages for macOS are built for Intel: on Apple silicon
    they run translated, and their Python calls itself x86_64 there, too.
    """
    if sys.platform == "darwin" and platform.machine() == "x86_64":
        raise GliomaGradingError(
            _("PyTorch 2.4 or later does not exist for Slicer's Intel build for macOS"),
            remedy=_("use Slicer on Windows or Linux, or a Slicer built natively for Apple silicon"),
        )


def _check_somebody_is_there() -> None:
    """Raises GliomaGradingError in testing mode: there ``slicer.util`` promises a yes that nobody has said.

    Slicer 5.10 and 5.12 do not keep that promise (they compare True with the button's number).
    """
    if slicer.app.commandOptions().testingEnabled:
        raise GliomaGradingError(
            _("PyTorch is not installed, and a test installs nothing"),
            remedy=_("click Install PyTorch in the module PyTorch Utils before the test"),
        )


def _check_versions(old: Iterable[tuple[str, str, str]]) -> None:
    """Raises GliomaGradingError where another extension has installed what is too old for grading."""
    for name, found, demand in old:
        raise GliomaGradingError(
            _("{name} {found} is installed in this Slicer, and grading needs {demand}").format(
                name=name, found=found, demand=demand
            ),
            remedy=_(
                "click Uninstall PyTorch in the module PyTorch Utils (PyTorch extension), restart Slicer, and "
                "click Grade again"
            ),
        )


def _too_old(demands: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Name, version and demand of what is installed and too old."""
    old = []
    for name, demand in demands.items():
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # it was put there by hand: if it can be imported, that is all that is known
        if _numbers(found) < _numbers(demand):
            old.append((name, found, demand))
    return old


def _numbers(version: str) -> tuple[int, ...]:
    """Major and minor number of ``2.4.1+cpu`` or ``>=2.4``."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


@contextmanager
def _kept_out_of_slicer(packages: Iterable[str]) -> Iterator[None]:
    """Meanwhile nobody can import the packages, unless they are there already.

    The PyTorch extension imports torch when it has installed it, and Slicer has crashed of that on some
    computers. Only the grading process needs it.
    """
    kept = [name for name in packages if name not in sys.modules]
    for name in kept:
        sys.modules[name] = None  # type: ignore[assignment]  # Python refuses to import what is None here
    try:
        yield
    finally:
        for name in kept:
            del sys.modules[name]


def question(absent: list[str]) -> str:
    return _(
        "Grading needs {packages}, which are not installed in this Slicer yet.\n\n"
        "They will be downloaded from the internet and installed into Slicer: {size}, some minutes. "
        "With them come packages that they need, and light-the-torch, which finds the build for this "
        "computer. No image leaves it.\n\n{offline}"
    ).format(packages=_(" and ").join(absent), size=DOWNLOAD, offline=offline_advice())


def offline_advice() -> str:
    return _(
        'Without network: on a computer with the same system, run "PythonSlicer -m pip download -d FOLDER '
        'torch torchvision", bring the folder here, and run "PythonSlicer -m pip install --no-index '
        '--find-links FOLDER torch torchvision".'
    )


def _pytorch_extension() -> Any:
    try:
        return importlib.import_module("PyTorchUtils").PyTorchUtilsLogic()
    except ImportError:
        raise GliomaGradingError(
            _("PyTorch is not installed, and neither is Slicer's PyTorch extension that installs it"),
            remedy=_(
                "install the PyTorch extension in the Extensions Manager and restart Slicer. {offline}"
            ).format(offline=offline_advice()),
        ) from None


def _not_installed(why: str) -> GliomaGradingError:
    return GliomaGradingError(
        _("PyTorch could not be installed ({why})").format(why=why), remedy=offline_advice()
    )
