"""``glioma-grading models``: the model bundles that are found, and whether their files are whole."""

from __future__ import annotations

import argparse

from ..errors import BundleError
from ..export.reliability import is_recalibrated
from ..networks.bundle import MODELS_FOLDER, Bundle, find_bundles, open_bundle
from ..words import HGG


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action",
        nargs="?",
        choices=("list", "verify"),
        default="list",
        help="verify: check the hash of every file (default %(default)s)",
    )
    parser.add_argument("--bundle", metavar="NAME_OR_DIR", help="only this bundle")


def run(options: argparse.Namespace) -> int:
    bundles = [open_bundle(name) for name in ([options.bundle] if options.bundle else find_bundles())]
    if not bundles:
        raise BundleError("there is no model bundle", MODELS_FOLDER, "install GliomaGrading again")
    for bundle in bundles:
        if options.action == "verify":
            bundle.verify()
        print(describe(bundle, "verified" if options.action == "verify" else ""))
    return 0


def describe(bundle: Bundle, note: str = "") -> str:
    """A bundle's name, version, backbone, hashes and card, a line each."""
    lines = [f"{bundle.name} {bundle.version} {note}".rstrip(), f"  backbone  {bundle.backbone}"]
    lines.append(f"  sha256    {bundle.sha256}")
    for sequence, weights in bundle.weights.items():
        lines.append(f"  {sequence:<8}  {weights.file}, {weights.bytes} bytes, sha256 {weights.sha256}")
    if is_recalibrated(bundle.metadata):
        calibration = bundle.metadata["calibration"]
        of, patients, hgg = (calibration[key] for key in ("of", "patients", HGG))
        lines.append(
            f"  fitted to {patients} patients ({hgg} HGG) of a cohort, from {of['name']} {of['version']}"
        )
    lines += [f"  card      {bundle.metadata.get('card', 'none')}", f"  folder    {bundle.folder}"]
    return "\n".join(lines)
