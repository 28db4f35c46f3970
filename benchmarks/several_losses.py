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
import math
import tempfile
import time
from typing import Any

import numpy as np
import torch
from imitation_losses import JOBS, case4
from runs import FIXED
from several_tables import QUIET, save
from torch import Tensor, nn

from ppo.config import Config
from ppo.core.errors import Diverged
from ppo.envs.make import make_environments
from ppo.envs.native.double_integrator import optimal_control
from ppo.envs.tasks.double_integrator import NUM_STEPS
from ppo.losses import balancers
from ppo.policies.policy import load_policy
from ppo.policies.pretrain import assess
from ppo.training.trainer import Trainer

CPU = torch.device("cpu")


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
        "in_variances": float(losses.mean() / targets.var()),
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
        reach = f"{float(targets.min()):.4g} .. {float(targets.max()):.4g}"
        rows.append([name, mean["first"], mean["loss"], mean["in_variances"], float(targets.std()),
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
