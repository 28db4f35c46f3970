"""What a search varies: ranges and choices of settings, as they are typed."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from ppo.core.errors import UserError
from ppo.insight.experiments.grid import parse_axis

FORM = "write KEY=LOW..HIGH, KEY=LOW..HIGH log, or KEY=V1,V2"
RANGE = re.compile(r"(?P<low>[^.\s]\S*?)\.\.(?P<high>\S+?)(?P<log>\s+log)?")


@dataclass(frozen=True)
class Dimension:
    """One setting: a range of numbers, or choices."""

    key: str
    low: float = math.nan
    high: float = math.nan
    log: bool = False
    whole: bool = False
    choices: tuple[str, ...] = ()

    def suggest(self, trial: Any) -> str:
        """The value that an Optuna trial takes, as it is typed."""
        if self.choices:
            return self.typed(trial.suggest_categorical(self.key, list(self.choices)))
        suggest = trial.suggest_int if self.whole else trial.suggest_float
        low, high = (int(v) if self.whole else v for v in (self.low, self.high))
        return self.typed(suggest(self.key, low, high, log=self.log))

    def typed(self, value: Any) -> str:
        """A value of a trial, as it is typed."""
        return str(value) if self.choices or self.whole else repr(float(value))

    def ends(self) -> list[str]:
        """Values that must be valid for all others to be."""
        if self.choices:
            return list(self.choices)
        return [self.typed(int(v) if self.whole else v) for v in (self.low, self.high)]

    def place(self, value: str) -> float:
        """Where a value stands, from 0 to 1."""
        if self.choices:
            return self.choices.index(value) / max(len(self.choices) - 1, 1)
        numbers = [float(value), self.low, self.high]
        at, low, high = map(math.log, numbers) if self.log else numbers
        return (at - low) / (high - low)


def parse(text: str) -> Dimension:
    """
    Raises:
        UserError: the text is of no form, or its range is empty.
    """
    key, sign, rest = (part.strip() for part in text.partition("="))
    if not sign or not key:
        raise UserError(f"--vary {text!r}: {FORM}, such as ppo.learning_rate=1e-5..1e-2 log")
    found = RANGE.fullmatch(rest)
    if found is None:
        if ".." in rest or "," not in rest:
            raise UserError(f"--vary {text!r}: {FORM}")
        return Dimension(key, choices=parse_axis(text).values)
    try:
        low, high = float(found["low"]), float(found["high"])
    except ValueError:
        raise UserError(f"--vary {text!r}: the ends of a range must be numbers") from None
    log = found["log"] is not None
    if not low < high:
        raise UserError(f"--vary {text!r}: {low:g} is not below {high:g}")
    if log and low <= 0:
        raise UserError(f"--vary {text!r}: a range in logarithms must be above 0")
    whole = _is_whole(key)
    if whole and not (low.is_integer() and high.is_integer()):
        raise UserError(f"--vary {text!r}: {key} is a whole number")
    return Dimension(key, low, high, log, whole)


def _is_whole(key: str) -> bool:
    """Whether a setting takes whole numbers only."""
    from ppo.config import Config
    from ppo.config.words import SECTION, schema_at

    schema = schema_at(Config, tuple(key.split(".")))
    if schema is None or schema is SECTION:
        return False  # the checks report a key that is not there
    kinds = [schema, *schema.get("anyOf", [])]
    return any(kind.get("type") == "integer" for kind in kinds)
