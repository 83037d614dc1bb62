"""The three networks side by side: each thread reads some slices of one sequence alone.

Threads that share out a layer wait for one another at its end, some hundred times a case; threads that each
take slices of their own wait once. The more slices a thread takes, the less often weights are read: sequences
are read whole, but for the last, whose halves let two threads share three sequences evenly.
The parts are the same however many threads there are: on some processors a product of another number of rows
is added up in another order, and the last digits of a grade would depend on the machine's cores.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor

from .inference import FusedModel

T = TypeVar("T")

Input = Callable[[slice], tuple[Tensor, Tensor]]
"""Makes the images (N, 3, H, W) and the tumour (N, H, W) of a part of a sequence's slices."""


class Readers:
    """The models of the sequences.

    Args:
        models: by sequence, on one device.
    """

    def __init__(self, models: Mapping[str, FusedModel]) -> None:
        self._models = models

    def judged(
        self, inputs: Mapping[str, Input], count: int, judge: Callable[[str, Tensor], T]
    ) -> Iterator[tuple[str, T]]:
        """Sequences in the order of ``inputs``, each with what ``judge`` makes of it.

        Args:
            inputs: by sequence; several threads call them.
            count: slices of each sequence.
            judge: of a sequence and the pooled features (count, features) of its slices. It is called on a
                thread that computes alone: the caller's own may share out even small sums, and would wait
                for cores that are busy with the next sequence.
        """

        def read(sequence: str, part: slice) -> Tensor:
            with torch.inference_mode():
                return self._models[sequence].pooled(*inputs[sequence](part))

        def finish(sequence: str, parts: list[Tensor]) -> T:
            with torch.inference_mode():
                return judge(sequence, torch.cat(parts))

        threads = torch.get_num_threads()
        parts = dict(zip(inputs, parts_of(len(inputs), count), strict=True))
        if self._on_gpu() or threads < 2:
            for sequence in inputs:
                yield sequence, finish(sequence, [read(sequence, part) for part in parts[sequence]])
            return
        pool = _pool(os.getpid(), min(threads, sum(map(len, parts.values()))))

        def read_last(sequence: str, others: Sequence[Future[Tensor]]) -> T:
            """Waits for parts that were begun before it, so that none of them waits for its thread."""
            last = read(sequence, parts[sequence][-1])
            return finish(sequence, [*(part.result() for part in others), last])

        given: list[Future[Any]] = []
        judged: dict[str, Future[T]] = {}
        for sequence in inputs:
            others = [pool.submit(read, sequence, part) for part in parts[sequence][:-1]]
            judged[sequence] = pool.submit(read_last, sequence, others)
            given += [*others, judged[sequence]]
        try:
            for sequence, future in judged.items():
                yield sequence, future.result()
        finally:
            for future in given:
                future.cancel()

    def _on_gpu(self) -> bool:
        return any(model.output.mean.is_cuda for model in self._models.values())


def parts_of(sequences: int, count: int) -> list[list[slice]]:
    """The parts in which the ``count`` slices of each sequence are read."""
    half = -(-count // 2)
    halves = [part for part in (slice(0, half), slice(half, count)) if part.start < part.stop]
    return [[slice(0, count)]] * (sequences - 1) + [halves]


@cache
def _pool(process: int, workers: int) -> ThreadPoolExecutor:
    """Threads of this process (a fork has none of its parent's) that compute alone, each with no more threads.

    A product that several threads share out is added up in another order: its last digits would depend on how
    many there are.
    """
    everybody = threading.Barrier(workers + 1)
    before = torch.get_num_threads()

    def begin() -> None:
        torch.get_num_threads()  # the first question to torch in a thread sets what is usual; not after us
        torch.set_num_threads(1)  # holds for the thread that says it, and for threads yet to come
        everybody.wait()

    pool = ThreadPoolExecutor(workers, "slices")
    for _ in range(workers):
        pool.submit(begin)
    everybody.wait()
    torch.set_num_threads(before)
    return pool
