"""A policy used in another process: it needs the run folder, and nothing of the training.

python examples/inference.py
"""

from __future__ import annotations

import subprocess
import sys

from ppo import Config, Trainer

SERVE = """
import sys
import gymnasium as gym
from ppo import load_policy

policy = load_policy(sys.argv[1])
envs = gym.make_vec("CartPole-v1", num_envs=3)
observations, _ = envs.reset(seed=0)
for _ in range(20):
    observations, *_ = envs.step(policy.predict(observations))  # a batch, or one observation
envs.close()
print("acted")
"""

if __name__ == "__main__":
    with Trainer(Config.load(overrides=["env.id=CartPole-v1", *sys.argv[1:]])) as trainer:
        trainer.train()
        assert trainer.folder is not None
        run = str(trainer.folder.path)
    subprocess.run([sys.executable, "-c", SERVE, run], check=True)
