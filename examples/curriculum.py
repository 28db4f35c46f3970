"""A curriculum: harder once the policy is good enough. python examples/curriculum.py"""

import sys
from typing import Any

from gymnasium.envs.classic_control.cartpole import CartPoleEnv

from ppo import Callback, Config, Trainer


class Longer(CartPoleEnv):
    """CartPole whose pole gets longer from level to level."""

    def set_level(self, level: int) -> None:
        self.length = 0.5 * (1 + level)
        self.polemass_length = self.masspole * self.length


class Harder(Callback):
    """Raises the level where the last episodes were long; a resumed run repeats it exactly."""

    level = 0

    def on_batch(self, trainer: Any, record: dict[str, Any]) -> None:
        if (record["mean_episode_return"] or 0) > 150 and self.level < 3:
            self.level += 1
            trainer.call_envs("set_level", self.level)
        trainer.log("level", self.level)

    def state_dict(self) -> dict[str, Any]:
        return {"level": self.level}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.level = state["level"]


with Trainer(Config.load(overrides=sys.argv[1:]), env=Longer, callbacks=[Harder()]) as trainer:
    trainer.train()
