"""Pictures of an episode: every usual form of a frame, or a line that says what is wrong."""

import contextlib
import errno
import os
import re

import gymnasium as gym
import numpy as np
import pytest
import torch
from drawn_env import GRAY, Drawn
from PIL import Image

from ppo import Config, Trainer
from ppo.cli import main
from ppo.core.errors import RunError, UserError
from ppo.policies.evaluate import render
from ppo.policies.policy import load_policy

COLOR = np.repeat(GRAY[..., None], 3, -1)
FORMS = {
    "color": COLOR,
    "gray": GRAY,
    "one channel": GRAY[..., None],
    "channels first": np.moveaxis(COLOR, -1, 0),
    "one channel first": GRAY[None],
    "with alpha": np.concatenate([COLOR, np.full((40, 50, 1), 255, np.uint8)], -1),
    "shares of white": np.float32(COLOR / 255),
    "float64 up to 255": COLOR.astype(np.float64),
    "int64": COLOR.astype(np.int64),
    "tensor": torch.from_numpy(COLOR),
    "in a list": [COLOR],
    "lists of numbers": COLOR.tolist(),
    "a view": np.repeat(COLOR, 2, 1)[:, ::2],
}


def drawn(run, seed):
    return render(load_policy(run), run / "videos" / f"episode_{seed}.gif", seed)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    made = {"Drawn-v0": "{render_mode: human}", "NoMode-v0": "{}", "Blind": "{}", "Tolerant": "{}"}
    made["drawing"] = "{}"
    for name, kwargs in made.items():
        settings = [
            f"env.id=drawn_env:{name}", f"env.kwargs={kwargs}", "env.num_envs=1",
            "ppo.num_steps=4", "ppo.num_minibatches=1", "system.compile=never",
            "logging.tensorboard=false", "network.hidden_sizes=[8]", "evaluation.episodes=1",
        ]  # fmt: skip
        Trainer(Config.from_dict({}, settings), results).train(batches=1)
    return results


@pytest.mark.parametrize("form", FORMS)
def test_every_usual_form_gives_the_same_picture(runs, monkeypatch, form):
    frame = FORMS[form]
    monkeypatch.setattr(Drawn, "frame", frame if isinstance(frame, np.ndarray) else lambda _: frame)
    with Image.open(drawn(runs / "run0001", 0)) as image:
        assert image.n_frames >= 1 and image.size == (50, 40)
        found = np.asarray(image.convert("RGB"))
    assert np.abs(found.astype(int) - 51).max() <= 1


WRONG = {
    "none": (lambda _: None, "render gave None"),
    "shape": (np.zeros((40, 50, 2), np.uint8), r"uint8 of shape \(40, 50, 2\)"),
    "empty": (np.zeros((0, 50, 3), np.uint8), r"uint8 of shape \(0, 50, 3\)"),
    "word": (lambda _: "ascii", "render gave 'ascii'"),
    "numbers": (np.full((40, 50, 3), 300.0), "from 300 to 300"),
    "nan": (np.full((40, 50, 3), np.nan), "nan"),
    "key": (lambda _: {}["picture"], r"render raised KeyError\('picture'\) \(.*test_render\.py"),
}


@pytest.mark.parametrize("frame", [COLOR, lambda _: None, lambda _: {}["picture"]])
def test_the_environment_is_closed_however_its_episode_ends(runs, monkeypatch, frame):
    closed = []
    monkeypatch.setattr(Drawn, "close", lambda self: closed.append(True))
    monkeypatch.setattr(Drawn, "frame", frame)
    with contextlib.suppress(UserError, RunError):
        drawn(runs / "run0001", 0)
    assert closed == [True]


def test_a_full_disk_leaves_the_former_picture(runs, monkeypatch):
    monkeypatch.setattr(Drawn, "frame", COLOR)
    path = drawn(runs / "run0001", 1)
    before = path.read_bytes()

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", refuse)
    monkeypatch.setattr(Drawn, "frame", 255 - COLOR)
    with pytest.raises(OSError, match="No space left"):
        drawn(runs / "run0001", 1)
    assert path.read_bytes() == before and not list(path.parent.glob(".*"))


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_picture_is_one_line(runs, monkeypatch, name):
    frame, message = WRONG[name]
    monkeypatch.setattr(Drawn, "frame", frame)
    with pytest.raises((UserError, RunError), match=f"--render: .*Drawn-v0.*{message}") as caught:
        drawn(runs / "run0001", 0)
    assert "\n" not in str(caught.value)
    assert not list((runs / "run0001").glob("videos/*.tmp*"))


def test_a_factory_may_choose_the_render_mode_itself(runs, monkeypatch):
    monkeypatch.setattr(Drawn, "frame", COLOR)
    with Image.open(drawn(runs / "run0005", 0)) as image:
        assert image.size == (50, 40)


def test_a_constructor_without_render_mode_is_named(runs):
    with pytest.raises(UserError, match="--render: .*NoMode-v0.*render_mode"):
        drawn(runs / "run0002", 0)


@pytest.mark.parametrize(
    ("run", "why"),
    [
        ("run0002", "NoMode-v0 cannot be made .*'render_mode'"),
        ("run0003", "drawn_env:Blind declares no render mode"),
        ("run0004", "drawn_env:Tolerant declares no render mode"),
    ],
)
def test_what_cannot_draw_is_told_before_anything_is_played(runs, capsys, run, why):
    where = ["--results", str(runs), "--run", run, "--episodes", "1"]
    assert main(["--mode", "evaluate", *where, "--render"]) == 2
    told = capsys.readouterr()
    assert not told.out, "nothing was played"
    assert re.fullmatch(rf"error: --render: (env.id: )?{why}.*\n", told.err)


def test_a_package_that_is_missing_for_drawing_is_told_once_and_first(runs, monkeypatch, capsys):
    def frame():
        raise gym.error.DependencyNotInstalled("pygame is not installed")

    monkeypatch.setattr(Drawn, "frame", staticmethod(frame))
    where = ["--results", str(runs), "--run", "run0001", "--episodes", "1"]
    assert main(["--mode", "evaluate", *where, "--render"]) == 2
    told = capsys.readouterr()
    assert not told.out and told.err == "error: --render: pygame is not installed\n"
