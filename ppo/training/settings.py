"""The configuration of a run, of which a few settings may move while it trains."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from ppo.algorithm.automatic import shown
from ppo.algorithm.learner import Learner
from ppo.config import Config
from ppo.core.errors import UserError

MOVABLE = (
    "ppo.learning_rate",
    "ppo.clip_epsilon",
    "ppo.entropy_coefficient",
    "ppo.component_weights",
)


class Settings:
    """The settings in force.

    Attributes:
        base: as the run was started or resumed; what its config.yaml holds. `config` is that with
            what has moved since.
    """

    def __init__(self, config: Config, learner: Learner) -> None:
        self.base, self._learner = config, learner

    @property
    def config(self) -> Config:
        return self._learner.config

    def set(self, key: str, value: Any) -> str | None:
        """Moves a setting from the next batch on; returns the event, or None where nothing moved.

        Raises:
            UserError: this one cannot move, or not to this value.
        """
        if key not in MOVABLE:
            raise UserError(
                f"set: {key}: cannot be changed during a run (allowed: {', '.join(MOVABLE)})"
            )
        before = attrgetter(key)(self.config)
        section, name = key.split(".")
        values = self.config.to_dict()
        values[section][name] = _plain(value)
        self._learner.take_over(Config.from_dict(values))
        now = attrgetter(key)(self.config)
        return None if now == before else f"{key}: {shown(before)} -> {shown(now)}"

    def state(self) -> dict[str, Any]:
        """What has moved: its value at the start and now, by key."""
        moved = {key: [attrgetter(key)(self.base), attrgetter(key)(self.config)] for key in MOVABLE}
        return {key: values for key, values in moved.items() if values[0] != values[1]}

    def load(self, state: dict[str, Any]) -> list[str]:
        """Moves on from the start; events for settings that the user has changed since."""
        events = []
        self._learner.take_over(self.base)
        for key, (start, value) in state.items():
            now = attrgetter(key)(self.config)
            if now == start:
                self.set(key, value)
            else:
                events.append(
                    f"resumed with {key}={shown(now)}; it had moved from {shown(start)} "
                    f"to {shown(value)}"
                )
        return events


def _plain(value: Any) -> Any:
    """A number of Python in place of one of numpy or torch."""
    if isinstance(value, dict):
        return {name: _plain(number) for name, number in value.items()}
    return value.item() if hasattr(value, "item") else value
