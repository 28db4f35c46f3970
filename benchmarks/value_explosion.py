"""The documented explosion of the value loss and its three cures, one command.

    python benchmarks/value_explosion.py [--seeds 5] [--batches 40] [--draw-only]

Trains DoubleIntegrator-v0 with all cures off, each alone, each left out, all on, and two forms
that do harm, and writes value_explosion.{json,md,svg,png} under benchmarks/results/.
"""

from __future__ import annotations

import argparse
from typing import Any

from runs import RESULTS, ResultsFile, last, mean, say, spread, train

OFF = {
    "ppo.use_relative_value_clip": "false",
    "ppo.normalize_returns": "false",
    "ppo.value_loss_weight": "0.5",
}
CLIP = {"ppo.use_relative_value_clip": "true"}
STANDARDIZED = {"ppo.normalize_returns": "true"}
WEIGHT = {"ppo.value_loss_weight": "0.25"}
ON = {**CLIP, **STANDARDIZED, **WEIGHT}
NAIVE = {"ppo.return_normalizer": "naive_batch_zscore_without_carrying_back"}
SETTINGS: dict[str, dict[str, str]] = {
    "all cures off": OFF,
    "all cures on": {**OFF, **ON},
    "relative clip alone": {**OFF, **CLIP},
    "standardized returns alone": {**OFF, **STANDARDIZED},
    "weight 0.25 alone": {**OFF, **WEIGHT},
    "without the relative clip": {**OFF, **STANDARDIZED, **WEIGHT},
    "without standardized returns": {**OFF, **CLIP, **WEIGHT},
    "without weight 0.25": {**OFF, **CLIP, **STANDARDIZED},
    "naive per-batch z-score": {**OFF, **ON, **NAIVE},
    "all three to the letter": {
        **OFF,
        **ON,
        **NAIVE,
        "ppo.value_clip_floor": "0.0",
        "ppo.value_loss_unit": "network",
    },
}
WINDOW = 5  # batches that "first" and "last" average


def overrides(setting: str, seed: int) -> list[str]:
    return [f"{key}={value}" for key, value in SETTINGS[setting].items()] + [f"system.seed={seed}"]


def run_all(results: ResultsFile, seeds: int, batches: int) -> None:
    """Every setting for the first seed, then for the next: an early stop leaves whole seeds."""
    for seed in range(1, seeds + 1):
        for setting in SETTINGS:
            if results.has(setting=setting, seed=seed):
                continue
            records, seconds = train(overrides(setting, seed), batches)
            results.add({"setting": setting, "seed": seed, "records": records})
            end = records[-1]
            say(
                f"{setting}, seed {seed}: return {end['mean_episode_return']:.0f}, explained "
                f"variance {end['explained_variance']:.3f}, {seconds:.0f} s"
            )


def table(results: ResultsFile) -> str:
    """First and last batches of every setting as a Markdown table, means over seeds."""
    head = (
        "| setting | total loss | value loss | loss / target variance | episode return "
        "| success rate | explained variance | gradient cut |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- |\n"
    )
    return head + "".join(row(results, setting) for setting in SETTINGS)


def row(results: ResultsFile, setting: str) -> str:
    series = [run["records"] for run in results.of(setting=setting)]
    if not series:
        return ""

    def change(field: str, form: str, percent: bool = False) -> str:
        factor = 100.0 if percent else 1.0
        starts = [factor * r[0][field] for r in series if r[0][field] is not None]
        ends = [factor * last(r, field, WINDOW) for r in series]
        start = f"{mean(starts):{form}}" if starts else "-"
        return f"{start} -> {mean(ends):{form}} ± {spread(ends):{form}}"

    cells = [
        change("total_loss", ",.3g" if small(series, "total_loss") else ",.0f"),
        change("value_loss", ",.3g" if small(series, "value_loss") else ",.0f"),
        change("normalized_value_loss", ".2f"),
        change("mean_episode_return", ",.0f"),
        change("success_rate", ".0f", percent=True) + " %",
        change("explained_variance", ".2f"),
        change("grad_clip_factor", ",.1f") + " x",
    ]
    return f"| {setting} | " + " | ".join(cells) + " |\n"


def small(series: list[list[dict[str, Any]]], field: str) -> bool:
    return all(abs(record[field]) < 100 for records in series for record in records)


def write_table(results: ResultsFile) -> None:
    seeds = sorted({run["seed"] for run in results.runs})
    batches = len(results.runs[0]["records"])
    text = (
        f"# Value explosion: DoubleIntegrator-v0, {batches} batches, {len(seeds)} seeds\n\n"
        "    python benchmarks/value_explosion.py\n\n"
        f"First batch -> mean of the last {WINDOW} batches, "
        "± standard deviation over seeds. Total and\n"
        "value loss are in the unit that the critic works in (squared rewards where returns are\n"
        "not standardized), so only `loss / target variance` compares across rows: 1 is a critic\n"
        "that predicts the mean. `gradient cut` is the gradient norm over `max_grad_norm` 0.5.\n\n"
    )
    (RESULTS / "value_explosion.md").write_text(text + table(results))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=40)
    parser.add_argument("--draw-only", action="store_true", help="table and picture of saved runs")
    arguments = parser.parse_args()
    header = {"settings": SETTINGS, "batches": arguments.batches}
    results = ResultsFile(RESULTS / "value_explosion.json", header)
    if not arguments.draw_only:
        run_all(results, arguments.seeds, arguments.batches)
    write_table(results)
    from value_explosion_picture import draw

    draw(results, SETTINGS)


if __name__ == "__main__":
    main()
