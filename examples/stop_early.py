"""Train CartPole until it is solved, or until nothing improves any more.

python examples/stop_early.py
"""

from __future__ import annotations

import sys

from ppo import Config, StopAtFatalFinding, StopAtNoImprovement, StopAtReturn, Trainer


def main(*overrides: str, results: str = "training_results") -> dict:
    """One run; `overrides` are KEY=VALUE settings."""
    settings = ["env.id=CartPole-v1", "env.num_envs=8", "ppo.num_steps=128", *overrides]
    callbacks = [
        StopAtReturn(475),  # the mean of the last 100 episodes, or of an evaluation
        StopAtNoImprovement(evaluations=10),
        StopAtFatalFinding(),  # what --mode diagnose calls fatal
    ]
    with Trainer(Config.load(overrides=settings), results, callbacks=callbacks) as trainer:
        summary = trainer.train()
    print(f"{summary['status']} after {summary['env_steps']} steps: {summary['reason']}")
    return summary


if __name__ == "__main__":
    main(*sys.argv[1:])
