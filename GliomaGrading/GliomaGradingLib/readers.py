"""The three networks side by side: each thread reads some slices of one sequence alone.

Threads that share out a layer wait for one another at its end, some hundred times a case; threads that each
take slices of their own wait once.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache

import torch
from torch import Tensor

from .inference import FusedModel

PART = 10
"""Slices that a thread reads at once: fewer would read the weights too often."""


Input = Callable[[slice], tuple[Tensor, Tensor]]
"""Makes the images (N, 3, H, W) and the tumour (N, H, W) of a part of a sequence's slices."""


class Readers:
    """The models of the sequences.

    Args:
        models: by sequence, on one device.
    """

    def __init__(self, models: Mapping[str, FusedModel]) -> None:
        self._models = models

    def pooled(self, inputs: Mapping[str, Input], count: int) -> Iterator[tuple[str, Tensor]]:
        """Sequences in the order of ``inputs``, each with the pooled features (count, features) of its slices.

        Args:
            inputs: by sequence; several threads call them.
            count: slices of each sequence.
        """

        def read(sequence: str, part: slice) -> Tensor:
            with torch.inference_mode():
                return self._models[sequence].pooled(*inputs[sequence](part))

        if self._on_gpu() or torch.get_num_threads() < 2:
            for sequence in inputs:
                yield sequence, read(sequence, slice(count))
            return
        parts = [slice(start, min(start + PART, count)) for start in range(0, count, PART)]
        pool = _pool_for(len(parts) * len(inputs))
        given = {s: [pool.submit(read, s, part) for part in parts] for s in inputs}
        try:
            for sequence, futures in given.items():
                yield sequence, torch.cat([future.result() for future in futures])
        finally:
            _give_up([future for futures in given.values() for future in futures])

    def _on_gpu(self) -> bool:
        return any(model.output.mean.is_cuda for model in self._models.values())


def _give_up(futures: list[Future[Tensor]]) -> None:
    for future in futures:
        future.cancel()


def _pool_for(tasks: int) -> ThreadPoolExecutor:
    """Threads for so many tasks; where there are more cores than tasks, each computes with several."""
    cores = torch.get_num_threads()
    workers = min(cores, tasks)
    return _pool(os.getpid(), workers, cores // workers)


@cache
def _pool(process: int, workers: int, threads: int) -> ThreadPoolExecutor:
    """Threads of this process (a fork has none of its parent's), each with so many of torch's own."""
    everybody = threading.Barrier(workers + 1)
    before = torch.get_num_threads()

    def begin() -> None:
        torch.get_num_threads()  # the first question to torch in a thread sets what is usual; not after us
        torch.set_num_threads(threads)  # holds for the thread that says it, and for threads yet to come
        everybody.wait()

    pool = ThreadPoolExecutor(workers, "slices")
    for _ in range(workers):
        pool.submit(begin)
    everybody.wait()
    torch.set_num_threads(before)
    return pool
