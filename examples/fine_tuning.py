"""Fine-tuning: a second run goes on with all that the first has learned, at a lower rate.

python examples/fine_tuning.py
"""

from __future__ import annotations

import sys

from ppo import Config, Trainer

if __name__ == "__main__":
    config = Config.load(overrides=["env.id=CartPole-v1", *sys.argv[1:]])
    with Trainer(config) as trainer:
        trainer.train()
        assert trainer.folder is not None
        first = trainer.folder.name
    tuned = config.with_overrides(
        [
            f"train.initial_policy={first}",
            "train.initial_parts=all",  # the critic and the statistics too, not the actor alone
            "ppo.learning_rate=1e-4",
        ]
    )
    with Trainer(tuned) as trainer:
        print(trainer.train()["status"], trainer.evaluate(episodes=2)["mean_return"])
