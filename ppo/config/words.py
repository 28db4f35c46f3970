"""The words for settings: what one allows (read from pydantic's schema), and what was meant."""

from __future__ import annotations

import difflib
import functools
import math
from operator import attrgetter
from typing import Any, cast

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ppo.core.elsewhere import OTHER_VALUES, synonyms
from ppo.core.errors import one_line
from ppo.core.figures import written
from ppo.core.imports import is_path, with_colon
from ppo.core.registry import nearest

Path = tuple[str | int, ...]

MAX_LENGTH = 60  # characters of a value in a message

SECTION = {"type": "section"}
_NAMES = {
    "number": "a number",
    "integer": "a whole number",
    "string": "text",
    "boolean": "true or false",
    "null": "null",
    "object": "a mapping of names to values",
    "section": "a section of `key: value` lines",
}
_PLURALS = {"number": "numbers", "integer": "whole numbers", "string": "texts"}


# ---- the tree


def is_model(annotation: Any) -> bool:
    """Whether a type is a section."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def known_paths(model: type[BaseModel], root: str = "") -> dict[str, FieldInfo]:
    """Every setting's dotted name, sections included."""
    found: dict[str, FieldInfo] = {}
    for name, field in model.model_fields.items():
        found[root + name] = field
        if is_model(field.annotation):
            found |= known_paths(cast(type[BaseModel], field.annotation), f"{root}{name}.")
    return found


def extra(field: FieldInfo, name: str) -> Any:
    """What a setting is marked with: `common`, `source`; nothing where it has no marker."""
    found = field.json_schema_extra
    return found.get(name) if isinstance(found, dict) else None


def schema_at(model: type[BaseModel], path: Path) -> dict[str, Any] | None:
    """The JSON schema of what stands at `path`, a list as a whole; None: nothing is known there."""
    for depth, part in enumerate(path):
        field = model.model_fields.get(str(part))
        if field is None:
            return None
        if is_model(field.annotation):
            model = cast(type[BaseModel], field.annotation)
            continue
        schema = _properties(model)[str(part)]
        schema = with_auto(schema) if extra(field, "chosen") else schema
        for inner in path[depth + 1 :]:
            if isinstance(inner, int):
                break
            schema = schema.get("additionalProperties")
            if not isinstance(schema, dict):
                return None
        return cast(dict[str, Any], schema)
    return SECTION


@functools.cache
def _properties(model: type[BaseModel]) -> dict[str, Any]:
    """The schemas of a section's settings. pydantic makes them anew each time, in milliseconds."""
    return cast(dict[str, Any], model.model_json_schema()["properties"])


