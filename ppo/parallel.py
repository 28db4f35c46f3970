"""Several processes that learn as one: rank, world size and reductions; the identity for one."""

from __future__ import annotations

import os

import torch
from torch import Tensor
from torch import distributed as dist

from ppo.functional.moments import merge_moments


def is_active() -> bool:
    """Whether this process is one of several."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def rank() -> int:
    return dist.get_rank() if is_active() else 0


def world_size() -> int:
    return dist.get_world_size() if is_active() else 1


def start(device: torch.device) -> None:
    """Join the group that `torchrun` describes in the environment, if there is one."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")


def stop() -> None:
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def mean_(tensor: Tensor) -> Tensor:
    """Mean over ranks, in place."""
    if is_active():
        dist.all_reduce(tensor)
        tensor.div_(world_size())
    return tensor


def sum_(tensor: Tensor) -> Tensor:
    """Sum over ranks, in place."""
    if is_active():
        dist.all_reduce(tensor)
    return tensor


def max_(tensor: Tensor) -> Tensor:
    """Maximum over ranks, in place."""
    if is_active():
        dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
    return tensor


def merge_over_ranks(
    weight: Tensor, mean: Tensor, variance: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Moments of the union of all ranks' samples, merged in rank order so that all agree."""
    if not is_active():
        return weight, mean, variance
    packed = torch.cat([weight.reshape(1), mean.reshape(-1), variance.reshape(-1)])
    gathered = [torch.empty_like(packed) for _ in range(world_size())]
    dist.all_gather(gathered, packed)
    size = mean.numel()
    parts = [(p[0], p[1 : 1 + size].view_as(mean), p[1 + size :].view_as(mean)) for p in gathered]
    total = parts[0]
    for part in parts[1:]:
        total = merge_moments(*total, *part)
    return total
