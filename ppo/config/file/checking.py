"""A tree of plain values -> a validated configuration, or every mistake in one UserError.

pydantic decides what is valid, in strict mode; what the user reads is written here, from the
types of the fields, because `Input should be a valid integer` does not say what to write.
"""

from __future__ import annotations

import copy
import difflib
import math
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ppo.config.file.describing import (
    allowed,
    choices,
    is_model,
    known_paths,
    literals,
    strip,
    type_at,
)
from ppo.config.file.mistakes import MAX_SHOWN, Path, Tree, dotted, show
from ppo.config.removed import refusal
from ppo.core.registry import nearest

Model = TypeVar("Model", bound=BaseModel)

# What other libraries call our settings, so that a habit gets an answer.
SYNONYMS = {
    "lr": "ppo.learning_rate",
    "n_steps": "ppo.num_steps",
    "n_epochs": "ppo.num_epochs",
    "update_epochs": "ppo.num_epochs",
    "n_envs": "env.num_envs",
    "batch_size": "ppo.num_minibatches",
    "minibatch_size": "ppo.num_minibatches",
    "clip_range": "ppo.clip_epsilon",
    "clip_coef": "ppo.clip_epsilon",
    "clip_range_vf": "ppo.value_clip_epsilon",
    "clip_vloss": "ppo.value_clip",
    "ent_coef": "ppo.entropy_coefficient",
    "vf_coef": "ppo.value_loss_weight",
    "norm_adv": "ppo.normalize_advantages",
    "norm_obs": "env.normalize_observations",
    "norm_reward": "ppo.normalize_returns",
    "n_timesteps": "train.total_timesteps",
    "env_id": "env.id",
    "net_arch": "network.hidden_sizes",
    "anneal_lr": "ppo.learning_rate_schedule",
    "clip": "ppo.clip_epsilon",
    "gae": "ppo.gae_lambda",
    "value_coef": "ppo.value_loss_weight",
    "lstm": "network.memory",
    "gru": "network.memory",
    "layers": "network.hidden_sizes",
    "cuda": "system.device",
    "save_freq": "train.checkpoint_interval",
    "eval_freq": "evaluation.interval",
}


def build(model: type[Model], tree: Tree) -> Model:
    """The configuration that `tree` holds.

    Raises:
        UserError: with all mistakes, those noted while reading included; one line each.
    """
    values = _without_empty_sections(model, copy.deepcopy(tree.values))
    _check_values(tree, (), values)
    result, errors = _validate(model, values)
    if errors and _mend(values, errors):
        result, errors = _validate(model, values)
    for error in errors:
        _report(model, tree, values, error)
    tree.raise_mistakes()
    assert result is not None, f"pydantic refused the settings for no reported reason: {errors}"
    return result


def _validate(model: type[Model], values: dict[str, Any]) -> tuple[Model | None, list[Any]]:
    try:
        return model.model_validate(values, strict=True), []
    except ValidationError as error:
        return None, list(error.errors(include_url=False))


def _without_empty_sections(model: type[BaseModel], values: dict[str, Any]) -> dict[str, Any]:
    """A section whose every line is commented out reads as null; it means its defaults."""
    for name, field in model.model_fields.items():
        if is_model(field.annotation) and values.get(name, ()) is None:
            values[name] = {}
    return values


