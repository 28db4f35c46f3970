"""Several processes that learn as one: rank, world size and reductions; the identity for one."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed.rendezvous import rendezvous

from ppo.core import torch_internals
from ppo.core.errors import RunError, UserError


def is_active() -> bool:
    """Whether this process is one of several."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def rank() -> int:
    return dist.get_rank() if is_active() else 0


def world_size() -> int:
    return dist.get_world_size() if is_active() else 1


def start(device: torch.device) -> None:
    """Join the group that `torchrun` describes in the environment, if there is one.

    torchrun keeps one store over its restarts, where a rank that comes early finds the addresses
    of processes that are gone. So each restart has names of its own. The number of restarts is
    surely equal on all ranks where there is one node; for several see docs/distributed.md.

    Raises:
        UserError: the environment describes a part of a group.
    """
    told = os.environ.get("WORLD_SIZE", "1")
    if told in ("", "0", "1") or dist.is_initialized():
        return
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if missing or not told.isdecimal():
        lacks = f" and {', '.join(missing)} not" if missing else ""
        raise UserError(
            f"WORLD_SIZE={told} is set in this shell{lacks}, as if torchrun had started one of "
            "several processes; start them with torchrun, or unset WORLD_SIZE"
        )
    # Imported while a group exists, it keeps that group and its threads for ever, and a process is
    # now and then aborted by them at its end, after all work is done.
    torch_internals.load_compiler()
    single_node = os.environ.get("GROUP_WORLD_SIZE", "1") == "1"
    restarts = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") if single_node else "0"
    with _others():
        store, number, size = next(rendezvous("env://"))
        dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            store=dist.PrefixStore(f"restart{restarts}", store),
            rank=number,
            world_size=size,
        )
    atexit.register(stop)


def stop() -> None:
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


@contextlib.contextmanager
def _others() -> Iterator[None]:
    """Around an exchange: that another process is gone is no mistake of ours."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise RunError(
            f"another process of this run is gone, or cannot be reached ({reason}); torchrun "
            "--max-restarts with --resume latest starts all of them from the newest checkpoint"
        ) from error


def mean_(tensor: Tensor) -> Tensor:
    """Mean over ranks, in place."""
    return sum_(tensor).div_(world_size()) if is_active() else tensor


def sum_(tensor: Tensor) -> Tensor:
    """Sum over ranks, in place."""
    if is_active():
        with _others():
            dist.all_reduce(tensor)
    return tensor


def max_(tensor: Tensor) -> Tensor:
    """Maximum over ranks, in place."""
    if is_active():
        with _others():
            dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
    return tensor


def largest(numbers: Sequence[float], device: torch.device) -> list[float]:
    """Of each number the largest over ranks; waits for the device where there are several."""
    if not is_active():
        return list(numbers)
    return max_(torch.tensor(numbers, dtype=torch.float32, device=device)).tolist()


def any_(flag: bool, device: torch.device) -> bool:
    """Whether it holds on any rank; waits for the device where there are several."""
    return bool(max_(torch.tensor(float(flag), device=device))) if is_active() else flag


@contextlib.contextmanager
def together(device: torch.device) -> Iterator[None]:
    """Around what one rank does while the others wait: where it fails, all of them end.

    Raises:
        RunError: on the ranks that did not fail.
    """
    error = None
    try:
        yield
    except BaseException as found:
        error = found
    failed = any_(error is not None, device)
    if error is not None:
        raise error
    if failed:
        raise RunError("another process could not go on; it says why")


def gather_bytes(data: bytes, device: torch.device) -> list[bytes]:
    """What every rank has given, in the order of ranks."""
    if not is_active():
        return [data]
    lengths = [int(size) for size in gather(torch.tensor([len(data)], device=device))]
    padded = data.ljust(max(1, *lengths), b"\0")
    mine = torch.frombuffer(bytearray(padded), dtype=torch.uint8).to(device)
    found = [part.cpu().numpy().tobytes() for part in gather(mine)]
    return [part[:length] for part, length in zip(found, lengths, strict=True)]


def share_json(value: Any, device: torch.device) -> Any:
    """What rank 0 has, on every rank."""
    if not is_active():
        return value
    data = json.dumps(value, default=str).encode() if rank() == 0 else b""
    sent = gather_bytes(data, device)[0]
    return value if rank() == 0 else json.loads(sent)


def gather(tensor: Tensor) -> list[Tensor]:
    """This tensor of every rank, in the order of ranks."""
    if not is_active():
        return [tensor]
    found = [torch.empty_like(tensor) for _ in range(world_size())]
    with _others():
        dist.all_gather(found, tensor)
    return found
