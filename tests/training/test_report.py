"""report.html of a run: written at its end, also of one that failed; a fault in it ends nothing."""

from __future__ import annotations

import pytest
from learner_tools import settings

from ppo import Callback, Trainer
from ppo.core.errors import RunError
from ppo.insight.comparison import report


def test_a_run_leaves_a_report_with_the_verdict_of_its_summary(tmp_path):
    with Trainer(settings("CartPole-v1"), tmp_path) as trainer:
        summary = trainer.train(batches=2)
    text = (tmp_path / "run0001" / "report.html").read_text()
    assert summary["verdict"] == "too_early" and "too early to judge: 2 batches" in text
    assert "<code>env.id</code>" in text and "DoubleIntegrator-v0" in text


def test_a_failed_run_leaves_a_report_too(tmp_path):
    class Broken(Callback):
        def on_batch(self, trainer, record):
            raise ZeroDivisionError("by the user")

    with Trainer(settings("CartPole-v1"), tmp_path, callbacks=[Broken()]) as trainer:
        with pytest.raises(RunError):
            trainer.train(batches=2)
    assert "ZeroDivisionError" in (tmp_path / "run0001" / "report.html").read_text()


def test_a_fault_in_the_report_ends_no_run_and_is_said(tmp_path, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("page")

    monkeypatch.setattr(report, "report", broken)
    with Trainer(settings("CartPole-v1"), tmp_path) as trainer:
        assert trainer.train(batches=1)["status"] == "finished"
        assert any("report.html" in event and "page" in event for event in trainer.events)
    assert not (tmp_path / "run0001" / "report.html").exists()
