"""An environment of Brax, on the device of JAX, by DLPack.

pip install -e ".[jax]"; python examples/brax_environment.py
"""

from __future__ import annotations

import sys

from ppo import Config, Trainer

if __name__ == "__main__":
    settings = [
        "env.id=ppo.envs.simulators.brax:Brax",
        "env.kwargs={env_id: inverted_pendulum}",
        "env.num_envs=64",
        "train.total_timesteps=200_000",
        *sys.argv[1:],
    ]
    with Trainer(Config.load(overrides=settings)) as trainer:
        trainer.train()
