"""One doctor: during training, in the end block, in summary.json and in `--mode diagnose`."""

from __future__ import annotations

import io
import json
import shutil

import pytest
from insight_runs import healthy
from learner_tools import settings

from ppo import Callback, Config, StopAtFatalFinding, Trainer
from ppo.cli import main
from ppo.cli.console import Console
from ppo.core.errors import UserError
from ppo.insight.doctor import Watch
from ppo.insight.logs import read_settings
from ppo.insight.logs.own import flatten

LONG = 40


def config(**more) -> Config:
    return settings("Pendulum-v1", train__total_timesteps=64 * 1000, train__checkpoint_interval=5,
                    evaluation__interval=0, ppo__num_epochs=10, **more)  # fmt: skip


def late(start: int, **changes) -> list[dict]:
    records = healthy(LONG)
    for record in records[start:]:
        record |= changes
    return records


RUNS = {
    "healthy": healthy(LONG),
    "ill": late(10, approx_kl=0.8, clip_fraction=0.6, approx_kl_last_epoch=0.9),
    "fatal": late(25, total_loss=None, policy_loss=None, skipped_minibatches=8),
    "short": healthy(LONG)[:4],
    # Only who remembers the good returns of before sees a collapse.
    "collapse": [
        r | {"mean_episode_return": -800.0 + 20.0 * (r["batch"] % 3)} if r["batch"] >= 22 else r
        for r in healthy(LONG)
    ],
}
_STILL = [r | {"mean_episode_return": -800.0 + 20.0 * (r["batch"] % 3)} for r in healthy(60)]
_JUMPS = {"approx_kl": 0.8, "clip_fraction": 0.6, "approx_kl_last_epoch": 0.9}
LATER = {
    # Longer than the history that the doctor keeps while training goes on.
    "late": [r | _JUMPS if r["batch"] >= 150 else r for r in healthy(170)],
    # Nothing rises from the start; then the rate is at fault as well, and explains it.
    "still": [r | _JUMPS if r["batch"] >= 45 else r for r in _STILL],
    # The other way round: the rate is found first, and is found no more.
    "calmed": [r | _JUMPS if r["batch"] < 14 else r for r in _STILL],
}
ALL = RUNS | LATER


class New(Callback):
    """What the doctor says, and when."""

    def __init__(self) -> None:
        self.told: list[tuple[int, str, str]] = []

    def on_batch(self, trainer, record):
        for finding in trainer.doctor.new:
            self.told.append((record["batch"], finding.illness, finding.remedy))


def forged(trainer: Trainer, records: list[dict]) -> Trainer:
    """A trainer whose batches are these, and cost nothing."""
    counters = trainer.learner.counters

    def step() -> dict:
        record = json.loads(json.dumps(records[counters["batch"]]))
        counters["batch"] += 1
        counters["env_steps"] += trainer.learner.steps_per_batch
        return record

    trainer.learner.step = step  # type: ignore[method-assign]
    return trainer


def run(results, name: str, *parts: int) -> tuple[str, list]:
    """The screens of all parts, and what was told in them."""
    told, screens = [], ""
    for count in parts:
        screen, new = io.StringIO(), New()
        resume = "latest" if list(results.glob("run*")) else None
        trainer = Trainer(config(), results, callbacks=[new], console=Console(screen),
                          resume=resume)  # fmt: skip
        with forged(trainer, ALL[name]):
            trainer.train(batches=count)
        told += new.told
        screens += screen.getvalue()
    return screens, told


