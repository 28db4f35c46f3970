"""Learning with each value setting on four environments: the table behind the defaults.

    python benchmarks/value_tables.py [--seeds 3] [--table-only]

Each row changes one setting of the shipped configuration. Budgets are short on purpose: the
table compares the speed of learning. Writes value_tables.{json,md} under benchmarks/results/.
"""

from __future__ import annotations

import argparse

from runs import RESULTS, ResultsFile, last, mean, say, spread, train

VARIANTS: dict[str, list[str]] = {
    "shipped": [],
    "value_loss_unit network, return_scale 10": ["ppo.value_loss_unit=network"],
    "value_loss_unit network, return_scale 1": [
        "ppo.value_loss_unit=network",
        "ppo.return_scale=1.0",
    ],
    "value_clip none": ["ppo.value_clip=none"],
    "value_clip sigma": ["ppo.value_clip=sigma"],
    "return_normalizer running": ["ppo.return_normalizer=running"],
    "return_normalizer batch": ["ppo.return_normalizer=batch"],
    "normalize_returns false, value_clip none": [
        "ppo.normalize_returns=false",
        "ppo.value_clip=none",
    ],
    "value_loss huber": ["ppo.value_loss=huber"],
    "value_loss hl_gauss": ["ppo.value_loss=hl_gauss"],
    "value_loss_weight 1.0": ["ppo.value_loss_weight=1.0"],
}
# Batches, then the settings that fit the environment to a short budget.
ENVIRONMENTS: dict[str, tuple[int, list[str]]] = {
    "DoubleIntegrator-v0": (30, ["env.num_envs=64", "ppo.num_minibatches=8"]),
    "CartPole-v1": (
        30,
        ["env.backend=torch", "env.num_envs=16", "ppo.num_steps=64", "ppo.num_minibatches=4"],
    ),
    "Pendulum-v1": (
        30,
        [
            "env.backend=torch",
            "env.num_envs=16",
            "ppo.num_steps=128",
            "ppo.num_minibatches=8",
            "ppo.num_epochs=6",
            "ppo.gamma=0.9",
        ],
    ),
    "Acrobot-v1": (
        20,
        [
            "env.backend=sync",
            "env.num_envs=8",
            "ppo.num_steps=128",
            "ppo.num_minibatches=4",
            "ppo.entropy_coefficient=0.01",
        ],
    ),
}
WINDOW = 5


def run_all(results: ResultsFile, seeds: int) -> None:
    """All variants of an environment for one seed before the next seed."""
    for seed in range(1, seeds + 1):
        for env_id, (batches, fitted) in ENVIRONMENTS.items():
            for name, changed in VARIANTS.items():
                if results.has(env=env_id, setting=name, seed=seed):
                    continue
                chosen = [f"env.id={env_id}", *fitted, *changed, f"system.seed={seed}"]
                records, seconds = train(chosen, batches)
                run = {"env": env_id, "setting": name, "seed": seed, "seconds": round(seconds, 1)}
                for field in ("mean_episode_return", "explained_variance", "grad_clip_factor"):
                    run[field] = last(records, field, WINDOW)
                results.add(run)
                say(f"{env_id}, {name}, seed {seed}: {run['mean_episode_return']:.4g}")


def table(results: ResultsFile) -> str:
    """Return and explained variance of every variant on every environment."""
    head = "| setting | " + " | ".join(ENVIRONMENTS) + " |\n"
    head += "| --- |" + " --- |" * len(ENVIRONMENTS) + "\n"
    rows = []
    for name in VARIANTS:
        cells = [cell(results, env_id, name) for env_id in ENVIRONMENTS]
        rows.append(f"| {name} | " + " | ".join(cells) + " |\n")
    return head + "".join(rows)


def cell(results: ResultsFile, env_id: str, name: str) -> str:
    runs = results.of(env=env_id, setting=name)
    if not runs:
        return ""
    returns = [run["mean_episode_return"] for run in runs]
    explained = mean(run["explained_variance"] for run in runs)
    return f"{mean(returns):,.0f} ± {spread(returns):,.0f} ({explained:.2f})"


def write_table(results: ResultsFile) -> None:
    seeds = len({run["seed"] for run in results.runs})
    text = (
        f"# Value settings on four environments, {seeds} seeds\n\n"
        "    python benchmarks/value_tables.py\n\n"
        f"Mean episode return of the last {WINDOW} batches ± standard deviation over seeds, "
        "and in brackets the explained variance.\n"
        "Each row changes one setting of the shipped configuration; "
        "budgets are short (15,000 to 115,000 steps).\n\n"
    )
    (RESULTS / "value_tables.md").write_text(text + table(results))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--table-only", action="store_true")
    arguments = parser.parse_args()
    environments = {name: [n, *chosen] for name, (n, chosen) in ENVIRONMENTS.items()}
    header = {"variants": VARIANTS, "environments": environments}
    results = ResultsFile(RESULTS / "value_tables.json", header)
    if not arguments.table_only:
        run_all(results, arguments.seeds)
    write_table(results)


if __name__ == "__main__":
    main()
