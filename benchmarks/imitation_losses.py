"""Case 4 of several_losses.py: errors of actions and of trajectories, and PPO from the best."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from several_tables import QUIET, replace_row, save

from ppo.config import Config
from ppo.envs.native.double_integrator import (
    DoubleIntegrator,
    final_error,
    optimal_control,
    optimal_plan,
)
from ppo.envs.tasks.double_integrator import MAX_CONTROL, NUM_STEPS
from ppo.policies.demonstrate import demonstrate, record
from ppo.policies.policy import Policy, load_policy
from ppo.policies.pretrain import assess, environments_for, imitator_for, pretrain
from ppo.training.trainer import Trainer

JOBS = {
    "w = 0": [],
    "w = 1.0": ["imitation.trajectory_weight=1.0"],
    "w = 0.3": ["imitation.trajectory_weight=0.3"],
    "normalized": ["imitation.trajectory_weight=1.0", "balancing.kind=target_variance"],
    "curriculum": ["imitation.trajectory_weight=1.0", "balancing.kind=curriculum",
                   "balancing.delay=12", "balancing.ramp=25"],
    "adaptive": ["imitation.trajectory_weight=1.0", "balancing.kind=adaptive"],
    "uncertainty": ["imitation.trajectory_weight=1.0", "balancing.kind=uncertainty"],
    "running_mean": ["imitation.trajectory_weight=1.0", "balancing.kind=running_mean"],
    "gradient_norm": ["imitation.trajectory_weight=1.0", "balancing.kind=gradient_norm"],
}  # fmt: skip


def floors(config: Config) -> dict[str, float]:
    """Mean final errors of the optimal control: planned once, and recomputed in each step."""
    env = DoubleIntegrator()
    with environments_for(config, 64) as envs:
        again = record(
            envs, lambda obs: optimal_control(obs).clamp(-MAX_CONTROL, MAX_CONTROL), 512
        ).final_errors
    state = env.initial(torch.rand(4096, 4, generator=torch.Generator().manual_seed(0)))
    plan = optimal_plan(env.observe(state), NUM_STEPS)
    for control in plan.unbind(-1):
        state = env.dynamics(state, control.unsqueeze(-1))
    return {"planned_once": float(final_error(state).mean()), "every_step": float(again.mean())}


def case4(seeds: int, only: str | None = None) -> None:
    """Every job and PPO from the best of them; `only` measures one row of the table again."""
    header = ["job", "success", "final error", "return", "actions MSE", "trajectory MSE",
              "share of the loss: actions", "trajectory, first", "last"]  # fmt: skip
    base = ["imitation.unit=raw", "imitation.epochs=50", "evaluation.episodes=512", *QUIET]
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "optimal.npz"
        demonstrate(Config(), data, 1024)
        config = Config().with_overrides(base)
        rows, best = [], ("", -1.0)
        for job, overrides in JOBS.items():
            if only not in (None, job):
                continue
            found = [imitate(config, [*overrides, f"system.seed={s}"], data) for s in range(seeds)]
            mean = {k: float(np.mean([f[k] for f in found])) for k in found[0]}
            rows.append([job, f"{mean['success_rate']:.1%}", mean["final_error"],
                         mean["mean_return"], mean["actions"], mean["trajectory"],
                         f"{1 - mean['last_share']:.0%}", f"{mean['first_share']:.0%}",
                         f"{mean['last_share']:.0%}"])  # fmt: skip
            print(rows[-1], flush=True)
            if mean["success_rate"] > best[1] and job != "w = 0":
                best = (job, mean["success_rate"])
        if only is not None:
            replace_row("case4", rows[0])
            return
        untrained = imitate(config, [*JOBS["w = 1.0"], "imitation.epochs=1"], data, first=True)
        save("case4", "Case 4: errors of actions and of trajectories", header, rows, seeds=seeds,
             final_error_of_the_optimal_control=floors(config), best_balance=best[0],
             trajectory_over_action_mse_untrained=untrained)  # fmt: skip
        warm_start(config.with_overrides(JOBS[best[0]]), data, Path(folder), seeds)


def imitate(config: Config, overrides: list[str], data: Path, first: bool = False) -> Any:
    """Trains one job; both errors are measured on held-out episodes, for every job."""
    config = config.with_overrides(overrides)
    with environments_for(config, 64) as envs:
        measured = config.with_overrides([*JOBS["w = 1.0"], "balancing.kind=fixed"])
        ruler = imitator_for(measured, data, envs)
        if first:
            with torch.no_grad():
                ruler.agent.actor.weight.normal_(0.0, 0.3)
                actions, trajectory = ruler.losses(ruler.validation).tolist()
            return trajectory / actions
        imitator = imitator_for(config, data, envs)
        records = imitator.train()
        policy = Policy(imitator.agent, config, envs.observation_space, envs.action_space)
        result = assess(config, envs, policy, config.evaluation.episodes)
        actions, trajectory = held_out(ruler, imitator)
    shares = [records[i]["shares"].get("trajectory", 0.0) for i in (0, -1)]
    return {**{k: result[k] for k in ("success_rate", "final_error", "mean_return")},
            "actions": actions, "trajectory": trajectory,
            "first_share": shares[0], "last_share": shares[1]}  # fmt: skip


@torch.no_grad()
def held_out(ruler: Any, imitator: Any) -> list[float]:
    """Errors of a finished policy on the ruler's held-out episodes."""
    segments, frame = ruler.validation, imitator.frame
    ruler.agent.load_state_dict(imitator.agent.state_dict())
    ruler.agent.actor.weight.div_(frame.std.unsqueeze(-1))
    ruler.agent.actor.bias.sub_(frame.mean).div_(frame.std)
    return ruler.losses(segments).tolist()


def warm_start(config: Config, data: Path, folder: Path, seeds: int) -> None:
    """PPO from the imitated actor against PPO from scratch, at equal environment steps."""
    header = ["PPO", "steps", "return (evaluation)", "success", "final error", "return in batch 0"]
    steps, rows = 153_600, []
    for start in ("from scratch", "from imitation"):
        found = []
        for seed in range(seeds):
            settings = [f"system.seed={seed}", f"train.total_timesteps={steps}",
                        "evaluation.interval=0", "evaluation.episodes=256"]  # fmt: skip
            now = config.with_overrides([*settings, "balancing.kind=fixed"])
            if start == "from imitation":
                made = pretrain(config.with_overrides(settings[:1]), data, folder / "runs")
                now = now.with_overrides([f"train.initial_policy={made.folder.name}"])
            trainer = Trainer(now, folder / "runs")
            trainer.train()
            assert trainer.folder is not None
            first = trainer.folder.records()[0]["mean_episode_return"]
            policy = load_policy(trainer.folder.path, which="latest")
            with environments_for(now, 64) as envs:
                found.append({**assess(now, envs, policy, 256), "first": first})
        keys = ("mean_return", "success_rate", "final_error", "first")
        mean = {k: float(np.mean([f[k] for f in found])) for k in keys}
        rows.append([start, steps, mean["mean_return"], f"{mean['success_rate']:.1%}",
                     mean["final_error"], mean["first"]])  # fmt: skip
    save("case4_warm_start", "Case 4: PPO from scratch and from imitation", header, rows,
         seeds=seeds)  # fmt: skip
