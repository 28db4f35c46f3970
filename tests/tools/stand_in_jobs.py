"""Experiments whose jobs are run by a stand-in for the trainer."""

from pathlib import Path

from ppo.insight.experiments.grid import Axis, Plan
from ppo.insight.experiments.launchers.local import LocalLauncher

TRAINER = Path(__file__).with_name("stand_in_trainer.py")


def standing_in(command):
    assert command[1:3] == ["-m", "ppo"]
    return [command[0], str(TRAINER), *command[3:]]


class StandIn(LocalLauncher):
    def start(self, command, output):
        return super().start(standing_in(command), output)


def plan(*values, seeds=1):
    return Plan((Axis("ppo.gamma", values),), "full", tuple(range(1, seeds + 1)), None, ())


def starts(experiment):
    folders = sorted((experiment.folder / "jobs").iterdir())
    return [(folder / "started.txt").read_text().split() for folder in folders]
