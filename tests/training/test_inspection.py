"""Inspection: what it measures, what it advises, and that it fits a terminal."""

import json
import math

import gymnasium as gym
import numpy as np
import pytest
import torch

from ppo.cli import main
from ppo.cli.inspection import text_of
from ppo.config import Config
from ppo.envs.native import REGISTRY as NATIVE
from ppo.envs.torch_env import TorchEnvironments
from ppo.policies.demonstrations import Demonstrations, write
from ppo.training.inspection import column, columns, inspect_environment, verdict

SMALL = ["env.num_envs=16", "env.calibration_steps=8"]


def test_entries_are_judged_by_scale_and_tail():
    rng = np.random.default_rng(0)
    rows = np.stack(
        [
            rng.normal(size=5000),
            rng.normal(1e4, 3e4, size=5000),
            np.exp(rng.normal(0, 3, size=5000)),
            np.full(5000, 7.0),
            rng.integers(0, 2, size=5000),
        ],
        1,
    )
    kinds = [entry["verdict"] for entry in columns(rows)]
    assert kinds == ["fine", "scale", "heavy", "constant", "fine"]


def test_the_normal_distribution_has_the_figures_that_the_limits_speak_of():
    entry = column(np.random.default_rng(0).normal(size=200_000))
    assert entry["kurtosis"] == pytest.approx(3.0, abs=0.1)
    assert entry["tail_ratio"] == pytest.approx(4.88, abs=0.2)
    assert verdict(entry) == "fine"


@pytest.fixture(scope="module")
def found():
    torch.set_num_threads(1)
    config = Config().with_overrides(
        [*SMALL, "auxiliary.trajectory_weight=0.5", "auxiliary.success_weight=0.1"]
    )
    return inspect_environment(config, 1500)


def test_networks_of_their_own_meet_in_the_norm_that_cuts_them():
    config = Config().with_overrides([*SMALL, "network.shared_encoder=false"])
    terms = inspect_environment(config, 1500)["losses"]["terms"]
    assert terms["policy"]["gradient_norm"] > 0 and terms["value"]["balancing_weight"] > 0


def test_shares_sum_to_one_and_balancing_weights_balance(found):
    terms = found["losses"]["terms"]
    for key in ("loss_share", "gradient_share"):
        assert sum(term[key] for term in terms.values()) == pytest.approx(1.0)
    for name in ("value", "trajectory", "success"):
        pull = terms[name]["balancing_weight"] * terms[name]["gradient_norm"]
        assert pull == pytest.approx(terms["policy"]["gradient_norm"])


def test_raw_returns_are_told_to_be_large(found):
    losses = found["losses"]
    assert losses["raw_value_loss"] > 1e4 and losses["terms"]["value"]["loss"] < 20
    assert losses["raw_cut"] > 20 * losses["cut"]
    assert math.isfinite(found["components"]["progress"]["return"]["std"])


@pytest.mark.parametrize("env", ["DoubleIntegrator-v0", "CartPole-v1", "RawInputs-v0"])
def test_the_report_answers_every_question_within_80_columns(env):
    config = Config().with_overrides([*SMALL, f"env.id={env}"])
    text = text_of(inspect_environment(config, 600))
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("?") >= 7 and " nan" not in text
    if env == "RawInputs-v0":
        assert "env.squash_observations symlog" in text


class Screen(gym.Env):
    """Shows an image and nothing else."""

    observation_space = gym.spaces.Box(0, 255, (36, 36, 3), np.uint8)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._shown(), {}

    def step(self, action):
        return self._shown(), 1.0, bool(self.np_random.random() < 0.1), False, {}

    def _shown(self):
        return self.np_random.integers(0, 256, self.observation_space.shape, np.uint8)


gym.register("Screen-v0", Screen)


def test_an_environment_of_images_is_reported_too():
    found = inspect_environment(Config().with_overrides([*SMALL, "env.id=Screen-v0"]), 64)
    text = text_of(found)
    assert "observations: images alone" in text and text.count("?") == 6 and " nan" not in text
    assert "Which inputs need work?\n    none" in text


def test_the_entries_of_a_dict_have_its_keys():
    """As in ppo/envs/observations.py: by the names of the keys, an image behind all numbers."""
    config = Config().with_overrides([*SMALL, "env.id=groups_env:Keys-v0"])
    found = inspect_environment(config, 64)
    space = gym.make("groups_env:Keys-v0").observation_space
    names = [entry["name"] for entry in found["observations"]]
    sizes = {key: gym.spaces.flatdim(space[key]) for key in sorted(space.spaces)}
    for key, size in sizes.items():
        assert names.count(key) + sum(name.startswith(f"{key}[") for name in names) == size
    assert len(names) == sum(sizes.values())
    text = text_of(found)
    assert f"entry 0 {names[0][:9]}" in text and max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("squash", ["clip", "tanh"])
