"""Logs on either side of each threshold of the doctor's rules: the table, and how rows are found.

    python tests/tools/borderlines.py RULE [SECONDS]

prints rows for the thresholds of a rule that no row of `tests/insight/borderlines.jsonl` sees:
one where halving or doubling the threshold changes what the rule finds.
"""

from __future__ import annotations

import contextlib
import json
import random
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ppo.core.metrics import METRICS
from ppo.insight.logs import MetricsLog
from ppo.insight.rules import RULES, Rule, _critic, _policy, _returns, _signs

SHARED = (_critic, _policy, _returns, _signs)
TABLE = Path(__file__).parents[1] / "insight" / "borderlines.jsonl"
Row = dict[str, Any]
Threshold = tuple[str, int | None]  # name in its module, and place in a tuple; "waits" of the class


# ---- a row of the table


def curve(what: Any, rows: int) -> np.ndarray:
    """[rows] of a number (null: not logged) or of one of these, where s is a share of the run:

    [from, to]; [before, after, s]; [outside, inside, s, s]; {"wave": [middle, size]};
    {"line": [[s, value], ...], "noise": size}.
    """
    done, count = np.linspace(0, 1, rows), np.arange(rows)
    if isinstance(what, dict):
        if "wave" in what:
            middle, size = what["wave"]
        else:
            middle, size = np.interp(done, *zip(*what["line"], strict=True)), what.get("noise", 0.0)
        return middle + size * np.sin(count * count)
    if not isinstance(what, list):
        return np.full(rows, np.nan if what is None else float(what))
    start, end, *at = [np.nan if x is None else float(x) for x in what]
    if not at:
        return start + (end - start) * done
    inside = (done >= at[0]) & (done < (at[1] if len(at) > 1 else 2.0))
    return np.where(inside, end, start)


def log_of(row: Row) -> MetricsLog:
    """The log that a row of the table describes."""
    rows = row["rows"]
    log = MetricsLog(
        batches=np.arange(rows), writer=row.get("writer", "ppo"), settings=row.get("settings", {})
    )
    log.columns = {name: curve(what, rows) for name, what in row["columns"].items()}
    log.components = {
        name: {key: curve(what, rows) for key, what in table.items()}
        for name, table in row.get("components", {}).items()
    }
    return log


def found(row: Row) -> list[Any] | None:
    """Severity, confidence and first batch of what the rule finds in a row's log, and whether its
    text has the words that the row names."""
    rule, log = RULES.get(row["rule"])(), log_of(row)
    with np.errstate(all="ignore"):
        finding = rule.check(log) if rule.applies(log) else None
    if finding is None:
        return None
    says = row.get("says", "") in f"{finding.evidence}; {finding.remedy}"
    return [finding.severity, finding.confidence, finding.since_batch, says]


# ---- thresholds


def module_of(rule: type[Rule]) -> ModuleType:
    return sys.modules[rule.__module__]


def thresholds(rule: type[Rule]) -> list[Threshold]:
    """Every number with a name at the top of a rule's file, and the batches that it waits."""
    source = Path(str(module_of(rule).__file__)).read_text()
    names = [name for line in re.findall(r"^([A-Z_, ]+) = ", source, re.M) for name in
             line.split(", ")]  # fmt: skip
    places: list[Threshold] = []
    for name in names:
        value = getattr(module_of(rule), name)
        if isinstance(value, int | float):
            places.append((name, None))
        elif isinstance(value, tuple) and all(isinstance(part, float) for part in value):
            places += [(name, i) for i in range(len(value))]
    return [*places, ("waits", None)] if "waits" in vars(rule) else places


def value_of(rule: type[Rule], place: Threshold) -> float:
    name, i = place
    value = getattr(rule if name == "waits" else module_of(rule), name)
    return value if i is None else value[i]


