"""The tensors that a training has at the start of a batch, kept until the next one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from ppo.core.errors import UserError

RENAMED = {"learner.last_mean": "last_mean", "learner.kl_factor": "kl_rate.factor"}
ADDED_LATER = (
    "discount",
    "noise_color",
    "reported",
)  # parts that the first checkpoints do not have
TENSORS_ADDED_LATER = ("objective.value_scale.recent",)
LOOKS = 3  # batches after which a part has shown what it does with its buffers


def of_a_rank(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The buffers, by dotted name, that follow the environments of one process.

    A part names them in its attribute `of_a_rank`. They are saved by each rank, and they go on with
    the environments where an update is rolled back.
    """
    for name, part in module.named_modules():
        for buffer in getattr(part, "of_a_rank", ()):
            yield f"{name}.{buffer}", getattr(part, buffer)


class Snapshot:
    """A copy of every buffer of a module, in memory allocated once.

    Parameters are covered by the one buffer of which they are views (`Adam.theta`).
    """

    def __init__(self, module: nn.Module) -> None:
        self._module, self._known, self._looks = module, dict(module.named_buffers()), 0
        follows = {id(buffer) for _, buffer in of_a_rank(module)}
        copies = [(buffer, torch.empty_like(buffer)) for buffer in module.buffers()]
        self._learned = [pair for pair in copies if id(pair[0]) not in follows]
        self._following = [pair for pair in copies if id(pair[0]) in follows]

    @torch.no_grad()
    def take(self) -> None:
        """Copy what there is now.

        Raises:
            UserError: a part has put another tensor in the place of its buffer.
        """
        if self._looks < LOOKS:
            self._looks += 1
            self._refuse_replaced()
        for tensor, copy in (*self._learned, *self._following):
            copy.copy_(tensor)

    def _refuse_replaced(self) -> None:
        for name, buffer in self._module.named_buffers():
            if self._known.get(name, buffer) is not buffer:
                place, _, own = name.rpartition(".")
                kind = type(self._module.get_submodule(place))
                raise UserError(
                    f"{kind.__name__}: self.{own} was replaced by another "
                    "tensor, while replayed code, CUDA graphs and a rollback go on with the old "
                    f"one; change it in place: self.{own}.copy_(...)"
                )

    @torch.no_grad()
    def roll_back(self) -> None:
        """What is learned returns; what follows the environments, which go on, stays."""
        for tensor, copy in self._learned:
            tensor.copy_(copy)

    @torch.no_grad()
    def rewind(self) -> None:
        """Everything returns."""
        self.roll_back()
        for tensor, copy in self._following:
            tensor.copy_(copy)


def of_earlier_versions(
    state: Mapping[str, Tensor], now: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """A saved state by today's names; parts that came later are as they are `now`."""
    named = {RENAMED.get(name, name): tensor for name, tensor in state.items()}
    known = {name.split(".")[0] for name in named}
    missing = [part for part in ADDED_LATER if part not in known]
    later = {name: t for name, t in now.items() if name.split(".")[0] in missing}
    return {name: now[name] for name in TENSORS_ADDED_LATER if name in now} | named | later
