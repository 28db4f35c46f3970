"""An environment of EnvPool, stepped by threads of C++.

pip install -e ".[envpool]"; python examples/envpool_environment.py
"""

from __future__ import annotations

import sys

from ppo import Config, Trainer

if __name__ == "__main__":
    settings = [
        "env.id=ppo.envs.simulators.envpool:EnvPool",
        "env.kwargs={env_id: HalfCheetah-v4}",
        "env.num_envs=64",
        "train.total_timesteps=200_000",
        *sys.argv[1:],
    ]
    with Trainer(Config.load(overrides=settings)) as trainer:
        trainer.train()
