"""A search for good settings, and a training with the best. It needs the extra "tune".

python examples/tune.py
"""

from __future__ import annotations

import sys
from pathlib import Path

from ppo import Config, Trainer
from ppo.cli.main import main

if __name__ == "__main__":
    results = Path("searches")
    flags = [
        word for setting in ["env.id=CartPole-v1", *sys.argv[1:]] for word in ("--set", setting)
    ]
    status = main(
        ["--mode", "tune", "--results", str(results), "--trials", "2", "--jobs", "1", *flags]
        + ["--vary", "ppo.learning_rate=1e-4..1e-2 log", "ppo.gamma=0.9,0.99"]
    )
    assert status == 0
    with Trainer(Config.load(results / "experiment0001" / "best.yaml")) as trainer:
        trainer.train()
