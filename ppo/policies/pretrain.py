"""A run of imitation: demonstrations in, a run folder with a policy out."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ppo.algorithm.automatic import chosen, taken_with
from ppo.algorithm.build import prepare_torch, settled
from ppo.config import Config
from ppo.core.randomness import stream_seed
from ppo.envs.base import Environments
from ppo.envs.make import make_environments
from ppo.envs.spaces import describe
from ppo.envs.torch_env import TorchEnvironments
from ppo.policies.demonstrate import PLAYED_ENVS, REPORTS_ERROR, record
from ppo.policies.demonstrations import read
from ppo.policies.imitation import Imitator
from ppo.policies.play import evaluate
from ppo.policies.policy import Policy, say
from ppo.runs import checkpoint, provenance, trust
from ppo.runs.folder import RunFolder
from ppo.runs.names import refuse_unwritable, results_folder


class Pretrained(NamedTuple):
    """What a run of imitation gave."""

    folder: RunFolder
    records: list[dict[str, Any]]
    result: dict[str, Any]  # result of the evaluation; `final_error` too, where it has a meaning


def environments_for(config: Config, num_envs: int) -> Environments:
    """Environments on the CPU to read spaces from and to evaluate on."""
    seed = stream_seed(config.system.seed, "evaluation", 0)
    return make_environments(
        config.env, run_seed=seed, device=torch.device("cpu"), num_envs=num_envs
    )


def imitator_for(config: Config, data: Path, envs: Environments) -> Imitator:
    """An imitator of the demonstrations in `data`."""
    precise = [name for name, _ in envs.layout.precise]
    demonstrations = read(data, envs.observation_space, envs.action_space, precise)
    dynamics = envs.env if isinstance(envs, TorchEnvironments) else None
    return Imitator(
        config,
        demonstrations,
        envs.action_space,
        len(envs.component_names),
        dynamics,
        envs.layout,
    )


def assess(config: Config, envs: Environments, policy: Policy, episodes: int) -> dict[str, Any]:
    """Return, success rate and, where observations say it, the mean final error."""
    limit = config.evaluation.max_steps
    result = evaluate(envs, policy, episodes, config.system.seed, max_steps=limit, note=say)
    if config.env.id in REPORTS_ERROR:
        errors = record(envs, policy.act, episodes, policy.reset).final_errors
        result["final_error"] = float(errors.mean())
    return result


def pretrain(config: Config, data: Path, results: Path, tell: Any = None) -> Pretrained:
    """Learns from `data`, evaluates, and saves a run that `train.initial_policy` can name.

    Raises:
        UserError: the file or the settings cannot be used.
    """
    prepare_torch(config)
    config = chosen(config)[0]
    data, results = data.absolute(), results_folder(results)
    count = min(PLAYED_ENVS, max(config.evaluation.episodes, 1))
    with environments_for(config, count) as envs:
        config = settled(config, envs)
        imitator = imitator_for(config, data, envs)
        refuse_unwritable(results)
        records = imitator.train(tell)
        policy = Policy(imitator.agent, config, envs.observation_space, envs.action_space)
        result = assess(config, envs, policy, config.evaluation.episodes)
        folder = _save(config, results, imitator, envs, records, result)
    return Pretrained(folder, records, result)


def _save(
    config: Config,
    results: Path,
    imitator: Imitator,
    envs: Environments,
    records: list[dict[str, Any]],
    result: dict[str, Any],
) -> RunFolder:
    shown = config.showing(taken_with(config, envs, torch.device("cpu"), graphs=False))
    texts = {"config.yaml": shown.to_yaml(), "command.txt": shlex.join(sys.argv) + "\n"}
    code = trust.remember(config)
    folder = RunFolder.create(results, texts)
    folder.write_json("provenance.json", {**provenance.collect(), "code": code})
    folder.write_json("imitation.json", {"epochs": records, "evaluation": result})
    state = imitator.agent.state_dict()
    meta = {
        "components": list(envs.component_names),
        "observation_space": describe(envs.observation_space),
        "action_space": describe(envs.action_space),
        "num_mask": envs.layout.num_mask,
        "layout": "a policy of imitation, without a critic to go on from",
        "best": result,
        "counters": {"batch": 0, "env_steps": 0, "episodes": 0},
    }
    tensors = {f"objective.agent.{name}": value for name, value in state.items()}
    checkpoint.save(folder, 0, tensors, meta, best=True)
    folder.set_status(
        status="finished",
        mode="pretrain",
        final_return=result["mean_return"],
        best_return=result["mean_return"],
        best_evaluation=result,
        batches=0,
        env_steps=0,
    )
    folder.close()
    return folder
