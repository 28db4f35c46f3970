"""What a part by import path costs: the shipped classes by their names and by their paths.

    python benchmarks/own_parts.py

CPU time of a batch (rollout and update), alternately, as medians.
"""

from __future__ import annotations

import statistics
import time

import torch

from ppo.algorithm import build
from ppo.config import Config

NAMES = [
    "network.encoder=mlp",
    "ppo.value_loss=huber",
    "ppo.return_normalizer=popart",
    "ppo.value_clip=sigma",
]
PATHS = [
    "network.encoder=ppo.networks.encoders.mlp:MLP",
    "ppo.value_loss=ppo.values.head:HuberHead",
    "ppo.return_normalizer=ppo.values.standardized:PopArt",
    "ppo.value_clip=ppo.values.clips:SigmaClip",
]
SMALL = ["env.num_envs=64", "ppo.num_epochs=2", "system.compile=never", "system.device=cpu"]
BATCHES = 12


def main() -> None:
    """Prints a line for each way and their ratio."""
    torch.set_num_threads(1)
    learners = {}
    for way, parts in (("by name", NAMES), ("by path", PATHS)):
        config = Config.from_dict({}, [*parts, *SMALL])
        device = build.prepare_torch(config)
        learners[way] = build.build_learner(
            config, build.build_environments(config, device), device
        )
        learners[way].start()
    seconds: dict[str, list[float]] = {way: [] for way in learners}
    for _ in range(BATCHES):
        for way, learner in learners.items():
            started = time.process_time()
            learner.step()
            seconds[way].append(time.process_time() - started)
    middle = {way: statistics.median(times[2:]) for way, times in seconds.items()}
    for way, value in middle.items():
        print(f"{way}  {value:.4f} s a batch")
    print(f"ratio    {middle['by path'] / middle['by name']:.3f}")


if __name__ == "__main__":
    main()
