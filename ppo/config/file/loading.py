"""A file, a dictionary, overrides -> a configuration."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path as FilePath
from typing import Any

from pydantic import BaseModel

from ppo.config.file.checking import Model, build
from ppo.config.file.describing import is_model, strip, type_at
from ppo.config.file.mistakes import Tree, one_line
from ppo.config.file.reading import parse_value, read_file
from ppo.config.file.writing import plain
from ppo.config.removed import drop
from ppo.core.errors import UserError

MAX_PLACE_LENGTH = 100


def load(model: type[Model], path: str | FilePath | None, overrides: Iterable[str] = ()) -> Model:
    """The configuration in the file at `path` (None: the defaults), then `KEY=VALUE` overrides.

    Raises:
        UserError: one line for each mistake, with file and line or the override.
    """
    tree = read_file(path) if path is not None else Tree()
    return _finish(model, tree, overrides)


def load_run(
    model: type[Model], path: str | FilePath, overrides: Iterable[str] = ()
) -> tuple[Model, list[str]]:
    """The configuration of a run folder, perhaps of an earlier version, then overrides.

    Returns:
        The configuration without what was removed since, and a line for each removed setting that
        did something in that run.
    """
    tree = read_file(path)
    notes = drop(tree.values)
    return _finish(model, tree, overrides), notes


def from_dict(
    model: type[Model], values: Mapping[str, Any], overrides: Iterable[str] = ()
) -> Model:
    """The configuration in nested dictionaries of plain values, as `to_dict` gives them.

    Raises:
        UserError: one line for each mistake, naming the key.
    """
    return _finish(model, Tree(values=copy.deepcopy(dict(values))), overrides)


def with_overrides(config: Model, overrides: Iterable[str]) -> Model:
    """A copy of `config` in which `KEY=VALUE` settings are replaced."""
    return from_dict(type(config), plain(config), overrides)


def _finish(model: type[Model], tree: Tree, overrides: Iterable[str]) -> Model:
    for text in overrides:
        _override(model, tree, text)
    return build(model, tree)


def _override(model: type[BaseModel], tree: Tree, text: str) -> None:
    """Puts one `KEY=VALUE` into the tree; notes what is wrong with it."""
    place = f"--set {one_line(text)}"
    if len(place) > MAX_PLACE_LENGTH:
        place = place[: MAX_PLACE_LENGTH - 3] + "..."
    key, equals, written = text.partition("=")
    path = tuple(key.strip().split("."))
    if not equals or not all(path):
        tree.mistakes.append(f"{place}: write KEY=VALUE, such as ppo.learning_rate=1e-3")
        return
    if is_model(strip(type_at(model, path))):
        tree.mistakes.append(f"{place}: is a section; set one of its keys, {key.strip()}.KEY=VALUE")
        return
    try:
        value, found = parse_value(written, lambda line: place, path)
    except UserError as error:
        tree.mistakes += error.messages
        return
    tree.mistakes += found.mistakes
    if found.mistakes or not _place(tree.values, path, value):
        return
    tree.places = {old: at for old, at in tree.places.items() if old[: len(path)] != path}
    tree.places |= found.places
    tree.places[path] = place
    for length in range(1, len(path)):
        tree.places.setdefault(path[:length], place)


def _place(values: dict[str, Any], path: tuple[str, ...], value: Any) -> bool:
    """Writes into nested dictionaries; False where the file has a single value on the way."""
    for part in path[:-1]:
        if values.get(part) is None:
            values[part] = {}
        values = values[part]
        if not isinstance(values, dict):
            return False  # the wrong section is reported by the checks
    values[path[-1]] = value
    return True
