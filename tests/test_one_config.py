"""The table of benchmarks/one_config.py, which its records make."""

import importlib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_a_seed_without_a_figure_is_counted_and_ends_nothing(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    module = importlib.import_module("one_config_table")
    game = {"column": "ours", "task": "ALE/Pong-v5", "steps": 1000, "cpu_s": 1}
    runs = [
        {**game, "seed": seed, "evaluation": value, "verdict": "healthy", "findings": []}
        for seed, value in enumerate([10.0, 20.0, None])
    ]

    def table(runs):
        return module.table(runs, {"ALE/Pong-v5": ""}, ["ours", "default", "zoo"])

    found = table(runs)
    assert "| 15.00 [10.00, 20.00] x2 of 3 |" in found
    assert "| x0 of 3 |" in table([{**run, "evaluation": None} for run in runs])
    assert "| 20.00 x1 |" in table(runs[1:2])