def with_auto(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a setting that may be `auto`."""
    inner = ("anyOf", "enum", "type", "items", "minimum", "maximum", "exclusiveMinimum", "minItems")
    own = {key: value for key, value in schema.items() if key in inner}
    rest = {key: value for key, value in schema.items() if key not in inner}
    return {**rest, "anyOf": [*own.get("anyOf", [own]), {"const": "auto"}]}


# ---- what a setting allows


def named_code(config: BaseModel) -> list[tuple[str, str]]:
    """Every import path in a configuration, with the setting that names it."""
    found = []
    for name, field in known_paths(type(config)).items():
        if not is_model(field.annotation) and extra(field, "imports"):
            value: Any = attrgetter(name)(config)
            words = value if isinstance(value, list) else [value]
            found += [(name, word) for word in words if is_path(word)]
    return found


def choices(schema: dict[str, Any]) -> list[str]:
    """The words that a choice allows; none where a setting is no choice."""
    return [str(word) for part in _members(schema) for word in part.get("enum", [])]


def allowed(schema: dict[str, Any]) -> str:
    """What may be written, as the end of `must be ...`."""
    return " or ".join(dict.fromkeys(map(_one, _members(schema))))


def _members(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return cast(list[dict[str, Any]], schema.get("anyOf", [schema]))


def _one(schema: dict[str, Any]) -> str:
    if "form" in schema:
        return str(schema["form"])
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return f"one of {', '.join(map(str, schema['enum']))}"
    kind = schema.get("type", "")
    if kind == "array":
        inner = schema.get("items", {})
        bounds, least = _range(inner).strip(", "), schema.get("minItems")
        text = f"a list of {inner.get('form') or _PLURALS.get(inner.get('type'), 'values')}"
        text += f" (each {bounds})" if bounds else ""
        return text + (f" with at least {least} of them" if least else "")
    return _NAMES.get(kind, "something else") + _range(schema)


def _range(schema: dict[str, Any]) -> str:
    """`, at least 1`, ` from 0 to 1`, ` above 0`: the numbers that are allowed."""
    if "minimum" in schema and "maximum" in schema:
        return f" from {schema['minimum']} to {schema['maximum']}"
    words = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
    }
    parts = [f"{word} {schema[name]:,}" for name, word in words.items() if name in schema]
    if not parts:
        return ""
    return (" " if parts[0].startswith(("above", "below")) else ", ") + " and ".join(parts)


# ---- what was meant


def hint(value: Any, schema: dict[str, Any]) -> str:
    """What to write in place of a wrong value, where that is a known slip; or nothing."""
    words, kinds = choices(schema), {part.get("type") for part in _members(schema)}
    if isinstance(value, str):
        if nearby := nearest(value[:80], words):
            return nearby
        if kinds & {"number", "integer"} and _is_number(value):
            return "; remove the quotes"
        if "boolean" in kinds and value.lower() in ("yes", "on", "no", "off", "y", "n"):
            return f"; write {'true' if value.lower() in ('yes', 'on', 'y') else 'false'}"
    if "array" in kinds and not isinstance(value, list | dict | None):
        return _as_list(value, schema)
    for word in value if isinstance(value, list) else [value]:
        if _names_code(schema) and isinstance(word, str) and (path := with_colon(word)):
            return f"; write {path}"
    if kinds == {"string"} and isinstance(value, dict) and list(value.values()) == [None]:
        word = one_line(str(next(iter(value)))[:MAX_LENGTH])  # `word:`, a mapping to YAML
        return f"; a name belongs behind the colon: {word}:Name"
    if value is None:
        return "; leave the line out for the default"
    if isinstance(value, bool) and words:
        return "; put quotes around a word that YAML takes for a boolean"
    return ""


def _names_code(schema: dict[str, Any]) -> bool:
    return any("form" in part or "form" in part.get("items", {}) for part in _members(schema))


def _as_list(value: Any, schema: dict[str, Any]) -> str:
    """The list to write, without spaces for a shell, in place of values with commas; or nothing."""
    inner = next(part for part in _members(schema) if part.get("type") == "array")
    words = [word.strip() for word in str(value)[:MAX_LENGTH].split(",")]
    if inner.get("items", {}).get("type") in ("number", "integer"):
        return f"; write [{','.join(words)}]" if all(map(_is_number, words)) else ""
    if _names_code(schema):
        words = [with_colon(word) or word for word in words]
    return f"; write [{', '.join(map(repr, words))}]" if isinstance(value, str) else ""


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def suggestion(model: type[BaseModel], path: Path, value: Any = None) -> str:
    """`; did you mean ppo.clip_epsilon?` for an unknown key, or nothing.

    Args:
        value: what stands there; a mapping where a key has more parts than there are.
    """
    if isinstance(value, dict) and value and len(path) == 2:
        for key in (path[1], next(iter(value))):
            meant = suggestion(model, (path[0], key))
            if meant.startswith("; did"):
                return meant
        return f"; settings of {path[0]} have two parts, {path[0]}.KEY"
    leaf = str(path[-1])[:80]
    section = ".".join(str(part)[:80] for part in path[:-1]).lower()
    every = known_paths(model)
    known = {name: name for name, field in every.items() if not is_model(field.annotation)}
    if not section and "." in leaf:  # `ppo.gamma: 0.9` in a file, which is one key to YAML
        name, _, key = leaf.partition(".")
        meant = suggestion(model, (name, key))
        return f"; write {name}: {{{key}: {show(value)}}}" if leaf in known else meant
    if (ours := synonyms().get(leaf)) in known:
        return f"; did you mean {ours}?"
    leaf = leaf.lower()
    here = {
        name.rpartition(".")[2]: name
        for name in (known if section else every.keys() - known)
        if name.rpartition(".")[0] == section
    }
    everywhere = {name.rpartition(".")[2]: name for name in reversed(known)}
    given = set(leaf.split("_"))
    parts = [name for name in here if given <= set(name.split("_"))]
    if len(parts) == 1:  # epochs: num_epochs; kl_target: target_kl
        return f"; did you mean {here[parts[0]]}?"
    for names, cutoff in ((here, 0.7), (everywhere, 0.85)):
        if found := difflib.get_close_matches(leaf, list(names), n=1, cutoff=cutoff):
            return f"; did you mean {names[found[0]]}?"
    return f"; known here: {', '.join(sorted(here))}" if here and len(here) <= 12 else ""


def flag_as_setting(model: type[BaseModel], flag: str, value: str | None) -> str:
    """`env.num_envs=8` of the words `--num-envs 8`, where they name a setting; or nothing.

    Of settings with one name in several sections it is the first, such as `ppo.learning_rate`.

    Args:
        value: as it was typed; it is left open where another library means something else by it.
    """
    word = flag.lstrip("-").replace("-", "_")
    known = [name for name, field in known_paths(model).items() if not is_model(field.annotation)]
    named = [name for name in known if word in (name, name.rpartition(".")[2])]
    key = synonyms().get(word) or (named[0] if named else "")
    if key not in known:
        return ""
    return f"{key}={'VALUE' if value is None or word in OTHER_VALUES else value}"


# ---- values and keys in a message


def dotted(path: Path) -> str:
    """("network", "hidden_sizes", 0) -> network.hidden_sizes[0]."""
    parts = (f"[{p}]" if isinstance(p, int) else f".{one_line(str(p)[:80])}" for p in path)
    return "".join(parts).removeprefix(".")


def show(value: Any) -> str:
    """A value as its writer would recognize it, short enough for one line."""
    text = one_line(_shown(value))
    return text if len(text) <= MAX_LENGTH else text[: MAX_LENGTH - 3] + "..."


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return written(value)
    if isinstance(value, float):
        return {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}.get(repr(value), repr(value))
    if isinstance(value, int):  # Python refuses to print integers of more than 4,300 digits
        return str(value) if abs(value) < 10**20 else f"an integer of {value.bit_length()} bits"
    if isinstance(value, str):
        return repr(value[: MAX_LENGTH + 1])
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(show, value[:8])) + (", ...]" if value[8:] else "]")
    if isinstance(value, dict):
        pairs = [f"{str(key)[:20]}: {show(value[key])}" for key in list(value)[:4]]
        return "{" + ", ".join(pairs) + (", ...}" if len(value) > 4 else "}")
    return f"a {type(value).__name__}"
