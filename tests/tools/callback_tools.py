"""Short runs with callbacks, and a callback that writes down what it is told."""

from __future__ import annotations

import json

from learner_tools import records, settings

from ppo import Callback, Config

BATCHES = 6
MORE = {"train__total_timesteps": 64 * BATCHES, "train__checkpoint_interval": 2,
        "evaluation__interval": 2, "ppo__learning_rate_schedule": "constant"}  # fmt: skip


def config(env: str = "CartPole-v1", **more) -> Config:
    return settings(env, **(MORE | more))


def summary(results) -> dict:
    return json.loads((results / "run0001" / "summary.json").read_text())


class Told(Callback):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple] = []

    def on_start(self, trainer):
        self.told.append(("start", trainer.folder.name, trainer.config.env.id))

    def on_batch(self, trainer, record):
        written = records(trainer.folder.path) if trainer.folder.records() else []
        self.told.append(("batch", record["batch"], len(written)))

    def on_evaluation(self, trainer, row):
        self.told.append(("evaluation", row["batch"]))

    def on_checkpoint(self, trainer, path):
        assert path.exists()
        self.told.append(("checkpoint", int(path.name.split("_")[1][:6])))

    def on_end(self, trainer, summary):
        self.told.append(("end", summary["status"]))
