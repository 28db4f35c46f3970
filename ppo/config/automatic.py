"""Settings that may be `auto`: which they are, and how a file of settings is read that has some.

Of most, `auto` is no value of the field. A setting that is `auto`, or left out, is *open*: its
field holds a fallback until the training has chosen (ppo/algorithm/choices.py), so that all parts
read plain values. The settings of a run folder are chosen ones, with the list of those that were
open.

What `auto` means of a machine (backend, device, graphs) or follows from other settings is decided
anew wherever a file is read. A run folder shows what it was, beside the settings of which that is
the meaning (`auto.taken`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from ppo.config.section import Section, setting
from ppo.config.words import extra, is_model, known_paths

AUTO = "auto"
TAKEN = "auto.taken"
MARK = "chosen"  # of a setting that may be auto


class AutoConfig(Section):
    settings: list[str] = setting(
        [], "settings that were auto when the run began; theirs are the values that were chosen"
    )
    steps: int = setting(
        0, "environment steps of the look that they were chosen from; they count in env_steps", ge=0
    )
    taken: dict[str, str] = setting(
        {}, "what auto was in this run for settings that are auto again where this file is read"
    )


def names(model: type[BaseModel]) -> list[str]:
    """The dotted names of the settings that may be `auto`, in the order of the tree."""
    every = known_paths(model).items()
    return [name for name, field in every if not is_model(field.annotation) and extra(field, MARK)]


def unset(config: BaseModel) -> frozenset[str]:
    """Those of them that nobody gave a value."""
    return frozenset(name for name in names(type(config)) if not _is_set(config, name))


def _is_set(config: BaseModel, name: str) -> bool:
    section, _, key = name.partition(".")
    return key in getattr(config, section).model_fields_set


def leave_open(model: type[BaseModel], values: dict[str, Any], typed: Iterable[str]) -> None:
    """Takes what is `auto` out of settings as read, in place.

    Args:
        typed: names that stand in the place of what the file holds, such as those of `--set`: a
            setting among them is no longer one that was chosen.
    """
    again = set(typed)
    found = values.get("auto")
    chosen: dict[str, Any] = found if isinstance(found, dict) else {}
    if isinstance(taken := chosen.get("taken"), dict):  # what a run has shown is `auto` again
        chosen["taken"] = {}
        for name, value in taken.items():
            part, key = _place(values, name)
            if name not in again and part.get(key) == value:
                part[key] = AUTO
    for name in names(model):
        part, key = _place(values, name)
        if part.get(key) == AUTO:
            del part[key]
            again.add(name)
    if isinstance(chosen.get("settings"), list):
        chosen["settings"] = [name for name in chosen["settings"] if name not in again]


def _place(values: dict[str, Any], name: str) -> tuple[dict[str, Any], str]:
    """The section of a dotted name, empty where there is none, and the key in it."""
    section, _, key = name.partition(".")
    part = values.get(section)
    return (part if isinstance(part, dict) else {}), key


def show_open(values: dict[str, Any], opened: Iterable[str]) -> dict[str, Any]:
    """Settings as they are written: `auto` for what is open; changes `values`."""
    for name in opened:
        part, key = _place(values, name)
        part[key] = AUTO
    return values


def as_asked(settings: dict[str, Any]) -> dict[str, Any]:
    """Dotted settings of a run folder as its user asked for them: `auto` for what was chosen.

    Two seeds of one request may have been given different numbers.
    """
    chosen = settings.get("auto.settings")
    known = set(chosen) if isinstance(chosen, list) else set()
    return {
        name: AUTO if name in known else value
        for name, value in settings.items()
        if not name.startswith("auto.")
    }


def reopened(settings: dict[str, Any]) -> dict[str, Any]:
    """Dotted settings as a run folder shows them with `auto` for what it has shown of that."""
    found = {
        name: AUTO if settings.get(f"{TAKEN}.{name}", AUTO) == value else value
        for name, value in settings.items()
        if not name.startswith(f"{TAKEN}.")
    }
    return found if len(found) == len(settings) else found | {TAKEN: {}}
