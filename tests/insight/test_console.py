"""Logs that are printed text: whole, or pasted into an issue."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ppo.core.errors import UserError
from ppo.insight.logs import MetricsLog, read_log

BOX = """{0}-----------------------------------------
{0}| rollout/                |              |
{0}|    ep_len_mean          | {1}          |
{0}|    ep_rew_mean          | {2}          |
{0}| time/                   |              |
{0}|    total_timesteps      | {3}          |
{0}| train/                  |              |
{0}|    approx_kl            | 0.01         |
{0}|    clip_range           | 0.2          |
{0}|    entropy_loss         | -0.69        |
{0}|    value_loss           | 1,634.5      |
{0}-----------------------------------------
"""


def text(mark: str = "", batches: int = 6) -> str:
    boxes = [BOX.format(mark, 20 + i, 20.5 + i, 2048 * (i + 1)) for i in range(batches)]
    return "Why does it not learn?\n```\nUsing cpu device\n" + "\nsaved\n".join(boxes) + "```\n"


def read(folder: Path, content: str, name: str = "issue.txt") -> MetricsLog:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(content)
    return read_log(folder)


@pytest.mark.parametrize("name", ["issue.txt", "train.log", "slurm.out", "issue.md"])
@pytest.mark.parametrize("mark", ["", "  ", "> "])
def test_printed_boxes_are_a_log(tmp_path: Path, name: str, mark: str) -> None:
    log = read(tmp_path, text(mark), name)
    assert log.writer == "stable-baselines3" and len(log) == 6
    assert log.get("mean_episode_return").tolist() == [20.5 + i for i in range(6)]
    assert log.get("env_steps").tolist() == [2048.0 * (i + 1) for i in range(6)]
    assert log.get("entropy")[0] == 0.69 and log.get("mean_episode_length")[-1] == 25
    assert log.get("value_loss")[0] == 1634.5


def test_a_box_that_is_cut_keeps_what_it_has(tmp_path: Path) -> None:
    whole = text(batches=4)
    cut = whole[: whole.rindex("| train/")]
    log = read(tmp_path, cut)
    assert len(log) == 4 and np.isfinite(log.get("mean_episode_return")).all()


def test_boxes_without_folders_are_read_by_their_names(tmp_path: Path) -> None:
    """Baselines and Spinning Up print names without a folder."""
    box = "-----\n| ep_reward_mean | {} |\n| approxkl | 0.01 |\n| total_timesteps | {} |\n-----\n"
    log = read(tmp_path, "".join(box.format(i, 128 * i) for i in range(1, 5)))
    assert log.get("mean_episode_return").tolist() == [1.0, 2.0, 3.0, 4.0]
    assert log.get("approx_kl").tolist() == [0.01] * 4


def test_other_text_beside_a_log_is_left_alone(tmp_path: Path) -> None:
    for name in ("requirements.txt", "README.md"):
        (tmp_path / name).write_text("torch\n| a | b |\n|---|---|\n| c | d |\n| e | 2 |\n")
    with pytest.raises(UserError, match="no loss_metrics"):
        read_log(tmp_path)
    (tmp_path / "progress.csv").write_text(
        "time/total_timesteps,rollout/ep_rew_mean\n" + "".join(f"{i},{i}\n" for i in range(1, 9))
    )
    log = read(tmp_path, text())
    assert len(log) == 8  # a table goes before what was printed