def _check_values(tree: Tree, path: Path, value: Any) -> None:
    """Refuses what YAML and JSON cannot hold: not-a-number, infinity, broken text, objects."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                tree.report(path, f"the key {show(key)} must be text")
            else:
                _check_values(tree, (*path, key), item)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check_values(tree, (*path, index), item)
    elif isinstance(value, float):
        if not math.isfinite(value):
            tree.report(path, f"{show(value)} is not a finite number")
    elif isinstance(value, str):
        if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
            tree.report(path, f"{show(value)} is not valid Unicode text")
    elif value is not None and not isinstance(value, bool | int):
        tree.report(path, f"{show(value)} cannot be written to a file; use numbers, text, lists")


def _mend(values: dict[str, Any], errors: list[Any]) -> bool:
    """Turns 1e6 into 1000000 where an integer is wanted, lists into the tuples that a field wants.

    Returns whether anything changed.
    """
    changed = False
    for error in errors:
        path = _existing(values, error["loc"])
        found = _get(values, path)
        if error["type"] == "int_type" and isinstance(found, float) and found.is_integer():
            changed |= _put(values, path, int(found))
        elif error["type"] == "tuple_type" and isinstance(found, list):
            changed |= _put(values, path, tuple(found))
    return changed


def _existing(values: Any, loc: tuple[Any, ...]) -> Path:
    """`loc` without the names of union members that pydantic mixes into it."""
    path: list[str | int] = []
    for part in loc:
        if isinstance(values, dict) and part in values:
            values = values[part]
        elif isinstance(values, list | tuple) and isinstance(part, int) and part < len(values):
            values = values[part]
        else:
            continue
        path.append(part)
    return tuple(path)


def _get(values: Any, path: Path) -> Any:
    for part in path:
        values = values[part]
    return values


def _put(values: Any, path: Path, value: Any) -> bool:
    parent = _get(values, path[:-1])
    if not path or not isinstance(parent, dict | list):
        return False
    parent[path[-1]] = value  # type: ignore[index]
    return True


def _report(model: type[BaseModel], tree: Tree, values: dict[str, Any], error: Any) -> None:
    """Notes one pydantic error in our words."""
    kind = error["type"]
    if kind == "does_not_fit":
        for names, text in error["ctx"]["found"]:
            keys = [tuple(name.split(".")) for name in names]
            given = [key for key in keys if key in tree.places]
            overridden = [key for key in given if tree.places[key].startswith("--")]
            tree.report([*overridden, *given, *keys][0], text)
        return
    path = _existing(values, error["loc"])
    old = refusal(dotted(path), _get(values, path))
    if old is not None:
        tree.report(path, old)
        return
    if kind == "extra_forbidden":
        hint = suggestion(model, path) if len(tree.mistakes) < MAX_SHOWN else ""
        tree.report(path, f"unknown{hint}")
        return
    if kind == "missing":
        tree.report(tuple(error["loc"]), "is missing")
        return
    path = _whole_setting(model, path)
    annotation = type_at(model, path)
    found = _get(values, path)
    if annotation is None or (isinstance(found, float) and not math.isfinite(found)):
        if annotation is None:
            tree.report(path, f"{show(found)}; {error['msg']}")
        return
    # The value stands in the place of an override already.
    prefix = "" if tree.place(path).startswith("--") else f"{show(found)}; "
    tree.report(path, f"{prefix}must be {allowed(annotation)}{_hint(found, annotation)}")


def _whole_setting(model: type[BaseModel], path: Path) -> Path:
    """The list that holds a wrong entry: its description says more than the entry's."""
    while path and isinstance(path[-1], int) and not is_model(strip(type_at(model, path))):
        path = path[:-1]
    return path


def _hint(value: Any, annotation: Any) -> str:
    kinds = [strip(choice) for choice in choices(annotation)]
    if isinstance(value, str):
        if nearby := nearest(value[:80], literals(annotation)):
            return nearby
        if any(kind in (int, float) for kind in kinds) and _is_number(value):
            return "; remove the quotes"
        if bool in kinds and value.lower() in ("yes", "on", "no", "off", "y", "n"):
            return f"; write {'true' if value.lower() in ('yes', 'on', 'y') else 'false'}"
    if value is None:
        return "; leave the line out for the default"
    if isinstance(value, bool) and literals(annotation):
        return "; put quotes around a word that YAML takes for a boolean"
    return ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def suggestion(model: type[BaseModel], path: Path) -> str:
    """`; did you mean ppo.clip_epsilon?` for an unknown key, or nothing."""
    words = [str(part)[:80] for part in path]
    known = [name for name, field in known_paths(model).items() if not is_model(field.annotation)]
    sections = [name for name in known_paths(model) if name not in known]
    leaf, section = words[-1], ".".join(words[:-1])
    if leaf in SYNONYMS and SYNONYMS[leaf] in known:
        return f"; did you mean {SYNONYMS[leaf]}?"
    siblings = {name.rpartition(".")[2]: name for name in known if name.startswith(f"{section}.")}
    if not section:
        siblings = {name: name for name in sections}
    everywhere: dict[str, str] = {}
    for name in known:
        everywhere.setdefault(name.rpartition(".")[2], name)
    given = set(leaf.split("_"))
    parts = [name for name in siblings if given <= set(name.split("_"))]
    if len(parts) == 1:  # epochs: num_epochs; kl_target: target_kl
        return f"; did you mean {siblings[parts[0]]}?"
    for names, cutoff in ((siblings, 0.7), (everywhere, 0.85)):
        found = difflib.get_close_matches(leaf, list(names), n=1, cutoff=cutoff)
        if found:
            return f"; did you mean {names[found[0]]}?"
    here = sorted(siblings)
    return f"; known here: {', '.join(here)}" if here and len(here) <= 12 else ""
