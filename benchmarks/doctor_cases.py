"""The runs of benchmarks/doctor.py: ill on purpose, and healthy.

A case is an environment, a change of it, settings, and the illness that the doctor
must name first (`truth`; an empty string: healthy).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np

PENDULUM = {"n_steps": 512, "batch_size": 64, "n_epochs": 10, "gamma": 0.9, "learning_rate": 1e-3}
CARTPOLE = {
    "n_steps": 256,
    "batch_size": 256,
    "n_epochs": 10,
    "gamma": 0.98,
    "gae_lambda": 0.8,
    "learning_rate": 1e-3,
}
ACROBOT = {"n_steps": 512, "batch_size": 128, "n_epochs": 4, "gamma": 0.99, "gae_lambda": 0.94}
LANDER = {"n_steps": 1024, "batch_size": 64, "n_epochs": 4, "gamma": 0.999, "gae_lambda": 0.98}
INVERTED = {"n_steps": 512, "batch_size": 64, "n_epochs": 10, "gamma": 0.99, "learning_rate": 3e-4}
BASES: dict[str, dict[str, Any]] = {
    "Pendulum-v1": PENDULUM,
    "CartPole-v1": CARTPOLE,
    "Acrobot-v1": ACROBOT,
    "LunarLander-v3": LANDER,
    "InvertedPendulum-v5": INVERTED,
    "MountainCar-v0": {"n_steps": 256},
    "FrozenLake-v1": {"n_steps": 256},
}


@dataclass(frozen=True)
class Case:
    """One way to be ill (or healthy) on one environment."""

    name: str
    env: str
    truth: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    reward_scale: float = 1.0
    obs_scale: float | tuple[float, ...] = 1.0
    obs_offset: float = 0.0
    outlier: float = 0.0  # a reward of this size, once in 5000 steps
    nan_after: int = 0  # rewards are NaN from this step of an environment on
    monitor_outside: bool = False  # the log's episode returns are then of the spoiled rewards
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    timesteps: int = 61_440


CASES = [
    Case("h_pendulum", "Pendulum-v1", timesteps=81_920),
    Case("h_cartpole", "CartPole-v1"),
    Case("h_acrobot", "Acrobot-v1"),
    Case("h_lander", "LunarLander-v3", timesteps=98_304),
    Case("h_inverted", "InvertedPendulum-v5"),
    Case("d_obs_pend", "Pendulum-v1", "observations_unnormalized", obs_scale=100.0),
    Case(
        "d_obs_mixed_pend", "Pendulum-v1", "observations_unnormalized", obs_scale=(1.0, 1.0, 1000.0)
    ),
    Case("d_obs_cart", "CartPole-v1", "observations_unnormalized", obs_scale=1000.0),
    Case(
        "d_obs_offset_pend",
        "Pendulum-v1",
        "observations_unnormalized",
        obs_offset=1000.0,
    ),
    Case("v_scale1e4_pend", "Pendulum-v1", "reward_scale_too_large", reward_scale=1e4),
    Case("v_scale1e2_pend", "Pendulum-v1", "reward_scale_too_large", reward_scale=100.0),
    Case(
        "v_scale1e3_cart",
        "CartPole-v1",
        "reward_scale_too_large",
        reward_scale=1000.0,
    ),
    Case(
        "v_scale1e3_acro",
        "Acrobot-v1",
        "reward_scale_too_large",
        reward_scale=1000.0,
    ),
    Case("v_clip_pend", "Pendulum-v1", "value_clip_too_tight", {"clip_range_vf": 0.2}),
    Case("v_clip_cart", "CartPole-v1", "value_clip_too_tight", {"clip_range_vf": 0.02}),
    Case("v_weight0_pend", "Pendulum-v1", "value_loss_weight_too_small", {"vf_coef": 1e-9}),
    Case("s_lr_hi_cart", "CartPole-v1", "learning_rate_too_high", {"learning_rate": 0.05}),
    Case("s_lr_hi_pend", "Pendulum-v1", "learning_rate_too_high", {"learning_rate": 0.02}),
    Case(
        "s_lr_hi_acro",
        "Acrobot-v1",
        "learning_rate_too_high",
        {"learning_rate": 0.03},
    ),
    Case("s_lr_lo_pend", "Pendulum-v1", "learning_rate_too_low", {"learning_rate": 1e-7}),
    Case("s_lr_lo_cart", "CartPole-v1", "learning_rate_too_low", {"learning_rate": 1e-6}),
    Case(
        "s_lr_lo_acro",
        "Acrobot-v1",
        "learning_rate_too_low",
        {"learning_rate": 1e-6},
    ),
    Case("s_epochs_cart", "CartPole-v1", "too_many_epochs", {"n_epochs": 80, "batch_size": 64}),
    Case("s_epochs_pend", "Pendulum-v1", "too_many_epochs", {"n_epochs": 80}),
    Case("e_collapse_cart", "CartPole-v1", "entropy_collapse", {"ent_coef": -0.5}),
    Case("e_collapse_acro", "Acrobot-v1", "entropy_collapse", {"ent_coef": -0.5}),
    Case(
        "e_collapse_pend",
        "Pendulum-v1",
        "entropy_collapse",
        {"policy_kwargs": {"log_std_init": -5.0}},
    ),
    Case("e_high_pend", "Pendulum-v1", "entropy_coefficient_too_high", {"ent_coef": 1.0}),
    Case("e_high_cart", "CartPole-v1", "entropy_coefficient_too_high", {"ent_coef": 2.0}),
    Case(
        "e_high_acro",
        "Acrobot-v1",
        "entropy_coefficient_too_high",
        {"ent_coef": 0.5},
    ),
    Case("d_sparse_mcar", "MountainCar-v0", "no_reward_signal"),
    Case("d_zero_cart", "CartPole-v1", "no_reward_signal", reward_scale=0.0, monitor_outside=True),
    Case(
        "d_sparse_lake",
        "FrozenLake-v1",
        "no_reward_signal",
        env_kwargs={"map_name": "8x8"},
    ),
    Case("d_outlier_pend", "Pendulum-v1", "reward_outlier", outlier=-1e6),
    Case("d_outlier_cart", "CartPole-v1", "reward_outlier", outlier=1e5),
    Case("d_nan_pend", "Pendulum-v1", "non_finite", nan_after=5850, monitor_outside=True),
]


class Spoil(gym.Wrapper):
    """Changes an environment by its case; a monitor inside still records the true rewards."""

    def __init__(self, env: gym.Env, case: Case) -> None:
        super().__init__(env)
        self.case = case
        self.steps = 0

    def _obs(self, obs: Any) -> Any:
        if not isinstance(obs, np.ndarray):
            return obs
        scale = np.asarray(self.case.obs_scale, dtype=obs.dtype)
        return (obs * scale + np.asarray(self.case.obs_offset, dtype=obs.dtype)).astype(obs.dtype)

    def reset(self, **kwargs: Any) -> Any:
        obs, info = self.env.reset(**kwargs)
        return self._obs(obs), info

    def step(self, action: Any) -> Any:
        obs, reward, terminated, truncated, info = self.env.step(action)
        self.steps += 1
        value = float(reward) * self.case.reward_scale
        if self.case.outlier and self.steps % 5000 == 0:
            value = self.case.outlier
        if self.case.nan_after and self.steps > self.case.nan_after:
            value = float("nan")
        return self._obs(obs), value, terminated, truncated, info


@dataclass(frozen=True)
class OwnCase:
    """A run of this trainer: a committed configuration and changes to it."""

    name: str
    truth: str = ""
    settings: tuple[str, ...] = ()
    config: str = ""  # empty: config.yaml


_RAW = ("ppo.normalize_returns=false", "ppo.use_relative_value_clip=false")
_CART = "benchmarks/configs/cartpole.yaml"
_PEND, _ACRO = "benchmarks/configs/pendulum.yaml", "benchmarks/configs/acrobot.yaml"
OWN_CASES = [
    OwnCase("healthy"),
    OwnCase("healthy_cart", config=_CART),
    OwnCase("healthy_pend", config=_PEND),
    OwnCase("healthy_acro", config=_ACRO),
    OwnCase("raw", "reward_scale_too_large", (*_RAW, "ppo.value_clip_epsilon=200.0")),
    OwnCase(
        "raw_pend",
        "reward_scale_too_large",
        (*_RAW, "ppo.value_clip=none", "env.reward_scale=100"),
        _PEND,
    ),
    OwnCase(
        "clip", "value_clip_too_tight", ("ppo.value_clip=absolute", "ppo.value_clip_epsilon=0.0001")
    ),
    OwnCase(
        "clip_pend",
        "value_clip_too_tight",
        (*_RAW, "ppo.value_clip_epsilon=0.01"),
        _PEND,
    ),
    OwnCase("weight_high", "value_loss_dominates", ("ppo.value_loss_weight=1000",)),
    OwnCase("weight_low", "value_loss_weight_too_small", ("ppo.value_loss_weight=0.00001",)),
    OwnCase("lr_high", "learning_rate_too_high", ("ppo.learning_rate=0.05",)),
    OwnCase("lr_high_cart", "learning_rate_too_high", ("ppo.learning_rate=0.05",), _CART),
    OwnCase("lr_low", "learning_rate_too_low", ("ppo.learning_rate=1e-7",)),
    OwnCase("lr_low_cart", "learning_rate_too_low", ("ppo.learning_rate=1e-7",), _CART),
    OwnCase("epochs", "too_many_epochs", ("ppo.num_epochs=60",)),
    OwnCase("epochs_pend", "too_many_epochs", ("ppo.num_epochs=80",), _PEND),
    OwnCase("entropy_low_cart", "entropy_collapse", ("ppo.entropy_coefficient=-0.5",), _CART),
    OwnCase("entropy_low", "entropy_collapse", ("network.initial_log_std=-5",)),
    OwnCase("entropy_high", "entropy_coefficient_too_high", ("ppo.entropy_coefficient=1.0",)),
    OwnCase(
        "entropy_high_cart",
        "entropy_coefficient_too_high",
        ("ppo.entropy_coefficient=1.0",),
        _CART,
    ),
    OwnCase(
        "no_reward",
        "no_reward_signal",
        ("env.id=benchmarks.small_envs:SilentCartPole-v0",),
        _CART,
    ),
    OwnCase("cut", "gradients_always_clipped", ("ppo.max_grad_norm=1e-6",)),
]
