"""A gymnasium.vector.VectorEnv as it is; evaluations are played in it too, for it exists once.

python examples/vector_environment.py
"""

from __future__ import annotations

import sys

import gymnasium as gym

from ppo import Config, Trainer

if __name__ == "__main__":
    config = Config.load(
        overrides=["env.num_envs=8", "train.total_timesteps=50_000", *sys.argv[1:]]
    )
    envs = gym.make_vec("Pendulum-v1", config.env.num_envs, vectorization_mode="sync")
    envs = gym.wrappers.vector.RescaleAction(envs, -1.0, 1.0)
    with Trainer(config, env=envs) as trainer:
        trainer.train()
    envs.close()