def diagnosis(results, capsys) -> dict:
    capsys.readouterr()
    main(["--mode", "diagnose", "run0001", "--results", str(results), "--json"])
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("resumed", [False, True], ids=["whole", "resumed"])
def test_the_verdict_at_the_end_is_that_of_diagnose(tmp_path, capsys, name, resumed):
    length = len(RUNS[name])
    parts = (length * 2 // 3, length - length * 2 // 3) if resumed else (length,)
    screen, _ = run(tmp_path, name, *parts)
    summary = json.loads((tmp_path / "run0001" / "summary.json").read_text())
    found = diagnosis(tmp_path, capsys)
    wanted = {"healthy": "healthy", "short": "too_early"}.get(name, "ill")
    assert found["status"] == wanted == summary["verdict"]
    assert found["batches"] == length
    assert [f["illness"] for f in found["findings"]] == summary["findings"][:3]
    verdict = screen[screen.rindex("verdict |") :].splitlines()
    for finding, line in zip(found["findings"], verdict, strict=False):
        best = finding["remedy"].split("; else ")[0]
        start = f"{finding['illness'].replace('_', ' ')} since batch {finding['since_batch']}: try"
        assert f"{start} {best}"[:60] in line
    if not found["findings"]:
        report = ["--mode", "diagnose", "run0001", "--results", str(tmp_path)]
        main(report)
        assert verdict[0].removeprefix("verdict | ") in capsys.readouterr().out


def named_until(run, batch: int, results, capsys) -> list[dict]:
    """What `diagnose` names of the folder as it was after this batch."""
    part = results / f"until{batch}"
    if not part.exists():
        part.mkdir()
        shutil.copy(run / "config.yaml", part)
        whole = json.loads((run / "loss_metrics.json").read_text())
        whole["batches"] = whole["batches"][: batch + 1]
        (part / "loss_metrics.json").write_text(json.dumps(whole))
    capsys.readouterr()
    main(["--mode", "diagnose", str(part), "--json"])
    return json.loads(capsys.readouterr().out)["findings"]


@pytest.mark.parametrize(
    "name, resumed",
    [*((name, False) for name in ALL), *((name, True) for name in ("fatal", "collapse", "calmed"))],
)
def test_the_live_advice_is_that_of_diagnose_at_that_time(tmp_path, capsys, name, resumed):
    length = len(ALL[name])
    stop = length * 2 // 3
    screens, told = run(tmp_path, name, *((stop, length - stop) if resumed else (length,)))
    screen = " ".join(screens.split())
    for batch, illness, remedy in told:
        beside = {
            f["illness"]: f for f in named_until(tmp_path / "run0001", batch, tmp_path, capsys)
        }
        assert beside[illness]["remedy"] == remedy
        line = f"! {illness.replace('_', ' ')}: {beside[illness]['evidence']}"
        advice = f"try {remedy.split('; else ')[0]}"
        assert f"{line} {advice}" in screen
    for batch in range(9, length, 10):  # when all rules are asked
        for found in named_until(tmp_path / "run0001", batch, tmp_path, capsys):
            assert found["illness"] in [i for b, i, _ in told if b <= batch], (batch, found)
    assert bool(told) == (name not in ("healthy", "short"))


@pytest.mark.parametrize("name", ["ill", "fatal", "collapse"])
@pytest.mark.parametrize("stop", [7, 13, 30])
def test_a_resumed_run_is_told_what_the_whole_one_is_told(tmp_path, name, stop):
    _, whole = run(tmp_path / "a", name, LONG)
    _, parts = run(tmp_path / "b", name, stop, LONG - stop)
    assert whole and parts == whole


def test_the_rules_are_asked_with_the_settings_of_the_run(tmp_path):
    with Trainer(config(), tmp_path) as trainer:
        trainer.train(batches=1)
        watched = trainer.doctor._watch
        assert watched is not None
        assert watched._settings == read_settings(tmp_path / "run0001")


@pytest.mark.parametrize("name", ["ill", "collapse"])
def test_an_advice_is_a_value_that_the_run_does_not_have(tmp_path, name):
    _, told = run(tmp_path, name, LONG)
    present = flatten(config().to_dict())
    advised = [part for _, _, remedy in told for part in remedy.split("; else ") if "=" in part]
    assert advised
    for part in advised:
        key, _, value = part.partition(" ")[0].partition("=")
        assert str(present[key]).lower() != value, part


def test_a_checkpoint_of_before_has_no_findings_and_they_are_not_told_again(tmp_path):
    watch = Watch(config().to_dict())
    watch.recall(RUNS["ill"][:30])
    assert watch.findings, "asked once over what is there"
    assert not [f for record in RUNS["ill"][30:] for f in watch.update(record)]


def test_without_the_doctor_nothing_is_said(tmp_path):
    screen = io.StringIO()
    off = config(logging__doctor="false")
    with forged(Trainer(off, tmp_path, console=Console(screen)), RUNS["ill"]) as trainer:
        summary = trainer.train(batches=LONG)
    assert summary["verdict"] is None and summary["findings"] == []
    assert "verdict" not in screen.getvalue()


def test_a_fatal_finding_ends_the_run(tmp_path):
    with forged(Trainer(config(), tmp_path, callbacks=[StopAtFatalFinding()]), RUNS["fatal"]) as t:
        summary = t.train(batches=LONG)
    assert summary["status"] == "finished" and summary["batches"] < LONG
    assert summary["reason"].startswith("non_finite: ")
    off = config(logging__doctor="false")
    with pytest.raises(UserError, match="logging.doctor"):
        Trainer(off, tmp_path, callbacks=[StopAtFatalFinding()]).train(batches=1)
