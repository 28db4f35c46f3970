"""Marks of real runs: none in a healthy run of the shipped configuration, some in an ill one."""

from __future__ import annotations

from pathlib import Path

import pytest

from ppo import Config, Trainer
from ppo.cli.console import Console
from ppo.cli.marks import Marks

ROOT = Path(__file__).parents[2]
FIXES_OFF = [
    "ppo.use_relative_value_clip=false", "ppo.normalize_returns=false",
    "ppo.value_clip_epsilon=200", "ppo.value_loss_weight=1",
]  # fmt: skip
QUICK = ["logging.tensorboard=false", "evaluation.interval=0", "system.compile=never"]


def lines_of(
    folder: Path, overrides: list[str], capsys: pytest.CaptureFixture[str], batches: int
) -> tuple[list[str], list[dict]]:
    """What a run of the shipped configuration prints for its batches, and their records."""
    config = Config.load(ROOT / "config.yaml", [*QUICK, *overrides])
    with Trainer(config, folder, console=Console(clock=iter(range(10**6)).__next__)) as trainer:
        trainer.train(batches=batches)
        records = list(trainer.folder.records())
    lines = capsys.readouterr().out.splitlines()
    shown = [line for line in lines if line[:6].strip().isdigit()]
    assert len(shown) == batches
    return shown, records


def test_all_fixes_off_marks_every_line_and_the_shipped_settings_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    healthy, _ = lines_of(tmp_path / "healthy", [], capsys, 2)
    assert not any("!" in line for line in healthy)
    ill, records = lines_of(tmp_path / "ill", FIXES_OFF, capsys, 1)
    assert all("x!" in line for line in ill)
    assert all(record["grad_clip_factor"] > 50 for record in records)


@pytest.mark.slow
def test_a_whole_run_of_the_shipped_configuration_has_no_mark_although_its_gradients_are_cut(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, records = lines_of(tmp_path, [], capsys, 40)
    assert not any("!" in line for line in lines)
    assert records[-1]["grad_clip_factor"] > 10  # the policy's own, which has become narrow


def test_the_records_of_a_narrow_policy_are_not_marked_and_those_of_a_drowned_one_are() -> None:
    """Figures of batches 16 and 36 of both runs."""
    narrow = [(4.99, 0.226, 0.358), (23.7, 0.0229, 0.941)]
    drowned = [(3845.0, 1.0, 0.124), (2601.0, 0.9999, 0.316)]
    for rows, ill in ((narrow, False), (drowned, True)):
        for cut, share, variance in rows:
            record = {
                "grad_clip_factor": cut, "value_gradient_share": share,
                "explained_variance": variance,
            }  # fmt: skip
            assert ("grad_clip_factor" in Marks().of(record)) == ill


def test_a_clip_below_the_usual_one_is_no_reason_for_a_mark() -> None:
    """Figures of CartPole at a clip of 0.01, which learns as well as at 0.5."""
    record = {"grad_clip_factor": 185.0, "value_gradient_share": 0.5, "explained_variance": 0.2}
    assert "grad_clip_factor" in Marks().of({**record, "grad_norm": 92.5})
    assert "grad_clip_factor" not in Marks().of({**record, "grad_norm": 1.85})
