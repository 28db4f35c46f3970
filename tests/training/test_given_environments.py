"""A run whose environment was given as an object: equal to the usual one, resumed, evaluated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from env_tools import make
from gymnasium.envs.classic_control.cartpole import CartPoleEnv, CartPoleVectorEnv
from learner_tools import records, settings
from simulators import Native, Saving, Wrapped

from ppo import Trainer, load_policy
from ppo.core.errors import UserError
from ppo.insight.doctor import judge
from ppo.policies.evaluate import evaluate, evaluate_policy

SEED = 3


def cartpole() -> gym.Env:
    return gym.make("CartPole-v1")


def wrapped() -> Wrapped:
    """Episodes of the sync backend, whatever seed is given."""
    return Wrapped(make("CartPole-v1", num_envs=4, seed=SEED))


EXACT = {
    "a class": lambda: CartPoleEnv,
    "a factory": lambda: cartpole,
    "a path": lambda: "env_forms:make",
    "a vector environment": lambda: CartPoleVectorEnv(4),
    "a simulator": wrapped,
}
FORMS = EXACT | {
    "a simulator with a state": lambda: Saving(4),
    "a simulator": lambda: Native(4),
    "another vector environment": lambda: gym.vector.SyncVectorEnv([cartpole] * 4),
    "a factory of simulators": lambda: "simulators:Saving",
}


def train(results: Path, env: Any, batches: int = 4, resume: str | None = None, **more: Any) -> Any:
    config = settings("CartPole-v1", env__backend="auto", system__seed=SEED, **more)
    with Trainer(config, results, env=env, resume=resume) as trainer:
        trainer.train(batches=batches)
        return trainer


def learned(trainer: Any) -> list[dict[str, Any]]:
    """What the batches have in common whatever is noted beside them."""
    return [{k: v for k, v in r.items() if k != "events"} for r in records(trainer.folder.path)]


def noted(trainer: Any) -> str:
    return " ".join(line for r in records(trainer.folder.path) for line in r["events"])


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    return learned(train(tmp_path_factory.mktemp("usual"), None))


@pytest.mark.parametrize("form", EXACT)
def test_every_form_trains_to_the_same_bits(form, usual, tmp_path):
    assert learned(train(tmp_path, EXACT[form]())) == usual


@pytest.mark.parametrize("form", FORMS)
def test_a_run_that_is_resumed_equals_one_that_was_not_stopped(form, tmp_path):
    whole = train(tmp_path / "whole", FORMS[form]())
    train(tmp_path / "parts", FORMS[form](), 2)
    resumed = train(tmp_path / "parts", FORMS[form](), 2, resume="run0001")
    assert learned(resumed) == learned(whole)
    # A checkpoint after every batch: no other state is lost.
    declared = "state cannot be saved: episodes start anew at each checkpoint" in noted(whole)
    assert declared == (whole.envs.restore_level == "boundary")


@pytest.mark.parametrize("form", FORMS)
def test_rewards_times_a_power_of_two_leave_the_policy_as_it_is(form, tmp_path):
    policies = []
    for name, scale in (("one", 1.0), ("many", float(2**20))):
        trainer = train(tmp_path / name, FORMS[form](), 2, env__reward_scale=scale)
        policies.append(trainer.learner.objective.agent.state_dict())
    assert all(torch.equal(value, policies[1][name]) for name, value in policies[0].items())


@pytest.mark.parametrize("interval", [1, 50])
def test_episodes_that_checkpoints_cut_are_named_where_none_ends(interval, tmp_path):
    envs = gym.vector.SyncVectorEnv([cartpole] * 64)
    few = {"ppo__num_steps": 5, "train__checkpoint_interval": interval}
    few |= {"evaluation__interval": 0, "ppo__num_minibatches": 1, "train__total_timesteps": 10000}
    trainer = train(tmp_path, envs, 8, **few)
    (line,) = [e for r in records(trainer.folder.path) for e in r["events"] if "start anew" in e]
    assert f"checkpoint_interval {interval}: after {5 * interval} steps of each" in line
    ended = sum(r["episodes"] for r in records(trainer.folder.path)) > 0
    cut = "checkpoints cut them short: raise train.checkpoint_interval"
    assert (cut in judge(trainer.folder.path).text) == (interval == 1) == (not ended)


# ---- where evaluations are played


@pytest.mark.parametrize("where", ["separate", "same", "off"])
def test_evaluation_env_is_where_the_policy_is_played(where, usual, tmp_path):
    made = []

    def factory(index: int) -> gym.Env:
        made.append(index)
        return cartpole()

    trainer = train(tmp_path, factory, evaluation__env=where)
    assert made.pop(0) == 0, "one for its spaces, before the run"
    assert len(made) == {"separate": 8, "same": 4, "off": 4}[where]
    assert sorted(made)[4:] == ([4, 5, 6, 7] if where == "separate" else [])
    assert [row["batch"] for row in trainer.evaluations] == ([] if where == "off" else [2, 4])
    assert learned(trainer) == usual, "its episodes went on as if nothing had been"
    best = json.loads((trainer.folder.path / "summary.json").read_text())
    assert best["status"] == "finished"
    load_policy(trainer.folder.path)


def test_evaluations_are_of_the_same_episodes_wherever_they_are_played(tmp_path):
    rows = [
        [row["mean_return"] for row in train(tmp_path / where, cartpole,
                                             evaluation__env=where).evaluations]
        for where in ("separate", "same")
    ]  # fmt: skip
    assert rows[0] == rows[1]


@pytest.mark.parametrize("kind", [Native, Saving])
def test_a_simulator_that_exists_once_is_lent_and_comes_back(kind, tmp_path):
    lent = train(tmp_path / "lent", kind(4))
    alone = train(tmp_path / "alone", kind(4), evaluation__env="off")
    assert lent.config.evaluation.env == "same" and len(lent.evaluations) == 2
    assert noted(lent).count("evaluation.env: same: the TorchVectorEnv simulators.") == 1
    if kind is Saving:
        assert learned(lent) == learned(alone)
    else:
        assert "anew at each checkpoint and after each evaluation" in noted(lent)


class Limited(gym.Env):
    """Every episode has as many steps, of reward 1 each."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (2,))
    action_space = gym.spaces.Discrete(2)

    def __init__(self, limit=24):
        self.limit = limit

    def reset(self, *, seed=None, options=None):
        self.steps = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.steps += 1
        return np.zeros(2, np.float32), 1.0, False, self.steps == self.limit, {}


