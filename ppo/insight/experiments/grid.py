"""Which runs a grid of settings x seeds is made of. Pure: nothing is started here."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ppo.core.errors import UserError

DESIGNS = ("full", "leave_one_out", "one_at_a_time")
MOST_JOBS = 10_000


@dataclass(frozen=True)
class Axis:
    """One setting and the values it takes; the first is the base of a leave-one-out."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Job:
    """One run: the settings that the grid gives it, and its seed."""

    number: int
    settings: tuple[str, ...]  # KEY=VALUE
    seed: int

    @property
    def label(self) -> str:
        """The settings in which this job differs from the others."""
        pairs = [setting.partition("=") for setting in self.settings]
        short = [f"{key.rpartition('.')[2]}={value}" for key, _, value in pairs]
        return ", ".join([*short, f"seed {self.seed}"])


@dataclass(frozen=True)
class Plan:
    """The request; the same plan again is the same experiment."""

    axes: tuple[Axis, ...]
    design: str
    seeds: tuple[int, ...]
    config: str | None
    overrides: tuple[str, ...]

    def jobs(self) -> list[Job]:
        """Every combination of the design with every seed, the base first."""
        rows = _combinations(self.axes, self.design)
        pairs = itertools.product(rows, self.seeds)
        return [Job(i + 1, tuple(row), seed) for i, (row, seed) in enumerate(pairs)]

    def identity(self) -> str:
        """A digest of the plan and of the configuration file's content."""
        text = "" if self.config is None else Path(self.config).read_text(encoding="utf-8")
        content = json.dumps([asdict(self), text], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def _combinations(axes: Sequence[Axis], design: str) -> list[list[str]]:
    """Rows of KEY=VALUE. The base row holds every first (or, one at a time, every last) value."""
    assert design in DESIGNS, design
    if design == "full":
        choices = itertools.product(*(axis.values for axis in axes))
        return [[f"{a.key}={v}" for a, v in zip(axes, row, strict=True)] for row in choices]
    place = 0 if design == "leave_one_out" else -1
    base = [axis.values[place] for axis in axes]
    rows = [base]
    for index, axis in enumerate(axes):
        for value in axis.values:
            if value != base[index]:
                rows.append([*base[:index], value, *base[index + 1 :]])
    return [[f"{a.key}={v}" for a, v in zip(axes, row, strict=True)] for row in rows]


def parse_axis(text: str) -> Axis:
    """`KEY=V1,V2`; commas inside brackets belong to the value.

    Raises:
        UserError: no key, fewer than two values, or one twice.
    """
    key, sign, rest = text.partition("=")
    values = [value.strip() for value in _parted(rest)]
    if not sign or not key.strip():
        raise UserError(f"{text!r}: write KEY=V1,V2, such as ppo.normalize_returns=true,false")
    if len(values) < 2 or not all(values):
        raise UserError(f"{text!r}: give at least two values, such as {key}=V1,V2")
    if len(set(values)) < len(values):
        raise UserError(f"{text!r}: the same value twice")
    return Axis(key.strip(), tuple(values))


def _parted(text: str) -> list[str]:
    """Parts between the commas that stand outside of all brackets."""
    parts, depth = [""], 0
    for sign in text:
        depth += (sign in "[{") - (sign in "]}")
        if sign == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    return parts


def file_of(config: str | os.PathLike[str] | None) -> str | None:
    """The absolute path of a configuration file; of config.yaml here, if there is one, for None."""
    if not config and not Path("config.yaml").exists():
        return None
    return str(Path(config or "config.yaml").resolve())


def seeds_of(count: int, first: int | None) -> tuple[int, ...]:
    """So many seeds, from 1 where no first one is given.

    Raises:
        UserError: less than one.
    """
    if count < 1:
        raise UserError(f"--seeds: {count}; allowed: 1 or more")
    start = 1 if first is None else first
    return tuple(range(start, start + count))


def plan_of(
    axes: Sequence[str],
    design: str,
    seeds: tuple[int, ...],
    config: str | None,
    overrides: Sequence[str],
) -> Plan:
    """The plan of axes as they are typed.

    Raises:
        UserError: one is not valid, or the same setting is there twice.
    """
    parsed = tuple(parse_axis(axis) for axis in axes)
    keys = [axis.key for axis in parsed]
    if len(set(keys)) < len(keys):
        raise UserError(f"the same setting twice: {', '.join(keys)}")
    if "system.seed" in keys:
        raise UserError("system.seed is varied by --seeds N")
    return Plan(parsed, design, seeds, config, tuple(overrides))


def validate(plan: Plan) -> None:
    """Every combination is a valid configuration, before anything is started.

    Raises:
        UserError: one line for each mistake.
    """
    from ppo.config import Config

    jobs = plan.jobs()
    if len(jobs) > MOST_JOBS:
        raise UserError(f"{len(jobs)} runs; allowed: up to {MOST_JOBS}")
    mistakes: list[str] = []
    meant: dict[str, dict[str, str]] = {axis.key: {} for axis in plan.axes}
    for settings in dict.fromkeys(job.settings for job in jobs):
        try:
            config = Config.load(plan.config, overrides=[*plan.overrides, *settings])
            mistakes += [line for line in _twins(config, settings, meant) if line not in mistakes]
        except UserError as error:
            told = [as_typed(line, settings) for line in error.messages]
            mistakes += [line for line in told if line not in mistakes]
    if mistakes:
        raise UserError(*mistakes)


def as_typed(line: str, settings: Sequence[str]) -> str:
    """A line on a setting of the grid, which no --set gave; an unknown key without its value."""
    for setting in settings:
        key = setting.partition("=")[0]
        line = line.replace(f"--set {setting}: unknown", f"{key}: unknown", 1)
        line = line.replace(f"--set {setting}:", f"{setting}:", 1)
    return line


def _twins(config: Any, settings: Sequence[str], meant: dict[str, dict[str, str]]) -> list[str]:
    """Values that are written differently and are one: their runs would be counted twice.

    Args:
        meant: of each key the values seen so far, as they are read and as they are written.
    """
    mistakes = []
    for setting in settings:
        key, _, written = setting.partition("=")
        value: Any = config
        for part in key.split("."):
            inside = value if isinstance(value, dict) else vars(value)
            value = inside.get(part, written)  # a key that is no field is taken as it is written
            if value is written:
                break
        first = meant[key].setdefault(repr(value), written)
        if first != written:
            mistakes.append(f"{key}: {first} and {written} are the same value")
    return mistakes
