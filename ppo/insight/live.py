"""The doctor while Stable-Baselines3 trains: its logger's figures, batch by batch."""

from __future__ import annotations

import functools
from typing import Any

from ppo.core.elsewhere import settings_of
from ppo.core.errors import UserError
from ppo.insight.doctor import Watch
from ppo.insight.logs.writers.stable_baselines3 import SB3_ROLLOUT, SB3_TRAIN


@functools.cache
def stable_baselines3_callback() -> type:
    """The class of the callback, made when Stable-Baselines3 is there.

    Raises:
        UserError: it is not installed.
    """
    try:
        from stable_baselines3.common.callbacks import BaseCallback
    except ImportError:
        raise UserError("StableBaselines3Callback: stable-baselines3 is not installed") from None

    class StableBaselines3Callback(BaseCallback):  # type: ignore[misc, unused-ignore]
        """`model.learn(..., callback=StableBaselines3Callback())` prints new findings.

        Attributes:
            watch: holds every finding so far in `findings`.
        """

        def __init__(self, verbose: int = 0) -> None:
            super().__init__(verbose)
            self.watch = Watch(writer="stable-baselines3")
            self._returns: dict[str, Any] = {}

        def _on_training_start(self) -> None:
            self.watch.set(settings(self.model))

        def _on_rollout_start(self) -> None:
            """The update is over: its figures belong to the rollout before."""
            record = batch(self.logger.name_to_value)
            if record:
                self._tell(self._returns | record)

        def _on_rollout_end(self) -> None:
            self._returns = episodes(self.model) | {"env_steps": self.num_timesteps}

        def _on_training_end(self) -> None:
            self._on_rollout_start()

        def _on_step(self) -> bool:
            return True

        def _tell(self, record: dict[str, Any]) -> None:
            for found in self.watch.update(record):
                print(f"doctor: {found.illness} since batch {found.since_batch}: {found.evidence}")
                print(f"        try {found.remedy}")

    return StableBaselines3Callback


def settings(model: Any) -> dict[str, Any]:
    """A model's settings under our names, as far as it has them."""
    theirs = settings_of("stable-baselines3")
    found = {ours: getattr(model, name, None) for name, ours in theirs.items()}
    known = {key: value for key, value in found.items() if isinstance(value, int | float)}
    return known | {"ppo.normalize_returns": False}


def batch(figures: dict[str, Any]) -> dict[str, Any]:
    """Figures of the logger as a record; empty where no update has been made."""
    names = {**SB3_TRAIN, **SB3_ROLLOUT}
    record = {ours: float(figures[tag]) for tag, ours in names.items() if tag in figures}
    if "policy_loss" not in record:
        return {}
    if "entropy" in record:
        record["entropy"] = -record["entropy"]
    if "value_loss" in record:
        record["value_rmse"] = abs(record["value_loss"]) ** 0.5
    return record


def episodes(model: Any) -> dict[str, Any]:
    """Mean return and length of the episodes that the model's monitor has seen last."""
    ended = list(getattr(model, "ep_info_buffer", None) or [])
    if not ended:
        return {}
    return {
        "mean_episode_return": sum(float(e["r"]) for e in ended) / len(ended),
        "mean_episode_length": sum(float(e["l"]) for e in ended) / len(ended),
    }
