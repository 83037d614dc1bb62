"""The processes that train one model together, as torchrun starts them: one for each GPU or machine.

All of them draw the same batches, and each takes its own part of every batch. Random numbers are drawn on the
CPU for the whole batch, so that neither the number of processes nor the device changes what is learned, but for
the order of floating-point sums.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..errors import UsageError

T = TypeVar("T")
Model = TypeVar("Model", bound=nn.Module)
TORCHRUN = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Team:
    """This process among those that train together; by default it is alone."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0

    def part(self, count: int) -> slice:
        """This process's rows of a batch of ``count``: every ``size``-th, so that each has both grades."""
        return slice(self.rank, count, self.size)

    def first(self, produce: Callable[[], T]) -> T:
        """What ``produce`` gives in the first process, in all of them; only there it runs."""
        if self.size == 1:
            return produce()
        box: list[Any] = [produce() if self.is_first else None]
        torch.distributed.broadcast_object_list(box, src=0)
        found: T = box[0]
        return found

    def summed(self, values: Tensor) -> Tensor:
        """The sum over all processes of a tensor on the CPU."""
        if self.size > 1:
            torch.distributed.all_reduce(values)
        return values

    def joined(self, parts: Tensor, counts: list[int]) -> Tensor:
        """Rows of whole batches of ``counts`` rows each, of which every process has its parts, in order."""
        if self.size == 1:
            return parts
        boxes: list[Any] = [None] * self.size
        torch.distributed.all_gather_object(boxes, parts)
        whole = parts.new_empty((sum(counts), *parts.shape[1:]))
        for rank, rows in enumerate(boxes):
            member = Team(rank, self.size)
            places, start = [], 0
            for count in counts:
                places.append(torch.arange(count)[member.part(count)] + start)
                start += count
            whole[torch.cat(places)] = rows
        return whole

    def ready(self, model: Model) -> Model:
        """The model as this team can train it: normalisation over a batch needs the batch's other parts.

        Raises:
            UsageError: several processes on CPUs cannot share what their batches measure.
        """
        normalises = any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules())
        if self.size == 1 or not normalises:
            return model
        if not next(model.parameters()).is_cuda:
            raise UsageError(
                "a backbone with batch normalisation is not trained by several processes on CPUs",
                remedy='set "backbone": "googlenet-2014" in the recipe, train on GPUs, or leave out torchrun',
            )
        synchronised: Model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return synchronised

    def wrapped(self, model: nn.Module) -> nn.Module:
        """What to call for a loss: gradients are averaged over all processes, weights begin as the first's."""
        return model if self.size == 1 else nn.parallel.DistributedDataParallel(model)


ALONE = Team()


@contextmanager
def team_of_torchrun(device: torch.device) -> Iterator[tuple[Team, torch.device]]:
    """The team that torchrun's environment variables describe, with this process's device; alone without them.

    Raises:
        UsageError: there are more processes on this machine than GPUs.
    """
    if not all(name in os.environ for name in TORCHRUN) or int(os.environ["WORLD_SIZE"]) == 1:
        yield ALONE, device
        return
    device = _own_device(device)
    torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        yield Team(torch.distributed.get_rank(), torch.distributed.get_world_size()), device
        torch.distributed.barrier()  # who leaves first may end those that still talk
    finally:
        torch.distributed.destroy_process_group()


def _own_device(device: torch.device) -> torch.device:
    if device.type != "cuda":
        return device
    number, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if number >= there:
        raise UsageError(
            f"torchrun started more processes than there are GPUs ({there})",
            remedy=f"give torchrun --nproc-per-node {there}, or add --device cpu",
        )
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


class Draw:
    """Random numbers for the images of a batch: drawn for all of it, of which ``part`` is wanted.

    Args:
        generator: on the CPU; the default one where it is None.
        whole: images in the batch. part: the rows that are wanted.
    """

    def __init__(self, generator: torch.Generator | None, whole: int, part: slice = slice(None)) -> None:
        self._generator, self._whole, self._part = generator, whole, part

    @property
    def count(self) -> int:
        """How many images are wanted."""
        return len(range(self._whole)[self._part])

    def uniform(self) -> Tensor:
        """(count,) numbers from 0 to 1."""
        return torch.rand(self._whole, generator=self._generator)[self._part]

    def normal(self, shape: torch.Size) -> Tensor:
        """(count, ...) numbers of mean 0 and deviation 1, in the shape of the images wanted."""
        return torch.randn(self._whole, *shape[1:], generator=self._generator)[self._part]

    def kept(self, like: Tensor, share: float) -> Tensor:
        """(count, ...) of 1 for a ``share`` of a tensor's values and 0 for the others, on its device."""
        whole = torch.empty(self._whole, *like.shape[1:], dtype=like.dtype)
        return whole.bernoulli_(share, generator=self._generator)[self._part].to(like.device)


class BatchDropout(nn.Dropout):
    """Dropout whose masks are drawn for the whole batch: the same in any team and on any device."""

    draw: Draw | None = None

    def forward(self, values: Tensor) -> Tensor:
        if not self.training or not self.p:
            return values
        draw = self.draw or Draw(None, len(values))
        return values * draw.kept(values, 1 - self.p).div_(1 - self.p)
