"""config.yaml <-> a typed configuration: strict, every mistake at once, written with comments.

pydantic decides what is valid, in strict mode; what a field allows is worded from its schema,
because `Input should be a valid integer` does not name what to write. Nothing here imports torch.
"""

from __future__ import annotations

import functools
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from ppo.config.automatic import leave_open, show_open
from ppo.config.removed import refusal
from ppo.config.source import MAX_SHOWN, Source, parse, scalar
from ppo.config.words import (
    SECTION,
    Path,
    allowed,
    dotted,
    extra,
    hint,
    is_model,
    schema_at,
    show,
    suggestion,
)
from ppo.core.errors import UserError, one_line
from ppo.core.figures import written

Model = TypeVar("Model", bound=BaseModel)

MAX_PLACE_LENGTH = 100
COMMENT_COLUMN = 40
_HEADER = "# Every option with its value. Override one with --set section.key=value.\n"
_SHORT_HEADER = (
    "# yaml-language-server: $schema=docs/config.schema.json\n"
    "# The common settings. All of them: docs/options.md, or --mode options. This file takes any.\n"
    "# Override one with --set section.key=value. auto: by the environment (docs/automatic.md).\n"
)
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*(:[A-Za-z0-9_][A-Za-z0-9_./-]*)?")


def build(model: type[Model], source: Source, overrides: Iterable[str] = ()) -> Model:
    """The configuration that `source` holds, with overrides.

    Raises:
        UserError: with all mistakes, those noted while reading included; one line each.
    """
    for text in _texts(overrides):
        _override(model, source, text)
    values = _plain(source.values, source.note)
    typed = [dotted(path) for path, place in source.places.items() if place.startswith("--")]
    leave_open(model, values, typed)
    for name, field in model.model_fields.items():
        if is_model(field.annotation) and values.get(name, ()) is None:
            values[name] = {}  # every line of the section is commented out
    result, errors = _validate(model, values)
    for error in errors:
        _report(model, source, values, error)
    if errors and source.wrong:  # what does not fit together comes with them, if it is right alone
        for path in sorted(map(_whole, source.wrong), key=len, reverse=True):
            _remove(values, path)
        for error in _validate(model, values)[1]:
            _report(model, source, values, error)
    source.raise_mistakes()
    assert result is not None, f"pydantic refused the settings for no reported reason: {errors}"
    return result


def _validate(model: type[Model], values: dict[str, Any]) -> tuple[Model | None, list[Any]]:
    """The configuration, or pydantic's errors; 1e6 in `values` becomes whole where it must be."""
    while True:
        try:
            return model.model_validate(values, strict=True), []
        except ValidationError as error:
            errors = error.errors(include_url=False)
        mended = False
        for item in errors:
            found = item["input"]
            if item["type"] == "int_type" and isinstance(found, float) and found.is_integer():
                *parents, last = _existing(values, item["loc"])
                _at(values, parents)[last] = int(found)
                mended = True
        if not mended:
            return None, list(errors)


def _report(model: type[BaseModel], source: Source, values: dict[str, Any], error: Any) -> None:
    """Notes one pydantic error in our words."""
    if error["type"] == "does_not_fit":
        for names, text in error["ctx"]["found"]:
            keys = [tuple(name.split(".")) for name in names]
            if any(map(source.is_wrong, keys)):
                continue
            given = [key for key in keys if key in source.places]
            typed = [key for key in given if source.places[key].startswith("--")]
            source.note([*typed, *given, *keys][0], text)
        return
    path = _existing(values, error["loc"])
    if old := refusal(dotted(path), _at(values, path)):
        return source.note(path, old)
    if error["type"] == "extra_forbidden":
        few = len(source.mistakes) < MAX_SHOWN
        meant = suggestion(model, path, _at(values, path)) if few else ""
        return source.note(path, f"unknown{meant}")
    path = _whole(path)
    found, schema = _at(values, path), schema_at(model, path)
    unreadable = found is None or (isinstance(found, float) and not math.isfinite(found))
    if unreadable and source.is_wrong(path):
        return
    text = error["msg"] if schema is None else f"must be {allowed(schema)}{hint(found, schema)}"
    # The value stands in the place of an override already.
    source.note(path, text if source.place(path).startswith("--") else f"{show(found)}; {text}")


def _at(values: Any, path: Iterable[str | int]) -> Any:
    """What stands at a path."""
    return functools.reduce(operator.getitem, path, values)


def _existing(values: Any, loc: tuple[Any, ...]) -> Path:
    """`loc` without the names of union members that pydantic mixes into it."""
    path: list[str | int] = []
    for part in loc:
        if (isinstance(values, dict) and part in values) or (
            isinstance(values, list) and isinstance(part, int) and part < len(values)
        ):
            values = values[part]
            path.append(part)
    return tuple(path)


def _whole(path: Path) -> Path:
    """The list that holds a wrong entry: its description says more than the entry's."""
    return path[: next((n for n, part in enumerate(path) if isinstance(part, int)), len(path))]


