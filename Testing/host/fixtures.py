"""The fixture ``host`` for pytest: a clean embedded Slicer for every test, whose silent errors fail the test.

A ``conftest.py`` takes it by ``from Testing.host.fixtures import embedded_slicer, host``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from . import availability

if TYPE_CHECKING:
    from .runner import Host


@pytest.fixture(scope="session")
def embedded_slicer() -> Iterator[Host]:
    """The application, once for all tests; skips them where the machine cannot run it, and says why."""
    if why := availability.reason():
        pytest.skip(why)
    from . import start

    yield start()


@pytest.fixture
def host(embedded_slicer: Host) -> Iterator[Host]:
    """An empty scene, no modules, no windows; afterwards no exception in a slot and no stray attribute.

    What comes before has been left empty by the test before, or is the start.
    """
    embedded_slicer.failures.take()
    yield embedded_slicer
    embedded_slicer.events()
    problems = embedded_slicer.problems()
    embedded_slicer.reset()
    problems += embedded_slicer.problems()
    assert not problems, "\n".join(problems)