@contextlib.contextmanager
def times(rule: type[Rule], place: Threshold, factor: float) -> Iterator[None]:
    """A threshold multiplied, for a while; one that counts stays whole."""
    name, i = place
    owner: Any = rule if name == "waits" else module_of(rule)
    before, one = getattr(owner, name), value_of(rule, place)
    new: Any = max(round(one * factor), 1) if isinstance(one, int) else one * factor
    if i is not None:
        new = (*before[:i], new, *before[i + 1 :])
    setattr(owner, name, new)
    try:
        yield
    finally:
        setattr(owner, name, before)


def sees(row: Row, place: Threshold, factor: float) -> bool:
    """Whether what the rule finds in this row changes with a threshold."""
    before = found(row)
    with times(RULES.get(row["rule"]), place, factor):
        return found(row) != before


def unseen(name: str, rows: list[Row]) -> list[tuple[Threshold, float]]:
    """Thresholds of a rule, each halved and doubled, that no row sees."""
    rule = RULES.get(name)
    return [
        (place, factor)
        for place in thresholds(rule)
        for factor in (0.5, 2.0)
        if not any(sees(row, place, factor) for row in rows)
    ]


def table() -> list[Row]:
    return [json.loads(line) for line in TABLE.read_text().splitlines()] if TABLE.exists() else []


# ---- the search


class Search:
    """Random logs of what a rule reads, and those where a number is moved to where it decides."""

    def __init__(self, name: str, draw: random.Random) -> None:
        self.name, self.draw = name, draw
        rule = RULES.get(name)
        source = "".join(Path(str(m.__file__)).read_text() for m in (module_of(rule), *SHARED))
        words = set(re.findall(r'"([a-z_.]+)"', source))
        known = {metric.name for metric in METRICS} | {
            "value_rmse", "policy_std", "gamma", "last_minibatch_loss", "evaluation_return",
            "entropy_relative", "env_steps", "mean_episode_return",
        }  # fmt: skip
        own = set(re.findall(r'"([a-z_.]+)"', Path(str(module_of(rule).__file__)).read_text()))
        self.columns = sorted(words & known)
        self.own = sorted(own & known)
        self.settings = sorted(w for w in words if "." in w and w.split(".")[0] in ("ppo", "env"))
        self.numbers = [float(value_of(rule, place)) for place in thresholds(rule)]

    def number(self) -> float:
        draw = self.draw
        base = draw.choice([*self.numbers, *self.numbers, 0.0, 1.0, 10 ** draw.uniform(-6, 5)])
        if draw.random() < 0.2:
            base = draw.choice([1 - base, 1 / base if base else 1.0, -base])
        return float(f"{base * draw.choice([0.3, 0.7, 0.9, 1.1, 1.5, 3.0]):.3g}")

    def shape(self) -> Any:
        draw = self.draw
        kind = draw.random()
        if kind < 0.55:
            return self.number()
        if kind < 0.7:
            return [self.number(), self.number()]
        if kind < 0.85:
            return {"wave": [self.number(), self.number()]}
        at = sorted(round(draw.random(), 2) for _ in range(draw.choice([1, 2])))
        return [self.number(), self.number(), *at]

    def row(self) -> Row:
        draw = self.draw
        needs = draw.choice(RULES.get(self.name).needs or ((),))
        columns = {c: self.shape() for c in self.own if c in needs or draw.random() < 0.4}
        columns |= {c: self.shape() for c in needs}
        if draw.random() < 0.3:
            columns |= {c: self.shape() for c in self.columns if draw.random() < 0.2}
        if draw.random() < 0.5 and "mean_episode_return" in columns:
            columns["mean_episode_return"] = draw.choice(
                [{"wave": [600, 50]}, [0.0, 500.0], {"wave": [-5, 0.1]}, [0, 100, 0.3, 0.7]]
            )
        if "env_steps" in columns:
            columns["env_steps"] = [0.0, draw.choice([1e3, 1e4, 1e5, 1e6])]
        row: Row = {"rule": self.name, "rows": draw.choice([6, 11, 15, 22, 30, 45, 60, 90])}
        row["columns"] = columns
        if draw.random() < 0.3:
            row["writer"] = draw.choice(["stable-baselines3", "cleanrl"])
        settings = {}
        for key in self.settings:
            if draw.random() < 0.4:
                settings[key] = draw.choice([True, False, "absolute", self.number()])
        if settings:
            row["settings"] = settings
        if "components" in Path(str(module_of(RULES.get(self.name)).__file__)).read_text():
            row["components"] = {n: {"loss": self.shape()} for n in ("a", "b")}
            if draw.random() < 0.3:
                row["components"]["a"]["explained_variance"] = self.number()
        return row

    def borders(self, row: Row) -> Iterator[Row]:
        """Rows a tenth to either side of where one number of this one decides."""
        here = found(row)
        for path in numbers(row):
            good, bad = 1.0, None
            for factor in (0.8, 1.25, 0.5, 2.0, 0.2, 5.0, 0.02, 50.0):
                if found(scaled(row, path, factor)) != here:
                    bad = factor
                    break
            if bad is None:
                continue
            for _ in range(6):
                middle = (good * bad) ** 0.5
                if found(scaled(row, path, middle)) == here:
                    good = middle
                else:
                    bad = middle
            for factor in (good * 0.93, good * 1.07):
                yield scaled(row, path, factor)


