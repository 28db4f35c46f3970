"""Several losses on one encoder: each documented failure first, then its cures, as one table.

    python benchmarks/several_losses.py case2        data raw and normalized
    python benchmarks/several_losses.py case3        a wide head beside a small one
    python benchmarks/several_losses.py case4        errors of actions and of trajectories
    python benchmarks/several_losses.py case5        learning rate x input normalization
    python benchmarks/several_losses.py components   reward components of three sizes
    python benchmarks/several_losses.py all

Results go to benchmarks/results/several_<case>.json and .md. About 20 minutes in all on one core.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from runs import FIXED
from torch import Tensor, nn

from ppo.config import Config
from ppo.core.errors import Diverged
from ppo.envs.make import make_environments
from ppo.envs.native.double_integrator import (
    DoubleIntegrator,
    final_error,
    optimal_control,
    optimal_plan,
)
from ppo.envs.tasks.double_integrator import MAX_CONTROL, NUM_STEPS
from ppo.losses import balancers
from ppo.policies.demonstrate import demonstrate, record
from ppo.policies.policy import Policy, load_policy
from ppo.policies.pretrain import assess, environments_for, imitator_for, pretrain
from ppo.training.trainer import Trainer

RESULTS = Path(__file__).parent / "results"
CPU = torch.device("cpu")
QUIET = ["logging.tensorboard=false", "logging.episodes=false", "logging.doctor=false"]


def save(case: str, title: str, header: list[str], rows: list[list[Any]], **facts: Any) -> None:
    """Writes several_<case>.json and .md, and prints the table."""
    RESULTS.mkdir(exist_ok=True)
    content = {"title": title, "header": header, "rows": rows, "torch": torch.__version__, **facts}
    path = RESULTS / f"several_{case}.json"
    path.write_text(json.dumps(content, indent=1) + "\n")
    lines = [f"# {title}", "", f"`python benchmarks/several_losses.py {case}`", ""]
    lines += ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(shown(cell) for cell in row) + " |" for row in rows]
    notes = [f"{name.replace('_', ' ')}: {shown(fact)}  " for name, fact in facts.items()]
    lines += ["", *notes]
    path.with_suffix(".md").write_text("\n".join(lines).rstrip() + "\n")
    print("\n".join(lines), flush=True)


def replace_row(case: str, row: list[Any]) -> None:
    """Replaces a row of the saved table by a new measurement."""
    content = json.loads((RESULTS / f"several_{case}.json").read_text())
    rows = [row if old[0] == row[0] else old for old in content.pop("rows")]
    del content["torch"]
    save(case, content.pop("title"), content.pop("header"), rows, **content)


def shown(cell: Any) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, dict):
        return ", ".join(f"{name.replace('_', ' ')} {shown(part)}" for name, part in cell.items())
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 1000 else f"{cell:.4g}"
    return str(cell)


def mlp(inputs: int, outputs: int, width: int = 64) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(),
        nn.Linear(width, outputs),
    )  # fmt: skip


# ---- case 2


def regression_data(seed: int) -> tuple[Tensor, Tensor]:
    """States of the double integrator and their optimal control, without bounds.

    With little time left the control grows as 1 / T^2: tails as heavy as in the original report.
    """
    source = torch.Generator().manual_seed(seed)
    size = 20_000
    bounds = torch.tensor([10.0, 5.0, 17.0, 6.0])
    states = (torch.rand(size, 4, generator=source) * 2 - 1) * bounds
    left = torch.rand(size, 1, generator=source) * (NUM_STEPS - 1) * 0.33 + 0.33
    obs = torch.cat([states, left], 1)
    return obs, optimal_control(obs)


def fit(obs: Tensor, targets: Tensor, seed: int, epochs: int = 20) -> dict[str, float]:
    """An ordinary regression with gradients cut at norm 1; figures of its last epoch."""
    torch.manual_seed(seed)
    net = mlp(obs.shape[1], 1)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    rows: list[tuple[float, float, float]] = []
    first = 0.0
    for _ in range(epochs):
        rows = []
        for index in torch.randperm(len(obs)).split(256):
            errors = (net(obs[index]) - targets[index]).square()
            loss = errors.mean()
            optimizer.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            rows.append((loss.item(), norm.item(), errors.max().item()))
        first = first or float(np.mean([row[0] for row in rows]))
    losses, norms, largest = np.array(rows).T
    return {
        "first": first,
        "loss": float(losses.mean()),
        "cut": float(norms.mean()),
        "largest": float(largest.max()),
        "cut_share": float((norms > 1.0).mean()),
    }


def case2(seeds: int) -> None:
    header = ["data", "first loss", "last loss", "in variances", "target std", "target range",
              "largest sample loss", "gradients cut (times)", "minibatches cut"]  # fmt: skip
    rows, cuts = [], []
    for name in ("raw", "normalized"):
        found = []
        for seed in range(seeds):
            obs, targets = regression_data(seed)
            if name == "normalized":
                obs, targets = ((x - x.mean(0)) / x.std(0) for x in (obs, targets))
            found.append(fit(obs, targets, seed))
        mean = {key: float(np.mean([f[key] for f in found])) for key in found[0]}
        variance = float(targets.var())
        reach = f"{float(targets.min()):.4g} .. {float(targets.max()):.4g}"
        rows.append([name, mean["first"], mean["loss"], mean["loss"] / variance, variance**0.5,
                     reach, mean["largest"], mean["cut"], mean["cut_share"]])  # fmt: skip
        cuts.append(mean["cut"])
    save("case2", "Case 2: the same data raw and normalized", header, rows,
         seeds=seeds, gradient_cut_falls_by_a_factor_of=cuts[0] / cuts[1])  # fmt: skip


# ---- case 3

WIDE, SMALL = 105, 2


def two_heads(kind: str, seed: int, epochs: int = 20) -> list[list[float]]:
    """A head of 2 large targets and one of 105 small ones on one encoder; losses by epoch."""
    torch.manual_seed(seed)
    x = torch.randn(2048, 20)
    hidden = torch.tanh(x @ torch.randn(20, 24) * 1.5 / math.sqrt(20))
    wide = hidden @ torch.randn(24, WIDE) * 6.5 / math.sqrt(24)
    hidden = torch.tanh(x @ torch.randn(20, 8) * 1.5 / math.sqrt(20))
    small = hidden @ torch.randn(8, SMALL) * 40.0 / math.sqrt(8)
    encoder = nn.Sequential(nn.Linear(20, 64), nn.Tanh(), nn.Linear(64, 32), nn.Tanh())
    heads = nn.ModuleList([nn.Linear(32, SMALL), nn.Linear(32, WIDE)])
    balancer = balancers.REGISTRY.get(kind)(["small", "wide"], [1.0, 1.0], [SMALL, WIDE])
    network = [*encoder.parameters(), *heads.parameters()]
    groups = [{"params": network}, {"params": list(balancer.parameters()), "lr": 1e-2}]
    optimizer = torch.optim.Adam(groups, lr=1e-3)
    variances = torch.stack([small.var(0).mean(), wide.var(0).mean()])
    history = []
    for epoch in range(epochs):
        rows = []
        for index in torch.randperm(2048).split(64):
            features = encoder(x[index])
            losses = torch.stack(
                [(head(features) - y[index]).square().mean()
                 for head, y in zip(heads, (small, wide), strict=True)]
            )  # fmt: skip
            if balancer.reads_gradients and not rows:
                norms = [
                    torch.cat([g.flatten() for g in torch.autograd.grad(
                        loss, list(encoder.parameters()), retain_graph=True)]).norm()
                    for loss in losses
                ]  # fmt: skip
                balancer.observe_gradients(torch.stack(norms))
            total, _ = balancer(losses)
            optimizer.zero_grad()
            total.backward()
            nn.utils.clip_grad_norm_(network, 1.0)
            optimizer.step()
            rows.append(losses.detach())
        mean = torch.stack(rows).mean(0)
        balancer.observe(mean, variances, float(epoch + 1))
        history.append(mean.tolist())
    return history


def case3(seeds: int) -> None:
    header = ["balancing", "small head: first", "last", "improves", "wide head: first", "epoch 5",
              "last", "improves"]  # fmt: skip
    rows = []
    kinds = ["fixed", "uncertainty", "running_mean", "running_mean_uncorrected",
             "batch_statistics", "target_variance", "gradient_norm"]  # fmt: skip
    for kind in kinds:
        runs = np.array([two_heads(kind, seed) for seed in range(seeds)])  # [seeds, epochs, 2]
        gains = 1.0 - runs[:, -1] / runs[:, 0]
        mean = runs.mean(0)
        text = [f"{g.mean():.0%} ({g.min():.0%} .. {g.max():.0%})" for g in gains.T]
        rows.append([kind, float(mean[0, 0]), float(mean[-1, 0]), text[0],
                     *(float(mean[i, 1]) for i in (0, 4, -1)), text[1]])  # fmt: skip
    save("case3", f"Case 3: a head of {SMALL} outputs beside one of {WIDE}", header, rows,
         seeds=seeds, note="improves: mean over seeds, and the least and largest")  # fmt: skip


# ---- case 4

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
    assert again is not None
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


# ---- case 5


def trained(overrides: list[str], episodes: int) -> dict[str, Any] | None:
    """Trains and evaluates; None where training diverged."""
    config = Config().with_overrides([*FIXED, *QUIET, "evaluation.interval=0", *overrides])
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(config, folder)
        try:
            trainer.train()
        except Diverged:
            return None
        assert trainer.folder is not None
        records = trainer.folder.records()
        policy = load_policy(trainer.folder.path, which="latest")
        envs = make_environments(config.env, run_seed=977, device=CPU, num_envs=16)
        with envs:
            return {**assess(config, envs, policy, episodes), "records": records}


def case5(seeds: int) -> None:
    rates = ["1e-5", "1e-4", "3e-4", "1e-3", "3e-3"]
    variants = {
        "raw": ["env.normalize_observations=false"],
        "normalized": [],
        "symlog, then normalized": ["env.squash_observations=symlog"],
    }
    base = ["env.id=RawInputs-v0", "env.num_envs=16", "ppo.num_steps=64", "ppo.num_minibatches=4",
            "train.total_timesteps=30720", "env.calibration_steps=32",
            "network.activation=relu"]  # tanh would saturate and hide the sizes  # fmt: skip
    rows = []
    for name, overrides in variants.items():
        cells: list[Any] = [name]
        for rate in rates:
            found = [
                trained([*base, *overrides, f"ppo.learning_rate={rate}", f"system.seed={s}"], 32)
                for s in range(seeds)
            ]
            returns = [f["mean_return"] for f in found if f]
            failed = f" ({len(found) - len(returns)} diverged)" if len(returns) < len(found) else ""
            cells.append(f"{np.mean(returns):.0f}{failed}" if returns else "diverged")
            print(name, rate, cells[-1], flush=True)
        rows.append(cells)
    save("case5", "Case 5: mean return by learning rate and normalization of inputs",
         ["inputs", *rates], rows, seeds=seeds, largest_raw_input=largest_input(),
         environment_steps=30720, best_possible=500)  # fmt: skip


def largest_input() -> float:
    """The largest raw observation that random actions meet."""
    config = Config().with_overrides(["env.id=RawInputs-v0"]).env
    source, found = torch.Generator().manual_seed(0), 0.0
    with make_environments(config, run_seed=0, device=CPU, num_envs=16) as envs:
        envs.reset()
        for _ in range(500):
            step = envs.step(torch.randint(0, 2, (16,), generator=source))
            found = max(found, float(step.final_obs.abs().max()))
    return found


# ---- three components


def components(seeds: int) -> None:
    header = ["scales", "mixing", "success", "final error", "explained variance: terminal",
              "progress", "control effort"]  # fmt: skip
    rows = []
    base = ["env.id=ThreeScales-v0", "env.backend=torch"]
    for scales in ("[1, 1, 1]", "[1, 1.0e+3, 1.0e+6]"):
        for mixing in ("sum", "normalized"):
            found = []
            for seed in range(seeds):
                run = trained([*base, f"env.kwargs={{scales: {scales}}}", f"system.seed={seed}",
                               f"ppo.component_mixing={mixing}"], 256)  # fmt: skip
                assert run is not None
                last = run["records"][-5:]
                evs = [np.mean([r["components"][name]["explained_variance"] for r in last])
                       for name in ("terminal", "progress", "control_effort")]  # fmt: skip
                found.append([run["success_rate"], run["final_error"], *evs])
            mean = np.array(found, float).mean(0)
            rows.append([scales, mixing, f"{mean[0]:.1%}", *map(float, mean[1:])])
            print(rows[-1], flush=True)
    save("components", "Reward components of three sizes", header, rows, seeds=seeds,
         environment_steps=600_000,
         explained_variance="mean over the last five batches and the seeds")  # fmt: skip


CASES = {"case2": (case2, 3), "case3": (case3, 5), "case4": (case4, 3), "case5": (case5, 3),
         "components": (components, 2)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("case", choices=[*CASES, "all"])
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--job", choices=list(JOBS), help="case4: measure this row again")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.job is not None:
        case4(args.seeds or CASES["case4"][1], args.job)
        return
    for name, (run, seeds) in CASES.items():
        if args.case in (name, "all"):
            begin = time.perf_counter()
            run(args.seeds or seeds)
            print(f"{name}: {time.perf_counter() - begin:.0f} s\n", flush=True)


if __name__ == "__main__":
    main()