def test_episodes_that_a_resume_begins_anew_count_nothing_of_those_before(tmp_path):
    """Stopped between two checkpoints, 16 steps after its beginning, an episode is lost."""

    def episodes():
        return gym.vector.SyncVectorEnv(
            [Limited] * 4, autoreset_mode=gym.vector.AutoresetMode.SAME_STEP
        )

    between = {"train__checkpoint_interval": 100, "evaluation__env": "off"}
    train(tmp_path, episodes(), batches=1, **between)
    resumed = train(tmp_path, episodes(), batches=3, resume="run0001", **between)
    lengths = [record["mean_episode_length"] for record in learned(resumed)]
    assert lengths == [None, None, 24.0, 24.0]
    assert [record["mean_episode_return"] for record in learned(resumed)][2:] == [24.0, 24.0]


def test_scaled_rewards_take_no_sum_from_episodes_that_were_given_up(tmp_path):
    """At each checkpoint other episodes begin, of 16 steps each."""
    envs = gym.vector.SyncVectorEnv(
        [lambda: Limited(1000)] * 4, autoreset_mode=gym.vector.AutoresetMode.SAME_STEP
    )
    trainer = train(tmp_path, envs, batches=3, ppo__reward_scaling="return_std", ppo__gamma=0.99)
    sums = np.cumsum(0.99 ** np.arange(16))
    assert trainer.learner.reward_scale.mean.item() == pytest.approx(sums.mean(), rel=1e-6)
    assert trainer.learner.reward_scale.variance.item() == pytest.approx(sums.var(), rel=1e-6)


