"""The plugin that Dask brings to each of its workers; imported only where Dask is."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from distributed import WorkerPlugin

from .. import __version__
from ..errors import UsageError
from .dask_worker import Grading, set_up, tear_down, write_bundle_files
from .work import Settings


class GradingPlugin(WorkerPlugin):
    """Sent once to each worker: the bundle's files, and how to grade."""

    idempotent = True

    def __init__(
        self, key: str, settings: Settings, content: dict[str, bytes], engine: str, environment: Any
    ) -> None:
        self.name = self.key = key
        self.version = __version__
        self.settings, self.content, self.engine, self.environment = settings, content, engine, environment

    def setup(self, worker: Any) -> None:
        """Called by Dask on each worker, on those that come later too.

        Raises:
            UsageError: the worker has another version of this program.
        """
        if self.version != __version__:
            problem = f"the Dask worker has glioma-grading {__version__} and the batch {self.version}"
            raise UsageError(problem, getattr(worker, "address", ""), "install the same version on both")
        settings = self.settings
        if self.content:
            folder = self._folder(worker)
            write_bundle_files(folder, self.content)
            settings = replace(settings, bundle=str(folder))
        set_up(self.key, Grading(settings, self.engine, self.environment))

    def teardown(self, worker: Any) -> None:
        """Called by Dask when the batch ends; a worker may live on, and need its disk for the next."""
        tear_down(self.key)
        shutil.rmtree(self._folder(worker), ignore_errors=True)

    def _folder(self, worker: Any) -> Path:
        return Path(worker.local_directory) / self.key
