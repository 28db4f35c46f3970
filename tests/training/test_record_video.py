"""RecordVideo draws every so many batches, changes nothing, and needs no environment that draws."""

from __future__ import annotations

import drawn_env
import pytest
from learner_tools import records, settings
from PIL import Image

from ppo import RecordVideo, Trainer
from ppo.core.errors import UserError

FORM = {"train__total_timesteps": 64 * 4, "evaluation__interval": 0}


@pytest.fixture(autouse=True)
def frame(monkeypatch):
    monkeypatch.setattr(drawn_env.Drawn, "frame", drawn_env.GRAY)


def train(folder, env, *callbacks, given=None):
    with Trainer(settings(env, **FORM), folder, callbacks=callbacks, env=given) as trainer:
        trainer.train()
        return trainer.folder.path


def test_every_second_batch_leaves_a_video_and_the_run_is_the_same(tmp_path):
    env = "drawn_env:Drawn-v0"
    run = train(tmp_path, env, RecordVideo(every=2))
    assert [p.name for p in sorted((run / "videos").iterdir())] == [
        "batch_000002.gif", "batch_000004.gif"]  # fmt: skip
    with Image.open(run / "videos" / "batch_000002.gif") as video:
        assert video.n_frames >= 1 and video.size == (50, 40)
    assert records(run) == records(train(tmp_path / "without", env))


def test_a_factory_draws_too(tmp_path):
    def make(render_mode=None):
        return drawn_env.Drawn(render_mode)

    run = train(tmp_path, "CartPole-v1", RecordVideo(every=4), given=make)
    assert (run / "videos" / "batch_000004.gif").exists()


@pytest.mark.parametrize("given", [None, lambda: drawn_env.NoMode()], ids=["id", "factory"])
def test_one_that_cannot_draw_is_told_once_also_after_a_resume(tmp_path, given):
    env = "drawn_env:NoMode-v0"
    run = train(tmp_path / "whole", env, RecordVideo(every=1), given=given)
    told = [[e for e in r["events"] if e.startswith("RecordVideo")] for r in records(run)]
    assert [len(events) for events in told] == [1, 0, 0, 0] and "\n" not in told[0][0]
    assert told[0][0].endswith("no videos are recorded") and not (run / "videos").exists()
    with Trainer(
        settings(env, **FORM), tmp_path, callbacks=[RecordVideo(every=1)], env=given
    ) as trainer:
        trainer.train(batches=2)
    with Trainer(
        settings(env, **FORM), tmp_path, callbacks=[RecordVideo(every=1)], env=given,
        resume="run0001",
    ) as trainer:  # fmt: skip
        trainer.train()
    assert records(tmp_path / "run0001") == records(run)


def test_every_is_at_least_one():
    with pytest.raises(UserError, match="every: 0"):
        RecordVideo(every=0)
