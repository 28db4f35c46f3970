"""A power failure loses what was not synced; a run then resumes from a committed checkpoint."""

from __future__ import annotations

import random
import shutil

import pytest
import tiny_run
from fault_shim import Operation, Shim
from power_loss import replay

from ppo.runs import checkpoint
from ppo.runs.folder import RunFolder
from ppo.runs.metrics_file import strict_loads
from ppo.runs.names import run_names


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """The operations of a run, with a mark wherever `save` has returned: that is the promise."""
    results = tmp_path_factory.mktemp("recorded")
    save = checkpoint.save

    with Shim(results) as shim, pytest.MonkeyPatch.context() as patch:

        def marked(folder, batch, *args, **kwargs):
            path = save(folder, batch, *args, **kwargs)
            shim.operations.append(Operation("saved", str(results), (batch,)))
            return path

        patch.setattr(checkpoint, "save", marked)
        tiny_run.train_with_interruption(results)
    expected = tiny_run.outcome(results)
    return replay(shim.operations, results), shim.operations, expected


def saved_batch(operations, now: int) -> int:
    """The newest checkpoint that was promised before operation `now`."""
    return max([op.args[0] for op in operations[:now] if op.name == "saved"], default=0)


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
        if least or (folder.path / name).exists():
            content = (folder.path / name).read_bytes()
            assert content == b"seed: 1\n" if name == "config.yaml" else strict_loads(content)


def check_states(tmp_path, recorded, share: float, finish_share: float) -> int:
    recording, operations, expected = recorded
    draw = random.Random(0)
    checked = 0
    results = tmp_path / "disk"
    for now in range(1, recording.length + 1):
        least = saved_batch(operations, now)
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
