"""Cost of each value setting: CPU time of a batch, against the shipped configuration.

    python benchmarks/value_costs.py [--batches 6] [--rounds 3]

DoubleIntegrator-v0, 64 environments, one thread, not compiled. Settings take turns, and the
smallest time of the rounds counts. Writes value_costs.{json,md} under benchmarks/results/.
"""

from __future__ import annotations

import argparse
import json
import time

import torch
from runs import RESULTS, say

from ppo.algorithm import build
from ppo.config import Config

BASE = ["system.device=cpu", "system.compile=never", "env.num_envs=64", "ppo.num_minibatches=8"]
SETTINGS: dict[str, list[str]] = {
    "shipped": [],
    "value_clip none": ["ppo.value_clip=none"],
    "value_clip sigma": ["ppo.value_clip=sigma"],
    "return_normalizer running": ["ppo.return_normalizer=running"],
    "return_normalizer batch": ["ppo.return_normalizer=batch"],
    "return_normalizer symlog, value_loss two_hot": [
        "ppo.return_normalizer=symlog",
        "ppo.value_loss=two_hot",
        "ppo.value_clip=none",
    ],
    "normalize_returns false": ["ppo.normalize_returns=false"],
    "value_loss huber": ["ppo.value_loss=huber"],
    "value_loss hl_gauss": ["ppo.value_loss=hl_gauss"],
    "normalize_advantages batch": ["ppo.normalize_advantages=batch"],
    "reward_scaling return_std": ["ppo.reward_scaling=return_std"],
    "component_mixing sum": ["ppo.component_mixing=sum"],
    "critic_learning_rate 3e-3": ["ppo.critic_learning_rate=3e-3"],
    "clip_gradients separate": ["ppo.clip_gradients=separate"],
    "layer_norm true": ["network.layer_norm=true"],
    "shared_encoder false": ["network.shared_encoder=false"],
    "reward_outlier clip": ["ppo.reward_outlier=clip"],
}


def seconds_per_batch(overrides: list[str], batches: int) -> float:
    """CPU seconds, the first batch left out."""
    config = Config.from_dict({}, [*BASE, *overrides])
    device = torch.device("cpu")
    learner = build.build_learner(config, build.build_environments(config, device), device)
    learner.start()
    learner.step()
    started = time.process_time()
    for _ in range(batches):
        learner.step()
    return (time.process_time() - started) / batches


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    best = dict.fromkeys(SETTINGS, float("inf"))
    for _ in range(arguments.rounds):
        for name, overrides in SETTINGS.items():
            best[name] = min(best[name], seconds_per_batch(overrides, arguments.batches))
            say(f"{name}: {1000 * best[name]:.0f} ms")
    (RESULTS / "value_costs.json").write_text(json.dumps(best, indent=1) + "\n")
    rows = [
        f"| {name} | {1000 * value:.0f} | {100 * (value / best['shipped'] - 1):+.0f} % |\n"
        for name, value in best.items()
    ]
    text = (
        "# Cost of the value settings\n\n    python benchmarks/value_costs.py\n\n"
        "CPU time of a batch of 3,840 samples with 10 epochs of 8 minibatches, one thread, not "
        "compiled.\n\n| setting | ms a batch | against shipped |\n| --- | --- | --- |\n"
    )
    (RESULTS / "value_costs.md").write_text(text + "".join(rows))


if __name__ == "__main__":
    main()
