"""A run of the size of a test: 8 batches, checkpoints after 3, 6 and 8, interrupted after batch 5.

What is learned in a batch depends on all batches before, so a lost or doubled one shows.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from ppo.runs import checkpoint
from ppo.runs.folder import RunFolder
from ppo.runs.metrics_file import strict_loads
from ppo.runs.names import run_names

NUM_BATCHES = 8
SAVE_AFTER = (3, 6, 8)
BEST_AFTER = (3, 6)


def learn(weights: torch.Tensor, batch: int) -> torch.Tensor:
    return weights * 1.25 + torch.arange(4, dtype=torch.float64) / (batch + 3)


def record(batch: int, weights: torch.Tensor) -> dict[str, Any]:
    loss = float(weights.sum()) / 3.0
    return {"batch": batch, "loss": loss, "kl": float("nan"), "events": [], "pad": "x" * 700}


def train(results: Path, stop_after: int = NUM_BATCHES, close: bool = True) -> None:
    """Begin or resume the run in `results`, as the trainer does."""
    if run_names(results):
        folder = RunFolder.open(results, "latest")
    else:
        folder = RunFolder.create(results, {"config.yaml": "seed: 1\n"}, room=4096)
    folder.lock()
    folder.remove_stale()
    found = checkpoint.load_latest(folder)
    checkpoint.tidy(folder, keep=2)
    done = found.batch if found else 0
    weights = found.tensors["weights"] if found else torch.zeros(4, dtype=torch.float64)
    folder.truncate(done)
    folder.write_text("config.yaml", "seed: 1\n")
    folder.set_status("running")
    for batch in range(done, stop_after):
        weights = learn(weights, batch)
        folder.append(record(batch, weights))
        folder.append_episodes([{"batch": batch, "return": batch / 3, "length": 7}] * 2)
        _save(folder, batch + 1, weights)
    if close:
        folder.set_status("finished", final=float(weights.sum()))
        folder.close()
    else:
        folder.release()


def _save(folder: RunFolder, batch: int, weights: torch.Tensor) -> None:
    if batch in SAVE_AFTER:
        best = batch in BEST_AFTER
        tensors = {"weights": weights}
        checkpoint.save(folder, batch, tensors, {"n": batch}, keep=2, best=best)


def train_with_interruption(results: Path) -> None:
    """Stop after 5 batches without a word, then resume from the checkpoint after 3."""
    train(results, stop_after=5, close=False)
    train(results)


def outcome(results: Path) -> dict[str, Any]:
    """Everything that a run leaves behind, without what names the process."""
    (run,) = run_names(results)
    folder = results / run
    files = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }
    summary = json.loads(files.pop("summary.json"))
    return {"files": files, "status": summary["status"], "final": summary["final"]}


def assert_readable(results: Path) -> None:
    """What a reader may rely on at every instant."""
    for run in run_names(results):
        folder = RunFolder.open(results, run)
        metrics = folder.path / "loss_metrics.json"
        records = strict_loads(metrics.read_bytes())["batches"] if metrics.exists() else []
        assert [entry["batch"] for entry in records] == list(range(len(records)))
        if folder.path.joinpath("summary.json").exists():
            strict_loads(folder.path.joinpath("summary.json").read_bytes())
        for path in folder.checkpoints.glob("*.safetensors"):
            if not path.name.startswith("."):
                found = checkpoint.load_file(path)
                assert found.batch <= len(records)
