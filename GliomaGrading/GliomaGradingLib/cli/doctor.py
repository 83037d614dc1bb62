"""``glioma-grading doctor``: what is installed, what is missing, what to do about it."""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

from ..errors import BundleError
from .packages import NEEDED, command_for, optional


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report."""

    good: bool
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"[{'ok' if self.good else '--'}] {self.what}" + (f": {self.remedy}" if self.remedy else "")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device", action="store_true", help="import torch too, and say what it can compute on"
    )


def run(options: argparse.Namespace) -> int:
    findings, bundles = [*_python(), *_packages(NEEDED)], []
    try:
        bundles = list(_bundles())
    except ImportError as error:
        findings.append(Finding(False, f"the library cannot be imported ({error})", "install what is missing"))
    extras = [found for package, purpose in optional().items() for found in _packages((package,), purpose)]
    for finding in [*findings, *bundles, *extras, *(_devices() if options.device else [])]:
        print(finding)
    if not all(finding.good for finding in findings):
        return 1
    return 0 if all(finding.good for finding in bundles) else BundleError.exit_status


def _python() -> Iterator[Finding]:
    good = sys.version_info >= (3, 10)
    text = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Finding(good, text, "" if good else "use Python 3.10 or later")


def _packages(names: tuple[str, ...], purpose: str = "") -> Iterator[Finding]:
    """Each package, or how to get it; ``purpose``: what alone needs them, where grading a case does not."""
    for name in names:
        try:
            yield Finding(True, f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            what = f"is not installed (for {purpose})" if purpose else "is missing"
            yield Finding(False, f"{name} {what}", command_for(name))


def _bundles() -> Iterator[Finding]:
    from ..networks.bundle import (  # not at the top: doctor runs where numpy is missing
        find_bundles,
        open_bundle,
    )

    folders = list(find_bundles())
    if not folders:
        yield Finding(False, "no model bundle", "install GliomaGrading again")
    for folder in folders:
        try:
            bundle = open_bundle(folder)
            bundle.verify()
            yield Finding(True, f"model bundle {bundle.name} {bundle.version} is whole")
        except BundleError as error:
            yield Finding(False, str(error))


def _devices() -> Iterator[Finding]:
    import torch

    yield Finding(True, f"torch computes with {torch.get_num_threads()} threads")
    if torch.cuda.is_available():
        yield Finding(True, f"CUDA: {torch.cuda.get_device_name()}")
    else:
        yield Finding(True, "no CUDA device; grading runs on the processor, which takes seconds")