def test_the_share_of_actions_that_are_clipped_is_none_behind_a_tanh(squash):
    over = ["env.id=Pendulum-v1", f"network.action_squash={squash}"]
    found = inspect_environment(Config().with_overrides([*SMALL, *over]), 600)
    share, text = found["actions"]["clipped_share"], " ".join(text_of(found).split())
    if squash == "tanh":
        assert share == 0.0 and "a tanh keeps them inside" in text and "clipped" not in text
    else:
        assert share == pytest.approx(0.32, abs=0.1) and "beyond the bounds and are clipped" in text


class Drunk(NATIVE.get("DoubleIntegrator-v0")):
    """An environment that no seed repeats."""

    def observe(self, state):
        return super().observe(state) + torch.rand(state.shape[0], 5)


def test_an_environment_that_no_seed_repeats_is_told(monkeypatch):
    from ppo.algorithm.laws import environment
    from ppo.training import inspection

    def make(config, run_seed, device, num_envs, **_):
        return TorchEnvironments(Drunk(), num_envs, run_seed, device)

    monkeypatch.setattr(environment, "make_environments", make)
    assert inspection.is_deterministic(Config()) == {"same": False, "differs_at_step": 0}


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("masked_env:MaskedInfo", "{nvec: [5], start: 2}"),
        ("masked_env:MaskedMethod", "{nvec: [3, 1, 4]}"),
        ("masked_env:MaskedMethod", "{image: true}"),
        ("port_env:Port", '{port: "{index+6000}"}'),
    ],
)
def test_copies_take_valid_actions_and_numbers_of_their_own(name, kwargs):
    """What a mask rules out raises; so does a port that is taken."""
    config = Config().with_overrides([*SMALL, f"env.id={name}-v0", f"env.kwargs={kwargs}"])
    assert inspect_environment(config, 64)["deterministic"]["same"]


def test_a_file_is_inspected_raw_and_normalized(tmp_path, capsys):
    rng = np.random.default_rng(0)
    obs = (rng.normal(size=(300, 4)) * 1000 + 5000).astype(np.float32)
    actions = rng.integers(0, 2, (300, 1))
    write(tmp_path / "d.npz", Demonstrations(obs, actions, np.arange(300) % 30 == 29))
    flags = ["--mode", "inspect", "--set", "env.id=CartPole-v1", "--data", str(tmp_path / "d.npz")]
    assert main(flags) == 0
    text = capsys.readouterr().out
    assert "entries 0, 1, 2, 3: normalize" in text and max(map(len, text.splitlines())) <= 80
    assert main([*flags, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["episodes"] == 10 and "trajectory" not in figures["regression"]["raw"]["losses"]


def test_normalizing_a_regression_lowers_its_gradient(tmp_path, capsys):
    size = 20 * 15
    rng = np.random.default_rng(0)
    obs = rng.normal(size=(size, 5)).astype(np.float32)
    obs[:, 4] = np.tile(np.arange(15, 0, -1) * 0.33, 20)
    actions = rng.choice([-8.0, 8.0], (size, 1)).astype(np.float32)
    write(tmp_path / "d.npz", Demonstrations(obs, actions, np.arange(size) % 15 == 14))
    main(["--mode", "inspect", "--data", str(tmp_path / "d.npz"), "--json", "--quiet"])
    parts = json.loads(capsys.readouterr().out)["regression"]
    assert parts["raw"]["losses"]["actions"] == pytest.approx(64, rel=0.1)
    assert parts["normalized"]["losses"]["actions"] == pytest.approx(1, rel=0.1)
    assert parts["raw"]["cut"] > parts["normalized"]["cut"]


@pytest.mark.parametrize(
    "flags",
    [
        ["--steps", "0"],
        ["--steps", "many"],
        ["--data", "missing.npz"],
        ["--set", "env.id=CartPol-v1"],
    ],
)
def test_wrong_flags_end_with_2_and_one_line(tmp_path, monkeypatch, capsys, flags):
    monkeypatch.chdir(tmp_path)
    assert main(["--mode", "inspect", *flags]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if "defaults" not in line]
    assert len(errors) == 1 and errors[0].startswith("error: ")
