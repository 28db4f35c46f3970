"""A power failure loses what was not synced; a run then resumes from a committed checkpoint."""

from __future__ import annotations

import random
import shutil
from functools import partial

import pytest
import tiny_run
from fault_shim import Shim, record_operations
from power_loss import replay

from ppo import checkpoint
from ppo.metrics_log import strict_loads
from ppo.run_folder import RunFolder, run_names


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    results = tmp_path_factory.mktemp("recorded")
    operations = record_operations(results, partial(tiny_run.train_with_interruption, results))
    expected = tiny_run.outcome(results)
    return replay(operations, results), operations, expected


def committed_batch(operations, now: int) -> int:
    """The newest checkpoint whose name was on the disk for certain before operation `now`."""
    committed = pending = 0
    for operation in operations[:now]:
        if operation.name == "replace" and "/batch_" in operation.args[0].as_posix():
            pending = int(operation.args[0].name[6:12])
        if operation.name == "fsync" and operation.path.endswith("/checkpoints"):
            committed = pending
    return committed


def check(results, least: int, expected) -> None:
    """No committed batch is lost, no torn content is taken for whole."""
    runs = run_names(results)
    assert runs or least == 0
    if not runs:
        return
    folder = RunFolder.open(results, runs[0])
    found = checkpoint.load_latest(folder)
    assert (found.batch if found else 0) >= least
    assert not (found and found.rejected), "a torn file had a finished name"
    records = folder.records()
    reference = strict_loads(expected["files"]["loss_metrics.json"])["batches"]
    assert records == reference[: len(records)]
    assert len(records) >= (found.batch if found else 0), "the checkpoint counts a lost record"
    best = checkpoint.load_best(folder)
    assert not (best and best.rejected)
    for name in ("summary.json", "config.yaml"):
        if (folder.path / name).exists():
            content = (folder.path / name).read_bytes()
            assert content == b"seed: 1\n" if name == "config.yaml" else strict_loads(content)


def check_states(tmp_path, recorded, share: float, finish_share: float) -> int:
    recording, operations, expected = recorded
    draw = random.Random(0)
    checked = 0
    results = tmp_path / "disk"
    for now in range(1, recording.length + 1):
        least = committed_batch(operations, now)
        for lag, fates in recording.states(now):
            if draw.random() > share:
                continue
            recording.build(results, now, lag, fates)
            check(results, least, expected)
            if draw.random() < finish_share:
                with Shim(results):
                    tiny_run.train(results)
                assert tiny_run.outcome(results) == expected
            shutil.rmtree(results)
            checked += 1
    return checked


def test_a_power_failure_loses_no_committed_batch(tmp_path, recorded):
    assert check_states(tmp_path, recorded, share=0.05, finish_share=0.1) >= 500


@pytest.mark.slow
def test_no_power_failure_loses_a_committed_batch(tmp_path, recorded):
    assert check_states(tmp_path, recorded, share=1.0, finish_share=0.2) >= 2000
