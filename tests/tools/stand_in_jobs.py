"""Experiments whose jobs are run by a stand-in for the trainer."""

from pathlib import Path

from ppo.insight.experiments.grid import Axis, Plan

TRAINER = Path(__file__).with_name("stand_in_trainer.py")


def standing_in(command):
    return [command[0], str(TRAINER), *command[3:]]


def plan(*values, seeds=1):
    return Plan((Axis("ppo.gamma", values),), "full", tuple(range(1, seeds + 1)), None, ())


def starts(experiment):
    folders = sorted((experiment.folder / "jobs").iterdir())
    return [(folder / "started.txt").read_text().split() for folder in folders]
