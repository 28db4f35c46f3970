"""What a critic gains by seeing what the actor does not, over seeds, as a table.

    nice python benchmarks/asymmetric_critic.py

A point is pushed along a line toward a goal that is drawn for each episode. The actor sees the
position alone: neither the velocity nor the goal. Three critics beside the same actor: one that
sees the same (symmetric), one that sees all (asymmetric); and, as a bound, both see all. An
interrupted experiment continues. Results go to benchmarks/results/asymmetric_critic.json, and as a
table beside it; `python benchmarks/fill_tables.py` puts it into docs/results.md.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from runs import FIXED, RESULTS, ResultsFile, mean, parted, rounded, say, spread

from ppo.config import Config
from ppo.training.trainer import Trainer

STEPS, POINTS = 81_920, 4  # of a run; of a curve
COMMON = [
    "env.id=HiddenGoal-v0", "env.backend=sync", "env.num_envs=16", "ppo.num_steps=64",
    "ppo.num_minibatches=4", "ppo.num_epochs=4", "network.shared_encoder=false",
    f"train.total_timesteps={STEPS}", "train.checkpoint_interval=1000", "evaluation.interval=0",
    "evaluation.episodes=400", "system.compile=never", "system.device=cpu",
    "logging.tensorboard=false", "logging.episodes=false", "logging.doctor=false",
]  # fmt: skip
HIDDEN = "network.actor_keys=[position]"
CASES = {
    "symmetric: both see the position": [HIDDEN, "network.critic_keys=[position]"],
    "asymmetric: the critic sees all": [HIDDEN],
    "both see all": [],
}
FIELDS = ("explained_variance", "mean_episode_return")


class HiddenGoal(gym.Env):
    """Position x and velocity v of a point, force in [-1, 1], reward -(x - goal)^2."""

    LENGTH, STEP, DRAG = 50, 0.1, 0.5

    def __init__(self) -> None:
        one = spaces.Box(-np.inf, np.inf, (1,), np.float32)
        self.observation_space = spaces.Dict({"position": one, "velocity": one, "goal": one})
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.goal = self.np_random.uniform(-1, 1)
        self.position = self.np_random.uniform(-2, 2)
        self.velocity = self.np_random.uniform(-1, 1)
        self.steps = 0
        return self._observe(), {}

    def _observe(self) -> dict[str, np.ndarray]:
        names = ("position", "velocity", "goal")
        return {name: np.array([getattr(self, name)], np.float32) for name in names}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        force = 2.0 * float(action[0]) - self.DRAG * self.velocity
        self.velocity += self.STEP * force
        self.position += self.STEP * self.velocity
        self.steps += 1
        reward = -((self.position - self.goal) ** 2)
        return self._observe(), reward, False, self.steps >= self.LENGTH, {}


if "HiddenGoal-v0" not in gym.registry:
    gym.register(id="HiddenGoal-v0", entry_point=HiddenGoal)


def run(overrides: list[str], seed: int, steps: int) -> dict[str, Any]:
    """One training run: its curves in quarters, and 400 episodes of the policy's mode."""
    more = [f"system.seed={seed}", f"train.total_timesteps={steps}"]
    config = Config.from_dict({}, [*FIXED, *COMMON, *overrides, *more])
    torch.set_num_threads(1)
    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(config, folder)
        trainer.train()
        assert trainer.folder is not None
        parts = parted(trainer.folder.records(), POINTS)
    return {
        "seed": seed,
        "steps": steps,
        **{name: [rounded(mean(r[name] for r in part)) for part in parts] for name in FIELDS},
        "evaluated_return": rounded(trainer.evaluations[-1]["mean_return"]),
        "cpu_seconds": round(time.process_time() - started, 1),
    }


def table(file: ResultsFile) -> str:
    """Means over seeds, with their standard deviation at the end."""
    quarters = " | ".join(f"{i + 1}/{POINTS}" for i in range(POINTS))
    lines = [f"| | explained variance {quarters} | training return {quarters} | evaluated "
             "| seeds | CPU s |"]  # fmt: skip
    lines += ["|" + " --- |" * (2 * POINTS + 4)]
    for name in CASES:
        found = file.of(case=name)
        if not found:
            continue
        cells = [name]
        for field in FIELDS:
            means = [mean(r[field][i] for r in found) for i in range(POINTS)]
            cells += [f"{value:.3g}" for value in means[:-1]]
            cells += [f"{means[-1]:.3g} +- {spread(r[field][-1] for r in found):.2g}"]
        last = [r["evaluated_return"] for r in found]
        cells += [f"{mean(last):.4g} +- {spread(last):.2g}", str(len(found))]
        cells += [f"{mean(r['cpu_seconds'] for r in found):.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=STEPS)
    arguments = parser.parse_args()
    header = {"title": "A critic that sees what the actor does not", "torch": torch.__version__}
    file = ResultsFile(RESULTS / "asymmetric_critic.json", header)
    for seed in range(1, arguments.seeds + 1):
        for name, more in CASES.items():
            if not file.has(case=name, seed=seed, steps=arguments.steps):
                file.add({"case": name, **run(more, seed, arguments.steps)})
                say(f"{name}, seed {seed}: {file.runs[-1]}")
    text = table(file)
    file.path.with_suffix(".md").write_text(text)
    print(text, flush=True)


if __name__ == "__main__":
    main()
