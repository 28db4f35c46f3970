"""What a field allows, in words, read from its type: `a whole number, at least 1`."""

from __future__ import annotations

import types
import typing
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ppo.config.file.mistakes import Path

_NAMES = {float: "a number", int: "a whole number", str: "text", bool: "true or false"}
_PLURALS = {float: "numbers", int: "whole numbers", str: "texts", bool: "booleans"}


def is_model(annotation: Any) -> bool:
    """Whether a type is a section."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def is_common(field: FieldInfo) -> bool:
    """Whether config.yaml shows a setting; one without a marker is for experts."""
    return bool(_extra(field).get("common"))


def source_of(field: FieldInfo) -> str:
    """The paper or library that a setting comes from, or nothing."""
    return str(_extra(field).get("source", ""))


def _extra(field: FieldInfo) -> dict[str, Any]:
    extra = field.json_schema_extra
    return dict(extra) if isinstance(extra, dict) else {}


def field_type(field: FieldInfo) -> Any:
    """The full type of a field; pydantic moves its constraints aside."""
    if not field.metadata:
        return field.annotation
    return Annotated[(field.annotation, *field.metadata)]  # type: ignore[return-value]


def type_at(annotation: Any, path: Path) -> Any:
    """The type that `path` leads to from a section's type, or None where nothing is known there."""
    for part in path:
        annotation = _step(annotation, part)
        if annotation is None:
            return None
    return annotation


def _step(annotation: Any, part: str | int) -> Any:
    for choice in choices(annotation):
        base = strip(choice)
        if is_model(base):
            if part in base.model_fields:
                return field_type(base.model_fields[part])
        elif get_origin(base) is dict and isinstance(part, str):
            return get_args(base)[1]
        elif get_origin(base) in (list, tuple, set) and isinstance(part, int):
            arguments = [item for item in get_args(base) if item is not Ellipsis]
            return arguments[min(part, len(arguments) - 1)] if arguments else Any
    return None


def strip(annotation: Any) -> Any:
    """A type without its constraints."""
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def choices(annotation: Any) -> list[Any]:
    """The members of a union, or the type itself."""
    base = strip(annotation)
    if get_origin(base) in (Union, types.UnionType):
        return [member for item in get_args(base) for member in choices(item)]
    return [annotation]


def literals(annotation: Any) -> list[str]:
    """The words a choice allows."""
    found: list[str] = []
    for choice in choices(annotation):
        if get_origin(strip(choice)) is Literal:
            found += [str(word) for word in get_args(strip(choice))]
    return found


def allowed(annotation: Any) -> str:
    """What may be written for a type, as the end of `must be ...`."""
    members = choices(annotation)
    texts = [_one(member) for member in members]
    return " or ".join(dict.fromkeys(texts))


def _one(annotation: Any) -> str:
    base = strip(annotation)
    if base is type(None):
        return "null"
    if is_model(base):
        return "a section of `key: value` lines"
    origin = get_origin(base)
    if origin is Literal:
        return f"one of {', '.join(str(word) for word in get_args(base))}"
    if origin is dict or base is dict:
        return "a mapping of names to values"
    if origin in (list, tuple, set):
        return _list(annotation, base)
    name = _NAMES.get(base)
    if name is None:
        return "something else" if base is Any else f"a {getattr(base, '__name__', 'value')}"
    return name + _range(annotation, base)


def _list(annotation: Any, base: Any) -> str:
    inner = next((item for item in get_args(base) if item is not Ellipsis), Any)
    kind = _PLURALS.get(strip(inner), "values")
    bounds = _range(inner, strip(inner)).strip(", ")
    each = f" (each {bounds})" if bounds else ""
    least = _bounds(annotation).get("min_length", 0)
    return f"a list of {kind}{each}" + (f" with at least {least} of them" if least else "")


def _range(annotation: Any, base: Any) -> str:
    """`, at least 1`, ` from 0 to 1`, ` above 0`: the numbers a constrained type takes."""
    bounds = _bounds(annotation)
    low, high = bounds.get("ge"), bounds.get("le")
    above, below = bounds.get("gt"), bounds.get("lt")
    if low is not None and high is not None:
        return f" from {low} to {high}"
    parts = []
    if low is not None:
        parts.append(f"at least {low}")
    if above is not None:
        parts.append(f"above {above}")
    if high is not None:
        parts.append(f"at most {high}")
    if below is not None:
        parts.append(f"below {below:,}" if base is int else f"below {below}")
    if not parts:
        return ""
    return (" " if parts[0].startswith(("above", "below")) else ", ") + " and ".join(parts)


def _bounds(annotation: Any) -> dict[str, Any]:
    """ge, gt, le, lt, min_length of a type, wherever pydantic keeps them."""
    found: dict[str, Any] = {}
    metadata = list(getattr(annotation, "__metadata__", ()))
    for item in metadata:
        if isinstance(item, FieldInfo):
            metadata += item.metadata
        for name in ("ge", "gt", "le", "lt", "min_length"):
            value = getattr(item, name, None)
            if value is not None:
                found[name] = value
    return found


def known_paths(model: type[BaseModel], root: str = "") -> dict[str, FieldInfo]:
    """Every setting's dotted name, sections included."""
    found: dict[str, FieldInfo] = {}
    for name, field in model.model_fields.items():
        found[root + name] = field
        if is_model(field.annotation):
            found |= known_paths(typing.cast(type[BaseModel], field.annotation), f"{root}{name}.")
    return found