def test_an_evaluation_between_two_batches_changes_none(tmp_path):
    runs = []
    for evaluates in (False, True):
        config = settings("CartPole-v1", evaluation__interval=0, env__backend="auto")
        with Trainer(config, tmp_path / str(evaluates), env=Saving(4)) as trainer:
            for _ in range(3):
                trainer.train(batches=1)
                if evaluates:
                    assert trainer.evaluate(episodes=3)["episodes"] == 3
            runs.append(learned(trainer))
    assert runs[0] == runs[1]


# ---- from another process


def test_what_was_given_is_written_down_and_asked_for_again(tmp_path):
    trainer = train(tmp_path, lambda: cartpole())
    folder = trainer.folder.path
    told = json.loads((folder / "provenance.json").read_text())["environment"]
    assert told.startswith("the factory ") and "test_given_environments.py:" in told
    policy = load_policy(folder)
    assert policy.config.env.id.startswith("<") and policy.config.env.id.endswith("lambda>")
    found = evaluate_policy(policy, 4, seed=0, env=cartpole)
    assert found == evaluate_policy(policy, 4, seed=0, env="CartPole-v1")
    assert found == evaluate_policy(policy, 4, seed=0, env=CartPoleVectorEnv(4))
    with pytest.raises(UserError, match="an object of the program that trained; give it again"):
        evaluate(tmp_path / "run0001", episodes=4)
    with pytest.raises(UserError, match="give it again"):
        Trainer(policy.config, tmp_path, resume="run0001")


def test_a_form_with_a_name_is_found_again_by_it(tmp_path):
    trainer = train(tmp_path, CartPoleEnv)
    assert evaluate(tmp_path / "run0001", episodes=4) == evaluate_policy(
        trainer.policy, 4, seed=0, env=CartPoleEnv
    )


def test_an_environment_that_changes_torchs_default_device_is_told_in_one_line(tmp_path):
    def elsewhere() -> gym.Env:
        torch.set_default_device("meta")
        return cartpole()

    try:
        with pytest.raises(UserError, match="set_default_device: meta is in force"):
            train(tmp_path, elsewhere, batches=1)
    finally:
        torch.set_default_device(None)


def test_an_environment_that_turns_gradients_off_is_learned_from(tmp_path):
    class Guarded(CartPoleEnv):
        def step(self, action):
            torch.set_grad_enabled(False)  # for a network of its own
            return super().step(action)

    try:
        guarded = train(tmp_path, Guarded, batches=2)
    finally:
        torch.set_grad_enabled(True)
    usual = train(tmp_path, CartPoleEnv, batches=2)
    assert learned(guarded)[1]["total_loss"] == learned(usual)[1]["total_loss"]


def test_an_environment_that_changes_torchs_default_dtype_is_told_in_one_line(tmp_path):
    def in_doubles() -> gym.Env:
        torch.set_default_dtype(torch.float64)
        return cartpole()

    try:
        with pytest.raises(UserError, match="set_default_dtype: torch.float64 is in force"):
            train(tmp_path, in_doubles, batches=1)
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_policy_is_evaluated_in_any_form_whatever_it_was_trained_in(tmp_path):
    config = settings("CartPole-v1", env__backend="vector", system__seed=SEED)
    with Trainer(config, tmp_path) as trainer:
        trainer.train(batches=1)
        policy = trainer.policy
    usual = evaluate(policy, env=CartPoleEnv, episodes=3)
    for env in (cartpole(), cartpole, gym.make_vec("CartPole-v1", num_envs=2)):
        found = evaluate(policy, env=env, episodes=3)
        assert found["episodes"] == 3 and 0 < found["mean_return"] < 3 * usual["mean_return"]