def _remove(values: Any, path: Path) -> None:
    """Takes out what stands at a path, if anything does."""
    if path and _existing(values, path) == path:
        del _at(values, path[:-1])[path[-1]]


def _texts(overrides: Any) -> list[str]:
    """The `KEY=VALUE` texts; one alone needs no list.

    Raises:
        UserError: something else, such as a dictionary.
    """
    if isinstance(overrides, str):
        return [overrides]
    form = "write a list of KEY=VALUE, such as ['ppo.gamma=0.99']"
    if isinstance(overrides, Mapping):
        raise UserError(f"overrides: a dict; {form} (nested dictionaries: Config.from_dict)")
    if not isinstance(overrides, Iterable):
        raise UserError(f"overrides: {one_line(repr(overrides))[:MAX_PLACE_LENGTH]}; {form}")
    found = list(overrides)
    for text in found:
        if not isinstance(text, str):
            raise UserError(f"overrides: {one_line(repr(text))[:MAX_PLACE_LENGTH]}; {form}")
    return found


def _override(model: type[BaseModel], source: Source, text: str) -> None:
    """Puts one `KEY=VALUE` into the source; notes what is wrong with it."""
    place = f"--set {one_line(text)}"
    if len(place) > MAX_PLACE_LENGTH:
        place = place[: MAX_PLACE_LENGTH - 3] + "..."
    key, equals, written = text.partition("=")
    path = tuple(key.strip().split("."))
    if not equals or not all(path):
        return source.note((), "write KEY=VALUE, such as ppo.learning_rate=1e-3", place)
    if schema_at(model, path) is SECTION:
        name = key.strip()
        return source.note((), f"is a section; set one of its keys, {name}.KEY=VALUE", place)
    found = Source()
    try:
        value = parse(found, written, lambda line: place, path)
    except UserError as error:
        found.mistakes = error.messages
    source.mistakes += found.mistakes
    if found.mistakes:
        source.wrong.add(path)
        return None
    source.places |= found.places | {path: place}
    section = source.values
    for length, part in enumerate(path[:-1], 1):
        source.places.setdefault(path[:length], place)
        around = section.get(part)
        if length == 1 and not isinstance(around, dict | None):
            return None  # a section that is none: the checks report it
        around = dict(around) if isinstance(around, dict) else {}  # the caller's stays as it is
        section[part] = around
        section = around
    section[path[-1]] = value


# ---- writing


def plain(config: BaseModel) -> dict[str, Any]:
    """Nested dictionaries, lists and numbers that `build` takes back.

    Raises:
        UserError: a value cannot be written, such as a function in env.kwargs.
    """

    def refuse(path: Path, text: str) -> None:
        raise UserError(f"{dotted(path)}: {text}")

    values = dict(_plain(config.model_dump(mode="python"), refuse))
    return show_open(values, getattr(config, "open", ()))


def _plain(value: Any, refuse: Callable[[Path, str], None], path: Path = ()) -> Any:
    """A copy with lists for tuples; `refuse` is called with what neither YAML nor JSON can hold."""
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                refuse(path, f"the key {show(key)} must be text")
        return {k: _plain(v, refuse, (*path, k)) for k, v in value.items() if isinstance(k, str)}
    if isinstance(value, list | tuple):
        return [_plain(item, refuse, (*path, index)) for index, item in enumerate(value)]
    if isinstance(value, float):  # numpy's among them
        if not math.isfinite(value):
            refuse(path, f"{show(value)} is not a finite number")
        return float(value)
    if isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value):
        refuse(path, f"{show(value)} is not valid Unicode text")
    elif value is not None and not isinstance(value, str | int):
        refuse(path, f"{show(value)} cannot be written to a file; use numbers, text, lists")
    return value


def to_yaml(config: BaseModel, common_only: bool = False) -> str:
    """The text of a configuration file that loads back to an equal configuration.

    With `common_only` it holds the common settings; what is left out reads back as its default.
    """
    lines = _lines(config, plain(config), common_only)
    return (_SHORT_HEADER if common_only else _HEADER) + "\n".join(lines) + "\n"


def _lines(
    config: BaseModel, values: dict[str, Any], common_only: bool, indent: str = ""
) -> list[str]:
    lines: list[str] = []
    for name, field in type(config).model_fields.items():
        inner = getattr(config, name)
        if isinstance(inner, BaseModel):
            below = _lines(inner, values[name], common_only, f"{indent}  ")
            if below:
                lines += ["", f"{indent}{name}:", *below]
        elif extra(field, "common") or not common_only:
            text = f"{indent}{name}: {text_of(values[name])}"
            lines.append(f"{text.ljust(COMMENT_COLUMN - 1)} # {field.description}")
    return lines


def text_of(value: Any) -> str:
    """A plain value in YAML's flow style."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{text_of(k)}: {text_of(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(text_of, value)) + "]"
    if value is None or isinstance(value, bool | int):
        return written(value)
    if isinstance(value, float):
        return repr(value)
    if _PLAIN.fullmatch(value) and scalar(value) == value:
        return str(value)
    return yaml.dump(value, default_style='"', width=math.inf, allow_unicode=True).strip()
