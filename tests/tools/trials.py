"""A tiny training as a command line, and what must be equal of two runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ppo.runs import checkpoint
from ppo.runs.folder import RunFolder
from ppo.runs.metrics_file import strict_loads
from ppo.runs.names import run_names

CLOCK = {"wall_time_s", "steps_per_second"}
TIMED = "env.backend: auto: a step of"  # begins an event that tells how long it takes
TINY = {
    "env.id": "DoubleIntegrator-v0", "env.num_envs": 4, "env.calibration_steps": 8,
    "ppo.num_steps": 16, "ppo.num_epochs": 2, "ppo.num_minibatches": 2,
    "network.hidden_sizes": "[8]", "train.checkpoint_interval": 3, "train.grace_seconds": 0,
    "evaluation.interval": 4, "evaluation.episodes": 2, "system.compile": "never",
    "system.device": "cpu", "logging.tensorboard": "false",
}  # fmt: skip
STEPS_PER_BATCH = 64


def settings(batches: int, **more: Any) -> list[str]:
    """KEY=VALUE of a tiny run; `env__id` stands for `env.id`."""
    values = TINY | {"train.total_timesteps": STEPS_PER_BATCH * batches}
    values |= {key.replace("__", "."): value for key, value in more.items()}
    return [f"{key}={value}" for key, value in values.items()]


def command(results: Path, batches: int, *words: str, **more: Any) -> list[str]:
    """`--mode train` of a tiny run."""
    sets = [word for item in settings(batches, **more) for word in ("--set", item)]
    return ["--mode", "train", "--quiet", "--results", str(results), *words, *sets]


def resuming(results: Path, batches: int, **more: Any) -> list[str]:
    """The one command of a job that is queued again and again."""
    return command(results, batches, "--resume", "latest", **more)


def result(results: Path) -> dict[str, Any]:
    """All that must be equal: records, evaluations, and the tensors of the last checkpoint."""
    assert run_names(results) == ["run0001"]
    folder = RunFolder.open(results, "run0001")
    records = strict_loads((folder.path / "loss_metrics.json").read_bytes())["batches"]
    for record in records:
        record["events"] = [event for event in record["events"] if not event.startswith(TIMED)]
    found = checkpoint.load_latest(folder)
    assert found is not None and found.batch == len(records)
    return {
        "records": [{k: v for k, v in r.items() if k not in CLOCK} for r in records],
        "tensors": found.tensors,
        "best": found.meta["best"],
        "evaluations": folder.read_json("evaluations.json"),
        "episodes": folder.episodes(),
        "status": folder.status(),
    }


def assert_same(got: dict[str, Any], want: dict[str, Any]) -> None:
    """Bit for bit."""
    for a, b in zip(got["records"], want["records"], strict=True):
        assert a == b, {k: (a[k], b[k]) for k in b if a.get(k) != b[k]}
    assert got["tensors"].keys() == want["tensors"].keys()
    for name, tensor in want["tensors"].items():
        assert torch.equal(got["tensors"][name], tensor), name
    for key in ("best", "evaluations", "episodes", "status"):
        assert got[key] == want[key], key


def assert_readable(results: Path) -> int:
    """What a reader may rely on at every instant; how many records there are."""
    count = 0
    for run in run_names(results):
        metrics = results / run / "loss_metrics.json"
        if metrics.exists():
            records = strict_loads(metrics.read_bytes())["batches"]
            assert [record["batch"] for record in records] == list(range(len(records)))
            count = len(records)
        for path in (results / run / "checkpoints").glob("*.safetensors"):
            if not path.name.startswith("."):
                checkpoint.load_file(path)
    return count
