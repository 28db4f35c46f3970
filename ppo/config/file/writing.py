"""A configuration -> config.yaml: every key or the common ones, each with its one-line comment."""

from __future__ import annotations

import math
import re
from typing import Any

from pydantic import BaseModel

from ppo.config.file.describing import is_common
from ppo.config.file.mistakes import dotted, show
from ppo.config.file.scalars import resolve
from ppo.core.errors import UserError

_HEADER = "# Every option with its value. Override one with --set section.key=value.\n"
_SHORT_HEADER = (
    "# The common settings. All of them: docs/options.md, or --mode options. This file takes any.\n"
    "# Override one with --set section.key=value.\n"
)
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*(:[A-Za-z0-9_][A-Za-z0-9_./-]*)?\Z")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
COMMENT_COLUMN = 40


def plain(config: BaseModel) -> dict[str, Any]:
    """Nested dictionaries, lists and numbers that `from_dict` takes back."""
    return _plain(config.model_dump(mode="python"), ())


def to_yaml(config: BaseModel, common_only: bool = False) -> str:
    """The text of a configuration file that loads back to an equal configuration.

    With `common_only` it holds the common settings; what is left out reads back as its default.

    Raises:
        UserError: a value cannot be written, such as a function in env.kwargs.
    """
    header = _SHORT_HEADER if common_only else _HEADER
    return header + "".join(f"\n{block}" for block in _sections(config, common_only))


def _sections(config: BaseModel, common_only: bool) -> list[str]:
    values = plain(config)
    blocks = []
    for name, field in type(config).model_fields.items():
        section = getattr(config, name)
        if isinstance(section, BaseModel):
            lines = _section(section, values[name], "  ", common_only)
            if common_only and not lines:
                continue
            comment = f"  # {field.description}" if field.description else ""
            head = f"{name}:{comment}" if lines else f"{name}: {{}}{comment}"
            blocks.append("\n".join([head, *lines]) + "\n")
        elif is_common(field) or not common_only:
            blocks.append(_line("", name, values[name], field.description) + "\n")
    return blocks


def _section(
    section: BaseModel, values: dict[str, Any], indent: str, common_only: bool
) -> list[str]:
    lines = []
    for name, field in type(section).model_fields.items():
        inner = getattr(section, name)
        if isinstance(inner, BaseModel):
            comment = f"  # {field.description}" if field.description else ""
            below = _section(inner, values[name], indent + "  ", common_only)
            if common_only and not below:
                continue
            lines.append(f"{indent}{name}:{'' if below else ' {}'}{comment}")
            lines += below
        elif is_common(field) or not common_only:
            lines.append(_line(indent, name, values[name], field.description))
    return lines


def _line(indent: str, name: str, value: Any, description: str | None) -> str:
    text = f"{indent}{name}: {text_of(value)}"
    return f"{text.ljust(COMMENT_COLUMN - 1)} # {description}" if description else text


def text_of(value: Any) -> str:
    """A value in YAML's flow style."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return value if _PLAIN.match(value) and resolve(value) == value else _quoted(value)
    if isinstance(value, list):
        return "[" + ", ".join(text_of(item) for item in value) + "]"
    pairs = (
        f"{key if _is_plain_key(key) else _quoted(key)}: {text_of(value[key])}" for key in value
    )
    return "{" + ", ".join(pairs) + "}"


def _is_plain_key(key: str) -> bool:
    return bool(_KEY.match(key)) and resolve(key) == key


def _quoted(text: str) -> str:
    """A double-quoted scalar; only printable characters stand for themselves."""
    return '"' + "".join(_escape(character) for character in text) + '"'


def _escape(character: str) -> str:
    code = ord(character)
    if character in '"\\':
        return "\\" + character
    if character.isprintable() and code != 0xFEFF:
        return character
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _plain(value: Any, path: tuple[Any, ...]) -> Any:
    """Lists for tuples; refuses what a file cannot hold."""
    if isinstance(value, dict):
        return {str(key): _plain(item, (*path, str(key))) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, (*path, index)) for index, item in enumerate(value)]
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    raise UserError(f"{dotted(path)}: {show(value)} cannot be written to a configuration file")
