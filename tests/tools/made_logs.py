"""Logs of any writer from constants and curves, and what the doctor names first of one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ppo.insight.doctor import diagnose
from ppo.insight.logs import MetricsLog
from ppo.insight.verdict import status

SHAPE = Callable[[np.ndarray], np.ndarray]


def foreign(rows: int = 80, writer: str = "cleanrl", **columns: object) -> MetricsLog:
    """A log whose columns are constants or functions of the share of the run that is done."""
    done = np.linspace(0, 1, rows)
    log = MetricsLog(batches=np.arange(rows), writer=writer)
    log.columns["env_steps"] = 1000.0 * (1 + np.arange(rows))
    for name, value in columns.items():
        log.columns[name] = value(done) if callable(value) else np.full(rows, float(value))
    return log


def noisy(curve: SHAPE, size: float = 1.0) -> SHAPE:
    return lambda done: curve(done) + size * np.random.default_rng(0).normal(size=len(done))


def through(*points: tuple[float, float]) -> SHAPE:
    """A line through points (share of the run, value)."""
    return lambda done: np.interp(done, *zip(*points, strict=True))


def first(log: MetricsLog) -> str:
    """The illness named first, or the status."""
    findings = diagnose(log)
    return findings[0].illness if findings else status(log, findings)


def last_hundred(episodes: np.ndarray, ended: int) -> np.ndarray:
    """The mean of the last 100 episodes after each batch, in which `ended` episodes end."""
    ends = range(ended, len(episodes) + 1, ended)
    return np.array([np.mean(episodes[max(end - 100, 0) : end]) for end in ends])


def drawn(writer: str, ended: int, rows: int, course: SHAPE, seed: int) -> MetricsLog:
    """A log of episodes that vary by 50 around -180 and what a course adds, in spreads.

    In a batch end `ended`; Stable-Baselines3 and RLlib tell the mean of the last 100, others that
    of the batch.
    """
    chance = np.random.default_rng(seed).normal(size=ended * rows)
    episodes = -180.0 + 50.0 * (course(np.linspace(0, 1, len(chance))) + chance)
    log = foreign(rows, writer, mean_episode_length=1000.0 / ended)
    windowed = writer in ("stable-baselines3", "rllib")
    of_batch = episodes.reshape(rows, ended).mean(axis=1)
    log.columns["mean_episode_return"] = last_hundred(episodes, ended) if windowed else of_batch
    return log
