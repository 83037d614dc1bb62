"""Installation of Python packages (Slicer 5.12).

The embedded Slicer never installs anything: it answers whether a requirement is met, and records what a module
asked for in ``requested``. ``answer`` decides whether the user agrees; tests set it.
"""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

requested: list[list[str]] = []
answer = True


def _listed(requirements):
    return [requirements] if isinstance(requirements, str) else [str(one) for one in requirements]


def load_requirements(path):
    lines = (line.split("#")[0].strip() for line in Path(path).read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def pip_check(req, _seen=None):
    """Whether every requirement is installed in a fitting version."""
    return all(_is_met(one) for one in _listed(req))


def _is_met(requirement):
    try:
        from packaging.requirements import Requirement
    except ImportError:  # names only
        name = re.split(r"[\s<>=!~\[;]", requirement, maxsplit=1)[0]
        return _installed_version(name) is not None
    parsed = Requirement(requirement)
    version = _installed_version(parsed.name)
    return version is not None and parsed.specifier.contains(version, prereleases=True)


def _installed_version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def isPipInstallInProgress():
    return False


def pip_ensure(
    requirements,
    constraints=None,
    skip_packages=None,
    prompt_install=True,
    prompt_restart=True,
    requester=None,
    skip_in_testing=True,
    show_progress=True,
):
    """Records what is missing. Raises RuntimeError where the user says no, as the real one does."""
    missing = [one for one in _listed(requirements) if not _is_met(one)]
    if not missing:
        return
    requested.append(missing)
    if not answer:
        raise RuntimeError(f"installation of {', '.join(missing)} was declined")


def pip_install(
    requirements,
    constraints=None,
    no_deps_requirements=None,
    skip_packages=None,
    blocking=True,
    show_progress=True,
    requester=None,
    parent=None,
    logCallback=None,
    completedCallback=None,
):
    requested.append(_listed(requirements))
    if completedCallback:
        completedCallback(0)


def pip_uninstall(requirements, blocking=True, logCallback=None, completedCallback=None):
    raise NotImplementedError("the embedded Slicer changes no installed package")
