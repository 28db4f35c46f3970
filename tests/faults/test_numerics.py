"""What is not a number: kept out of batches, skipped, rolled back, and at last told and stopped."""

from __future__ import annotations

import math

import pytest
import torch
from trials import assert_same, command, result, resuming, settings

from ppo import Config, Trainer
from ppo.algorithm.learner import ROLLBACK_BATCHES
from ppo.core.errors import Diverged, EnvironmentFault
from ppo.envs import episode_seed
from ppo.runs.folder import RunFolder
from ppo.runs.metrics_file import strict_loads


def sick(fault, at=3, first=1, **more):
    """Settings of environments of which number 1 misbehaves in its second episode."""
    seed = episode_seed(1, 1, first)
    return {
        "env__id": "sick_env:Sick-v0",
        "env__kwargs": f"{{fault: {fault}, at: {at}, seeds: [{seed}]}}",
        "env__backend": "sync",
        "env__calibration_steps": 0,
        **more,
    }


def make(results, batches=4, resume=None, **more):
    return Trainer(Config.from_dict({}, settings(batches, **more)), results, resume=resume)


def events(results):
    folder = RunFolder.open(results, "latest")
    return [event for record in folder.records() for event in record["events"]]


@pytest.mark.parametrize("fault", ["nan_obs", "inf_obs", "nan_reward"])
def test_what_is_not_finite_never_enters_a_batch(zygote, tmp_path, fault):
    more = sick(fault, at=3, first=4)  # in the second batch
    status, errors = zygote.run(command(tmp_path, 4, **more))
    assert status == 1
    lines = [line for line in errors.splitlines() if line.startswith("error:")]
    assert len(lines) == 1 and "Traceback" not in errors
    seed = more["env__kwargs"].split("[")[1].rstrip("]}")
    assert f"environment 1 (Sick-v0), step 3 of episode 4 (seed {seed})" in lines[0]
    assert "not finite" in lines[0] and "env.on_nonfinite: reset" in lines[0]
    folder = RunFolder.open(tmp_path, "latest")
    assert folder.status() == "failed" and len(folder.records()) == 1
    mended = resuming(tmp_path, 4, **more, env__on_nonfinite="reset")
    status, errors = zygote.run(mended)
    assert status == 0, errors
    assert [e for e in events(tmp_path) if "not finite" in e and "the episode was cut" in e]
    whole = tmp_path / "whole"
    assert zygote.run(command(whole, 4, **more, env__on_nonfinite="reset"))[0] == 0
    found = result(tmp_path)
    told = found["records"][1]["events"]
    assert told.pop(0) == "resumed with env.on_nonfinite stop -> reset"
    assert_same(found, result(whole))


def poison(trainer, monkeypatch, *steps):
    """NaN in the advantages of the gradient steps with these numbers, counted over the run."""
    update, original, count = (
        trainer.learner.update,
        trainer.learner.update._step,
        iter(range(10**9)),
    )

    def step(batch, index, knobs):
        if next(count) in steps:
            batch = batch._replace(advantages=batch.advantages * math.nan)
        return original(batch, index, knobs)

    monkeypatch.setattr(update, "_step", step)


def test_a_skipped_minibatch_is_as_if_it_had_been_left_out(tmp_path, monkeypatch):
    """Parameters and moments of Adam equal those of a run without that one gradient step."""
    poisoned, left_out = (make(tmp_path / name, 1) for name in "ab")
    poison(poisoned, monkeypatch, 2)
    update, original, count = left_out.learner.update, left_out.learner.update._step, iter(range(9))

    def step(batch, index, knobs):
        adam = left_out.learner.optimizer
        kept = [(t, t.clone()) for t in (adam.flat.theta, *adam.state_dict().values())]
        row = original(batch, index, knobs)
        if next(count) == 2:
            with torch.no_grad():
                for tensor, copy in kept:
                    tensor.copy_(copy)
        return row

    monkeypatch.setattr(update, "_step", step)
    for trainer in (poisoned, left_out):
        trainer.train()
    assert torch.equal(*(t.learner.optimizer.flat.theta for t in (poisoned, left_out)))
    assert any("1 minibatches skipped: gradient not finite" in e for e in events(tmp_path / "a"))


def test_a_rollback_halves_the_learning_rate_and_is_told(tmp_path, monkeypatch):
    """Steps 4 to 7 are the second batch; its second try is healthy."""
    trainer = make(tmp_path)
    poison(trainer, monkeypatch, 4, 5, 6, 7)
    trainer.train()
    records = RunFolder.open(tmp_path, "latest").records()
    rates = [record["learning_rate"] for record in records]
    assert rates[1:] == [rates[0] / 2] * 2, "the steps of the first try count too"
    assert trainer.learner.counters["rollbacks"] == 1
    assert trainer.learner.counters["slow_until"] == 1 + ROLLBACK_BATCHES
    (told,) = [e for e in events(tmp_path) if "rolled back" in e]
    assert "more than half of the gradients are not finite" in told
    assert "learning rate times 0.5 for 10 batches" in told
    assert told in records[1]["events"]
    assert all(math.isfinite(record["total_loss"]) for record in records)


@pytest.mark.parametrize("bad", [2, 3])
def test_more_than_half_of_the_gradients_must_be_bad(tmp_path, monkeypatch, bad):
    trainer = make(tmp_path, 2)
    poison(trainer, monkeypatch, *range(4, 4 + bad))
    trainer.train()
    assert trainer.learner.counters["rollbacks"] == (1 if bad > 2 else 0)


