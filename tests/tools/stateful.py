"""A callback that steers a run by all that it has seen; what it forgets shows in the records."""

from __future__ import annotations

from typing import Any

import torch

from ppo import Callback
from ppo.core import parallel


class Stateful(Callback):
    """Its state: a float that begins as infinity, a count, a list, and a tensor with NaN.

    It begins anew in `on_start`, as careless callbacks do: the resumed state comes after that.
    """

    def on_start(self, trainer: Any) -> None:
        self.best, self.batches, self.seen = float("-inf"), 0, []
        self.sums = torch.tensor([0.0, float("nan")], dtype=torch.float64)
        trainer.set("ppo.clip_epsilon", 0.3)

    def on_batch(self, trainer: Any, record: dict[str, Any]) -> None:
        self.batches += 1
        self.best = max(self.best, record["policy_loss"])
        self.sums[0] += record["entropy"]
        self.seen = [*self.seen, record["batch"]][-3:]
        trainer.log("best", self.best)
        trainer.log("sum", self.sums[0])
        trainer.log("seen", sum(self.seen) + self.batches)
        if self.batches == 2:
            trainer.set("ppo.clip_epsilon", 0.1)  # and not back to 0.3 in a resumed `on_start`
        rate = trainer.config.ppo.learning_rate
        if self.batches % 2 == 0:
            trainer.set("ppo.learning_rate", rate * (0.5 if float(self.sums[0]) % 2 < 1 else 0.75))

    def on_evaluation(self, trainer: Any, row: dict[str, Any]) -> None:
        trainer.set("ppo.entropy_coefficient", 0.001 * self.batches)

    def state_dict(self) -> dict[str, Any]:
        return {
            "best": self.best,
            "batches": self.batches,
            "seen": self.seen,
            "nested": {"sums": self.sums},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        assert torch.isnan(state["nested"]["sums"][1])
        self.best, self.batches, self.seen = state["best"], state["batches"], state["seen"]
        self.sums = state["nested"]["sums"]


class FailsInRank1(Callback):
    def on_batch(self, trainer: Any, record: dict[str, Any]) -> None:
        if parallel.rank() == 1 and record["batch"] == 1:
            raise ValueError("no")


class Harder(Callback):
    """Makes the environments of curriculum_env harder, by what their returns are."""

    def __init__(self) -> None:
        self.level = 0.0

    def on_start(self, trainer: Any) -> None:
        trainer.call_envs("harder", 0.5)

    def on_batch(self, trainer: Any, record: dict[str, Any]) -> None:
        if record["batch"] % 3 == 1:
            self.level += 0.1 * abs(record["return_mean"])
            trainer.log("level", trainer.call_envs("harder", self.level)[0])

    def state_dict(self) -> dict[str, Any]:
        return {"level": self.level}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.level = state["level"]
