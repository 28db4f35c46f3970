"""Other PPO trainers with the settings of a workload of benchmarks/speed.py."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn


class Peer(NamedTuple):
    batch: Callable[[], Any]  # trains for one batch
    steps: int  # environment steps of it
    startup: float  # seconds until the second batch


def stable_baselines3(work: Any, device: str = "cpu") -> Peer:
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import VecEnv, VecNormalize

    envs: VecEnv = make_vec_env(work.env_id, work.num_envs)
    if work.normalize:
        envs = VecNormalize(envs)
    size = work.num_envs * work.num_steps
    net = {"pi": [64, 64], "vf": [64, 64]}
    begin = time.perf_counter()
    model = PPO(
        "MlpPolicy",
        envs,
        n_steps=work.num_steps,
        batch_size=size // work.num_minibatches,
        n_epochs=work.num_epochs,
        learning_rate=3e-4,
        device=device,
        policy_kwargs={"net_arch": net},
    )
    model.learn(2 * size)

    def batch() -> None:
        model.collect_rollouts(model.env, callback, model.rollout_buffer, work.num_steps)
        model.train()

    _, callback = model._setup_learn(10**9)
    return Peer(batch, size, time.perf_counter() - begin)


def skrl(work: Any, device: str = "cpu") -> Peer:
    """skrl normalizes observations and values by running statistics, where `work` says so."""
    import gymnasium as gym
    from skrl import logger
    from skrl.agents.torch.ppo import PPO, PPO_CFG
    from skrl.envs.wrappers.torch import wrap_env
    from skrl.memories.torch import RandomMemory
    from skrl.models.torch import CategoricalMixin, DeterministicMixin, GaussianMixin, Model
    from skrl.resources.preprocessors.torch import RunningStandardScaler

    logger.setLevel(logging.ERROR)
    envs = wrap_env(gym.make_vec(work.env_id, work.num_envs, vectorization_mode="sync"))
    begin = time.perf_counter()
    spaces = {"observation_space": envs.observation_space, "action_space": envs.action_space}
    discrete = isinstance(envs.action_space, gym.spaces.Discrete)

    def network(inputs: int, outputs: int) -> nn.Sequential:
        hidden = [nn.Linear(inputs, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh()]
        return nn.Sequential(*hidden, nn.Linear(64, outputs))

    class Categorical(CategoricalMixin, Model):
        def __init__(self) -> None:
            Model.__init__(self, **spaces, device=device)
            CategoricalMixin.__init__(self, unnormalized_log_prob=True)
            self.net = network(self.num_observations, self.num_actions)

        def compute(self, inputs: Any, role: str = "") -> Any:
            return self.net(inputs["observations"]), {}

    class Gaussian(GaussianMixin, Model):
        def __init__(self) -> None:
            Model.__init__(self, **spaces, device=device)
            GaussianMixin.__init__(self)
            self.net = network(self.num_observations, self.num_actions)
            self.log_std = nn.Parameter(torch.zeros(self.num_actions))

        def compute(self, inputs: Any, role: str = "") -> Any:
            return self.net(inputs["observations"]), {"log_std": self.log_std}

    class Value(DeterministicMixin, Model):
        def __init__(self) -> None:
            Model.__init__(self, **spaces, device=device)
            DeterministicMixin.__init__(self)
            self.net = network(self.num_observations, 1)

        def compute(self, inputs: Any, role: str = "") -> Any:
            return self.net(inputs["observations"]), {}

    config = PPO_CFG(
        rollouts=work.num_steps,
        learning_epochs=work.num_epochs,
        mini_batches=work.num_minibatches,
        learning_rate=3e-4,
        value_loss_scale=0.5,
        value_clip=0.0,
        time_limit_bootstrap=True,
    )
    if work.normalize:
        config.observation_preprocessor = config.value_preprocessor = RunningStandardScaler
        config.observation_preprocessor_kwargs = {"size": envs.observation_space, "device": device}
        config.value_preprocessor_kwargs = {"size": 1, "device": device}
    config.experiment.write_interval = 0
    config.experiment.checkpoint_interval = 0
    agent = PPO(
        models={"policy": Categorical() if discrete else Gaussian(), "value": Value()},
        memory=RandomMemory(memory_size=work.num_steps, num_envs=work.num_envs, device=device),
        **spaces,
        device=device,
        cfg=config,
    )
    agent.init()
    agent.enable_training_mode(True)
    now: dict[str, Any] = {"obs": envs.reset()[0], "step": 0}

    def batch() -> None:
        """A rollout as in skrl's SequentialTrainer; the last step updates the agent."""
        for _ in range(work.num_steps):
            at = {"timestep": now["step"], "timesteps": 10**9}
            agent.pre_interaction(**at)
            with torch.no_grad():
                actions, _ = agent.act(now["obs"], None, **at)
                obs, rewards, terminated, truncated, infos = envs.step(actions)
                agent.record_transition(
                    observations=now["obs"],
                    states=None,
                    actions=actions,
                    rewards=rewards,
                    next_observations=obs,
                    next_states=None,
                    terminated=terminated,
                    truncated=truncated,
                    infos=infos,
                    **at,
                )
            agent.post_interaction(**at)
            now["obs"], now["step"] = obs, now["step"] + 1

    batch()
    batch()
    return Peer(batch, work.num_envs * work.num_steps, time.perf_counter() - begin)


JAX_SECONDS = 0.5  # of one call, about: one jit holds so much training


def jax(work: Any) -> Peer:
    """benchmarks/jax_ppo.py on one thread. It compiles in the call that is not counted."""
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["JAX_PLATFORMS"] = "cpu"
    from jax_ppo import Sizes, player

    assert not work.normalize
    sizes = Sizes(work.env_id, work.num_envs, work.num_steps, work.num_epochs, work.num_minibatches)
    size = work.num_envs * work.num_steps
    updates = max(1, round(JAX_SECONDS * 150_000 / size))
    play, startup = player(sizes, updates)
    return Peer(play, size * updates, startup)
