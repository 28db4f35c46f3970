"""An environment of gymnax, on the device of JAX, by DLPack.

pip install -e ".[jax]"; python examples/gymnax_environment.py
"""

from __future__ import annotations

import sys

from ppo import Config, Trainer

if __name__ == "__main__":
    settings = [
        "env.id=ppo.envs.simulators.gymnax:Gymnax",
        "env.kwargs={env_id: CartPole-v1}",
        "env.num_envs=64",
        "train.total_timesteps=200_000",
        *sys.argv[1:],
    ]
    with Trainer(Config.load(overrides=settings)) as trainer:
        trainer.train()