def test_a_halved_rate_lasts_for_ten_batches(tmp_path):
    learner = make(tmp_path).learner
    learner.counters.update(batch=5, rollbacks=2, slow_until=5 + ROLLBACK_BATCHES)
    assert learner.knobs()[1]["learning_rate"] == learner.config.ppo.learning_rate / 4
    learner.counters.update(rollbacks=1)
    rate = learner.config.ppo.learning_rate
    assert ROLLBACK_BATCHES == 10
    for batch, share in ((5, 0.5), (14, 0.5), (15, 1.0)):
        learner.counters["batch"] = batch
        assert learner.knobs()[1]["learning_rate"] == pytest.approx(share * rate)


def test_a_divergence_that_is_not_a_number_does_not_end_the_update_unseen(tmp_path, monkeypatch):
    """It comes from a NaN among the observations of a simulator, which nobody checks."""
    trainer = make(tmp_path, 3, ppo__target_kl=0.02)
    update, whole, count = trainer.learner.update, trainer.learner.update._gradient, iter(range(99))

    def gradient(theta, minibatch, knobs):
        found = next(count)
        if 4 <= found < 8:
            minibatch = minibatch.but(obs=minibatch.obs * math.nan)
        return whole(theta, minibatch, knobs)

    monkeypatch.setattr(update, "_gradient", gradient)
    trainer.train()
    assert trainer.learner.counters["rollbacks"] == 1
    assert all(
        math.isfinite(r["policy_loss"]) for r in RunFolder.open(tmp_path, "latest").records()
    )


def test_what_was_rolled_back_was_played_and_took_its_time_once(tmp_path, monkeypatch):
    trainer = make(tmp_path, 2)
    poison(trainer, monkeypatch, 4, 5, 6, 7)
    trainer.train()
    folder = RunFolder.open(tmp_path, "latest")
    first, second = folder.records()
    rows = (folder.path / "episodes.csv").read_text().splitlines()[1:]
    assert second["episodes"] == len(rows) > 2 * first["episodes"]
    assert second["env_steps"] == 3 * first["env_steps"]
    spent = second["wall_time_s"] - first["wall_time_s"]
    made = second["env_steps"] - first["env_steps"]
    assert second["steps_per_second"] == pytest.approx(made / spent)


def test_a_parameter_that_is_not_a_number_is_rolled_back(tmp_path, monkeypatch):
    trainer = make(tmp_path)
    update, original, count = trainer.learner.update, trainer.learner.update._step, iter(range(99))

    def step(batch, index, knobs):
        row = original(batch, index, knobs)
        if next(count) == 7:
            with torch.no_grad():
                trainer.learner.optimizer.flat.theta.fill_(math.nan)
        return row

    monkeypatch.setattr(update, "_step", step)
    trainer.train()
    assert any("a parameter is not finite: rolled back" in e for e in events(tmp_path))
    assert torch.isfinite(trainer.learner.optimizer.flat.theta).all()


def test_the_fourth_rollback_stops_with_a_diagnosis(tmp_path, monkeypatch):
    trainer = make(tmp_path)
    poison(trainer, monkeypatch, *range(4, 1000))
    with pytest.raises(Diverged) as caught:
        trainer.train()
    assert trainer.exit_status == Diverged.exit_status == 4
    assert "batch 1: more than half of the gradients" in str(caught.value)
    assert f"--mode diagnose {tmp_path}/run0001" in str(caught.value), "to be typed as it is"
    folder = RunFolder.open(tmp_path, "run0001")
    summary = strict_loads((folder.path / "summary.json").read_bytes())
    assert summary["status"] == "failed" and summary["exit_status"] == 4
    assert "3 rollbacks did not help" in summary["reason"]
    assert len(folder.records()) == 1
    healthy = make(tmp_path, resume="latest")
    assert healthy._load() and healthy.learner.counters["batch"] == 1
    healthy.train()
    make(tmp_path / "whole").train()
    assert_same(result(tmp_path), result(tmp_path / "whole"))


def test_a_run_that_rolled_back_resumes_exactly(tmp_path, monkeypatch):
    whole, first = make(tmp_path / "a"), make(tmp_path / "b")
    for trainer in (whole, first):
        poison(trainer, monkeypatch, 4, 5, 6, 7)
    whole.train()
    first.train(batches=2)
    make(tmp_path / "b", resume="latest").train()
    got, want = (RunFolder.open(tmp_path / name, "latest").records() for name in "ab")
    assert [r["learning_rate"] for r in got] == [r["learning_rate"] for r in want]
    assert_same(result(tmp_path / "b") | {"evaluations": 0, "best": 0},
                result(tmp_path / "a") | {"evaluations": 0, "best": 0})  # fmt: skip


@pytest.mark.parametrize("size", ["1e30", "1e37"])
def test_enormous_rewards_leave_finite_parameters_or_stop(zygote, tmp_path, size):
    more = {"env__reward_scale": size, "env__id": "Pendulum-v1"}
    status, errors = zygote.run(command(tmp_path, 3, **more))
    assert status in (0, 1, 4) and "Traceback" not in errors, errors
    result_ok = RunFolder.open(tmp_path, "latest").records()
    assert status != 0 or len(result_ok) == 3


def test_a_fault_of_an_environment_saves_the_start_of_its_batch(tmp_path):
    trainer = make(tmp_path, **sick("raise", first=4))
    with pytest.raises(EnvironmentFault, match=r"environment 1 .*env.on_error: restart"):
        trainer.train()
    assert list(tmp_path.glob("run0001/checkpoints/batch_000001-*"))
