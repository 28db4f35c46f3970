"""Any valid configuration trains a batch, or says in one line which keys do not go together."""

from __future__ import annotations

import json
import math
import os
import random
import re
from typing import Any, Literal, get_args, get_origin

import annotated_types
import pytest
from pydantic.fields import FieldInfo

from ppo import Config, Trainer
from ppo.core.errors import Diverged, UserError
from ppo.runs.folder import RunFolder

ENVS = ["CartPole-v1", "Pendulum-v1", "DoubleIntegrator-v0"]
SECTIONS = ("env", "network", "ppo", "balancing", "auxiliary", "train", "evaluation", "logging")
NUMBERS = (0, 1e-8, 1e-3, 0.1, 0.2, 0.5, 0.9, 0.99, 1, 2, 3, 10, 100, 1000.0)
OWN = {  # what keeps a run small, or needs something from outside
    "env.num_envs": [1, 2, 3, 4], "env.kwargs": [{}], "env.workers": [1],
    "env.backend": ["auto", "auto", "sync", "vector", "torch"], "env.step_timeout": [60.0],
    "env.reset_timeout": [60.0], "env.calibration_steps": [0, 5],
    "network.hidden_sizes": [[1], [4], [8, 3]], "ppo.num_steps": [1, 2, 7, 16],
    "ppo.num_epochs": [1, 2], "ppo.num_minibatches": [1, 2, 3],
    "ppo.component_gammas": [{}, {"reward": 0.5}], "ppo.component_weights": [{}, {"reward": 2.0}],
    "train.initial_policy": [None], "train.total_timesteps": [1],
    "auxiliary.trajectory_horizon": [1, 3], "auxiliary.time_to_end_horizon": [1, 9],
    "evaluation.episodes": [1], "evaluation.interval": [0, 1], "balancing.warmup": [0, 1, 10],
    "train.keep_checkpoints": [2, 5], "network.initial_log_std": [-2.0, 0.0, 1.0],
    "ppo.entropy_coefficient": [-0.01, 0.0, 0.01],
}  # fmt: skip


def choices(field: FieldInfo) -> list[Any]:
    """A few values of every kind that a field allows."""
    found: list[Any] = []
    limits = list(field.metadata)
    for kind in get_args(field.annotation) or (field.annotation,):
        if get_origin(field.annotation) is Literal:
            found.append(kind)
            continue
        if get_origin(kind) is Literal:  # beside the path of a part of the user's
            found += get_args(kind)
            continue
        if get_origin(kind) is not None and hasattr(kind, "__metadata__"):
            limits = [*limits, *kind.__metadata__]
            kind = get_args(kind)[0]
        if kind is bool:
            found += [True, False]
        elif kind is type(None):
            found.append(None)
        elif kind in (int, float):
            found += [kind(n) for n in NUMBERS if kind(n) == n and _allowed(n, limits)]
    return found or [field.get_default(call_default_factory=True)]


def _allowed(number: float, limits: list[Any]) -> bool:
    for part in limits:
        rules = part.metadata if isinstance(part, FieldInfo) else [part]
        for rule in rules:
            if isinstance(rule, annotated_types.Gt) and not number > rule.gt:
                return False
            if isinstance(rule, annotated_types.Ge) and not number >= rule.ge:
                return False
            if isinstance(rule, annotated_types.Lt) and not number < rule.lt:
                return False
            if isinstance(rule, annotated_types.Le) and not number <= rule.le:
                return False
    return True


def drawn(seed: int) -> dict[str, Any]:
    """About half of all settings at a random value, the others as shipped."""
    draw = random.Random(seed)
    values: dict[str, Any] = {
        "env.id": draw.choice(ENVS), "system.seed": seed, "system.device": "cpu",
        "system.compile": "never",
    }  # fmt: skip
    share = draw.choice([0.1, 0.3, 0.6])
    for section in SECTIONS:
        for name, field in type(getattr(Config(), section)).model_fields.items():
            key = f"{section}.{name}"
            if key == "env.id":
                continue
            if key in OWN:
                values[key] = draw.choice(OWN[key])
            elif draw.random() < share:
                values[key] = draw.choice(choices(field))
    return _mended(values)


def _mended(values: dict[str, Any]) -> dict[str, Any]:
    """Most drawn values that could never work put right, so that most runs train."""
    if values["system.seed"] % 10 == 0:
        return values  # some are left as they are: they must be refused well
    samples = values["env.num_envs"] * values["ppo.num_steps"]
    if samples % values["ppo.num_minibatches"]:
        values["ppo.num_minibatches"] = 1
    if samples == values["ppo.num_minibatches"]:  # advantages of one sample are normalized to 0
        values["ppo.num_steps"] *= 2
    if values.get("ppo.learning_rate_schedule") == "kl":  # follows what former steps did
        values["ppo.num_epochs"] = 2
    for name in ("ppo.max_gamma", "ppo.max_gamma_contest"):
        if values.get(name, 1) < values.get("ppo.gamma", 0.99):
            del values[name]
    if values.get("network.encoder", "auto") != "mlp":  # no observation here is an image
        values["network.encoder"] = "auto"
    if values["env.backend"] == "vector" and values["env.id"] != "CartPole-v1":
        values["env.backend"] = "auto"
    if values["env.id"] == "DoubleIntegrator-v0":
        values |= {"ppo.component_gammas": {}, "ppo.component_weights": {}}
    return values


def overrides(values: dict[str, Any]) -> list[str]:
    return [f"{key}={json.dumps(value)}" for key, value in values.items()]


def train_one(values: dict[str, Any], results) -> str:
    """How it ended: works, refused or diverged; anything else raises."""
    try:
        config = Config.from_dict({}, overrides(values))
        Trainer(config, results).train()
    except UserError as error:
        for message in error.messages:
            assert re.search(r"\b(env|network|ppo|balancing|auxiliary|train)\.\w+", message), (
                message
            )
            assert "\n" not in message
        return "refused"
    except Diverged:
        return "diverged"
    records = RunFolder.open(results, "run0001").records()
    assert len(records) == 1
    for name in ("total_loss", "policy_loss", "value_loss", "entropy", "learning_rate"):
        assert records[0][name] is not None and math.isfinite(records[0][name]), (name, records[0])
    return "works"


QUICK = 15


@pytest.mark.parametrize("seed", range(QUICK))
def test_a_random_configuration_trains_a_batch_or_names_the_keys(tmp_path, seed):
    train_one(drawn(seed), tmp_path)


@pytest.mark.slow
def test_three_hundred_random_configurations(tmp_path):
    count = int(os.environ.get("PPO_TEST_CONFIGS", "300"))
    ends = []
    for seed in range(QUICK, QUICK + count):
        values = drawn(seed)
        try:
            ends.append(train_one(values, tmp_path / str(seed)))
        except Exception as error:
            error.add_note(f"seed {seed}: {' '.join(overrides(values))}")
            raise
    print({end: ends.count(end) for end in sorted(set(ends))})
    assert ends.count("works") > 0.6 * len(ends), "the test is worth nothing where most are refused"
