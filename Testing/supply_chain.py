"""What a user of the package gets beside it, and what is known against it.

python -m Testing.supply_chain sbom [--output FILE]     bill of materials (CycloneDX), of what is installed here
python -m Testing.supply_chain audit                    known vulnerabilities of the same packages (pip-audit)
python -m Testing.supply_chain versions                 of each requirement: oldest supported, installed

They look at the packages that the product needs and those that a user's extras bring, with all that they need
in turn, in the environment they run in; tools for development are no part of it. ``audit`` needs the network:
without it, it says that it was skipped, and ends with status 0. It ends with 1 where something is known.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.version import Version

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10, where pytest brings the same under its older name
    import tomli as tomllib

REPOSITORY = Path(__file__).resolve().parent.parent
PROJECT = REPOSITORY / "pyproject.toml"
MINIMUM = REPOSITORY / "Testing" / "minimum-versions.txt"
SBOM = REPOSITORY / "build" / "sbom.json"
USERS_EXTRAS = ("train", "cohort", "dicom")
NO_NETWORK = re.compile(
    r"ConnectionError|NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError|timed out"
    r"|Max retries|unreachable|Temporary failure|Could not connect|Failed to (connect|resolve)",
    re.IGNORECASE,
)


def requirements(project: Path = PROJECT) -> dict[str, list[Requirement]]:
    """Requirements by extra ('' for what is always needed); an extra's mention of another is left out."""
    declared = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    lists = {"": declared["dependencies"], **declared.get("optional-dependencies", {})}
    own = normal(declared["name"])
    found = {extra: [Requirement(text) for text in texts] for extra, texts in lists.items()}
    return {extra: [r for r in listed if normal(r.name) != own] for extra, listed in found.items()}


