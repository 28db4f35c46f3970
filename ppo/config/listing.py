"""Every setting with tier, default, range, meaning, source: docs/options.md and --mode options."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from ppo.config.automatic import AUTO, MARK
from ppo.config.file import text_of
from ppo.config.words import allowed, extra, is_model, known_paths, schema_at, with_auto
from ppo.core.elsewhere import synonyms
from ppo.core.errors import UserError

_HEAD = """# Options

Every setting of a configuration. `config.yaml` shows the common ones and accepts all; the
`config.yaml` of a run folder holds all with their values. `python train_cli.py --mode options WORD`
searches this list.

This page is generated: `python -m ppo.config --markdown > docs/options.md`.
"""


@dataclass(frozen=True)
class Setting:
    """One setting, in words."""

    name: str  # dotted
    tier: str  # common or expert
    default: Any
    allowed: str  # range or choices
    meaning: str
    source: str  # paper or library, may be empty


def settings(model: type[BaseModel]) -> list[Setting]:
    """Every setting, in the order of the tree."""
    return [
        Setting(
            name=name,
            tier="common" if extra(field, "common") else "expert",
            default=AUTO if extra(field, MARK) else field.default,
            allowed=allowed(schema_at(model, tuple(name.split("."))) or {}).removeprefix("one of "),
            meaning=field.description or "",
            source=extra(field, "source") or "",
        )
        for name, field in known_paths(model).items()
        if not is_model(field.annotation)
    ]


def matching(model: type[BaseModel], word: str | None) -> list[Setting]:
    """The settings whose name or meaning holds `word`; all without a word.

    Where none does, the setting that another library calls so.

    Raises:
        UserError: none holds it; the message names the nearest.
    """
    every = settings(model)
    if word is None:
        return every
    wanted = word.lower()
    found = [item for item in every if wanted in f"{item.name} {item.meaning}".lower()]
    if not found:
        meant = synonyms().get(wanted.lstrip("-").replace("-", "_"))
        found = [item for item in every if item.name == meant]
    if not found:
        near = ", ".join(_nearest(wanted, [item.name for item in every]))
        hint = f"; nearest: {near}" if near else ""
        raise UserError(f"{word}: no setting has this word in its name or meaning{hint}")
    return found


def _nearest(word: str, names: list[str]) -> list[str]:
    """The three names that are most like `word`, with or without their section."""

    def likeness(name: str) -> float:
        leaf = name.rpartition(".")[2]
        candidates = (name, leaf, *leaf.split("_"))
        return max(difflib.SequenceMatcher(None, word, item).ratio() for item in candidates)

    ranked = sorted(names, key=likeness, reverse=True)[:3]
    return [name for name in ranked if likeness(name) >= 0.5]


def markdown(model: type[BaseModel]) -> str:
    """The reference page: a table for each section."""
    tables: dict[str, list[str]] = {}
    for item in settings(model):
        section, _, name = item.name.partition(".")
        cells = (name, item.tier, text_of(item.default), item.allowed, item.meaning, item.source)
        tables.setdefault(section, []).append(_row(f"`{cells[0]}`", cells[1], f"`{cells[2]}`",
                                                   *cells[3:]))  # fmt: skip
    head = _row("name", "tier", "default", "range or choices", "meaning", "source")
    line = "|" + " --- |" * 6
    blocks = ["\n".join([f"\n## {name}\n", head, line, *rows]) for name, rows in tables.items()]
    return _HEAD + "\n".join(blocks) + "\n"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def schema(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of a configuration file, for editors that complete and check YAML."""
    found = model.model_json_schema()
    sections = found["$defs"].values()
    for entry in (found, *sections):
        for name, setting in entry["properties"].items():
            if setting.get(MARK):
                entry["properties"][name] = setting = with_auto(setting) | {"default": AUTO}
            for word in ("common", "imports", "source", "title", MARK):  # what no editor shows
                setting.pop(word, None)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}