def numbers(what: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = what.items() if isinstance(what, dict) else enumerate(what)
    for key, value in items:
        if isinstance(value, dict | list):
            yield from numbers(value, (*path, key))
        elif isinstance(value, int | float) and not isinstance(value, bool) and value:
            yield (*path, key)


def scaled(row: Row, path: tuple[Any, ...], factor: float) -> Row:
    new = json.loads(json.dumps(row))
    inner = new
    for key in path[:-1]:
        inner = inner[key]
    value = inner[path[-1]] * factor
    whole = path == ("rows",)
    inner[path[-1]] = max(round(value), 1) if whole else float(f"{value:.3g}")
    return new


def simpler(row: Row, wanted: list[tuple[Threshold, float]]) -> Row:
    """Without the columns and settings that these thresholds do not need to be seen."""
    for part in ("columns", "settings", "components"):
        for key in list(row.get(part, {})):
            new = json.loads(json.dumps(row))
            del new[part][key]
            if not new[part] and part != "columns":
                del new[part]
            with contextlib.suppress(Exception):
                if all(sees(new, *one) for one in wanted):
                    row = new
    return row


def search(name: str, seconds: float, rows: list[Row]) -> Iterator[Row]:
    """New rows until every threshold of a rule is seen, or the time is over."""
    draw, end = random.Random(name), time.monotonic() + seconds
    made, left = Search(name, draw), unseen(name, rows)
    fired: list[Row] = [row for row in rows if found(row)]
    while left and time.monotonic() < end:
        start = draw.choice(fired) if fired and draw.random() < 0.7 else made.row()
        if fired and draw.random() < 0.5:  # from one that is known, with a part of another
            other = made.row()
            start = json.loads(json.dumps(draw.choice(fired)))
            for key in list(other["columns"]):
                if draw.random() < 0.3:
                    start["columns"][key] = other["columns"][key]
            if draw.random() < 0.3:
                start["rows"] = other["rows"]
        try:
            if found(start) is None and draw.random() < 0.7:
                continue
            candidates = [start, *made.borders(start)]
            if found(start) is not None and len(fired) < 300:
                fired.append(start)
        except (ValueError, IndexError, ZeroDivisionError, OverflowError, KeyError):
            continue
        for row in candidates:
            with contextlib.suppress(ValueError, IndexError, ZeroDivisionError, OverflowError):
                caught = [one for one in left if sees(row, *one)]
                if caught:
                    left = [one for one in left if one not in caught]
                    row = simpler(row, caught)
                    yield row | {"finds": found(row)}
    for place, factor in left:
        print(f"{name}: {place} times {factor} is not seen", file=sys.stderr)


if __name__ == "__main__":
    for row in search(sys.argv[1], float((*sys.argv, "60")[2]),
                      [row for row in table() if row["rule"] == sys.argv[1]]):  # fmt: skip
        print(json.dumps(row), flush=True)