def normal(name: str) -> str:
    """A package's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def lower_bounds(project: Path = PROJECT) -> dict[str, set[Version]]:
    """Versions that ``>=`` or ``==`` names, by package; a requirement without one gives version 0."""
    found: dict[str, set[Version]] = {}
    for requirement in (one for listed in requirements(project).values() for one in listed):
        named = {one.version for one in requirement.specifier if one.operator in (">=", "==")} or {"0"}
        found.setdefault(normal(requirement.name), set()).update(map(Version, named))
    return found


def minimum_versions(path: Path = MINIMUM) -> dict[str, Version]:
    """The constraints file's version of every package."""
    lines = (line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    pairs = (line.split("==") for line in lines if line)
    return {normal(name): Version(version) for name, version in pairs}


def closure(names: Iterable[str]) -> set[str]:
    """Installed packages among these and all that they need in turn on this system."""
    found: set[str] = set()
    waiting = [(name, frozenset[str]()) for name in names]
    seen = set(waiting)
    while waiting:
        name, extras = waiting.pop()
        try:
            needed = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        found.add(normal(name))
        for one in map(Requirement, needed):
            wanted = one.marker is None or any(one.marker.evaluate({"extra": e}) for e in extras | {""})
            other = (normal(one.name), frozenset(one.extras))
            if wanted and other not in seen:
                seen.add(other)
                waiting.append(other)
    return found


def users_part(bom: dict[str, Any], always: set[str], others: set[str]) -> dict[str, Any]:
    """A bill of materials with no more than a user gets; what only an extra brings has the scope "optional".

    Args:
        bom: CycloneDX of a whole environment. always, others: names of packages to keep.
    """
    kept = {part["bom-ref"] for part in bom["components"] if normal(part["name"]) in always | others}
    root = bom["metadata"]["component"]["bom-ref"]
    components = [
        {**part, "scope": "required" if normal(part["name"]) in always else "optional"}
        for part in bom["components"]
        if part["bom-ref"] in kept
    ]
    links = [
        {**entry, "dependsOn": sorted(kept.intersection(entry.get("dependsOn", [])))}
        for entry in bom["dependencies"]
        if entry["ref"] in kept | {root}
    ]
    return {**bom, "components": components, "dependencies": links}


def bill_of_materials() -> dict[str, Any]:
    """CycloneDX of this environment's part that a user gets, as cyclonedx-py finds it."""
    tool = [sys.executable, "-m", "cyclonedx_py", "environment", "--pyproject", str(PROJECT), sys.executable]
    done = subprocess.run(tool, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"cyclonedx-py has failed (is the extra 'audit' installed?): {done.stderr.strip()}")
    declared = requirements()
    always = closure(one.name for one in declared[""])
    others = closure(one.name for extra in USERS_EXTRAS for one in declared[extra])
    return users_part(json.loads(done.stdout), always, others)


def check(bom: dict[str, Any]) -> None:
    """Ends the program where a bill does not follow its schema."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    problem = JsonStrictValidator(SchemaVersion.from_version(bom["specVersion"])).validate_str(json.dumps(bom))
    if problem:
        raise SystemExit(f"the bill of materials does not follow its schema: {problem}")


def sbom(output: Path) -> int:
    bom = bill_of_materials()
    check(bom)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(bom, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    required = sum(part["scope"] == "required" for part in bom["components"])
    others = len(bom["components"]) - required
    print(f"{output}: {required} packages that are always needed, {others} more by extras")
    return 0


def pinned(bom: dict[str, Any]) -> str:
    """A requirements file of a bill's packages; a build's label (+cu132) is no version that is known."""
    return "".join(f"{part['name']}=={part['version'].split('+')[0]}\n" for part in bom["components"])


def audit(folder: Path) -> int:
    listed = folder / "audit-requirements.txt"
    folder.mkdir(parents=True, exist_ok=True)
    listed.write_text(pinned(bill_of_materials()), encoding="utf-8")
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(listed), "--no-deps", "--disable-pip"]
    done = subprocess.run(
        [*command, "--format", "json", "--progress-spinner", "off"], capture_output=True, text=True, check=False
    )
    status, text = verdict(done.stdout, done.stderr)
    print(text, file=sys.stderr if status else sys.stdout)
    return status


def verdict(output: str, errors: str) -> tuple[int, str]:
    """Exit status and words for what pip-audit wrote."""
    try:
        packages = json.loads(output)["dependencies"]
    except (ValueError, KeyError):
        last = (errors.strip().splitlines() or ["it wrote nothing"])[-1]
        if NO_NETWORK.search(errors):
            return 0, f"audit SKIPPED: the service of vulnerabilities cannot be reached ({last})"
        return 1, f"pip-audit has failed (is the extra 'audit' installed?): {last}"
    known = [
        f"{one['name']} {one['version']}: {v['id']}{_mended(v)}"
        for one in packages
        for v in one.get("vulns", [])
    ]
    unseen = [one["name"] for one in packages if "skip_reason" in one]
    if len(unseen) == len(packages):
        return (
            0,
            "audit SKIPPED: the service of vulnerabilities knows none of the packages, as a mirror of PyPI's",
        )
    text = f"{len(packages) - len(unseen)} packages looked up, {len(known)} vulnerabilities known"
    text += f"; not looked up: {', '.join(unseen)}" if unseen else ""
    return int(bool(known)), "\n".join([text, *known])


def _mended(vulnerability: dict[str, Any]) -> str:
    versions = vulnerability.get("fix_versions") or []
    return f" (mended in {', '.join(versions)})" if versions else " (not mended yet)"


def versions() -> int:
    oldest = minimum_versions()
    for name in sorted(oldest):
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            installed = "not installed"
        print(f"{name:20} {oldest[name]!s:12} {installed}")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("sbom", "audit", "versions"))
    parser.add_argument("--output", type=Path, default=SBOM)
    options = parser.parse_args()
    if options.command == "sbom":
        return sbom(options.output)
    return audit(options.output.parent) if options.command == "audit" else versions()


if __name__ == "__main__":
    raise SystemExit(main())
