"""Options of earlier versions: refused where a user writes them, dropped from old run folders."""

import copy
from pathlib import Path
from typing import get_args

import pytest
import torch
import yaml

from ppo import Trainer
from ppo.cli import main
from ppo.config import Config
from ppo.config.removed import OPTIONS, VALUES, drop, refusal
from ppo.config.words import known_paths
from ppo.core.errors import UserError
from ppo.policies.policy import load_policy

SMALL = [
    "env.num_envs=2",
    "ppo.num_steps=8",
    "ppo.num_minibatches=2",
    "ppo.num_epochs=1",
    "train.total_timesteps=16",
    "evaluation.episodes=1",
    "logging.tensorboard=false",
    "system.compile=never",
    "system.device=cpu",
]


@pytest.mark.parametrize("name", OPTIONS)
def test_a_removed_option_is_refused_with_what_to_write(tmp_path: Path, name: str) -> None:
    assert name not in known_paths(Config)
    file = tmp_path / "mine.yaml"
    section, _, key = name.partition(".")
    file.write_text(yaml.safe_dump({section: {key: OPTIONS[name].neutral}}))
    for path, overrides in ((file, []), (None, [f"{name}=1"])):
        with pytest.raises(UserError) as caught:
            Config.load(path, overrides)
        (line,) = caught.value.messages
        assert name in line and line.endswith(OPTIONS[name].instead), line
        assert OPTIONS[name].why in line


@pytest.mark.parametrize(("name", "value"), VALUES)
def test_a_removed_value_is_refused_with_what_to_write(name: str, value: str) -> None:
    assert value not in get_args(known_paths(Config)[name].annotation)
    with pytest.raises(UserError) as caught:
        Config.load(None, [f"{name}={value}"])
    (line,) = caught.value.messages
    assert name in line and line.endswith(VALUES[name, value].instead), line
    Config.load(None, [f"{name}={VALUES[name, value].neutral}"])


def test_removed_settings_are_dropped_and_named_where_they_did_something() -> None:
    plain = Config.load(None, ["ppo.noise=white"]).to_dict()
    values = copy.deepcopy(plain)
    for name, removed in OPTIONS.items():
        section, _, key = name.partition(".")
        values[section][key] = removed.neutral
    assert drop(values) == [] and values == plain
    values["ppo"]["recompute_advantages"] = True
    (note,) = drop(values)
    assert note.startswith("ppo.recompute_advantages: True: ")
    for name, value in VALUES:
        section, _, key = name.partition(".")
        values[section][key] = value
        (note,) = [note for note in drop(values) if note.startswith(f"{name}: {value}: ")]
        assert note.endswith(VALUES[name, value].instead)
    Config.from_dict(values)


def test_what_is_no_removed_setting_is_not_refused() -> None:
    assert refusal("ppo.gamma", 0.5) is None and refusal("ppo.gamma_schedule", "critic") is None


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results folder of a finished run."""
    torch.set_num_threads(1)
    results = tmp_path_factory.mktemp("old")
    Trainer(Config.load(None, SMALL), results).train()
    return results


def rewritten(results: Path, line: str) -> None:
    """Gives the run a line that an earlier version would have written."""
    file = results / "run0001" / "config.yaml"
    kept = [x for x in file.read_text().splitlines() if "recompute_advantages" not in x]
    where = kept.index("ppo:") + 1
    file.write_text("\n".join([*kept[:where], line, *kept[where:]]) + "\n")


def test_an_old_run_with_neutral_options_is_evaluated_and_resumed(
    old: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rewritten(old, "  recompute_advantages: false  # old")
    load_policy("run0001", old)
    assert "note" not in capfd.readouterr().err
    more = ["--set", "train.total_timesteps=32", "--quiet"]
    assert main(["--mode", "train", "--resume", "run0001", "--results", str(old), *more]) == 0


def test_an_old_run_where_one_did_something_is_evaluated_with_a_note_and_not_resumed(
    old: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rewritten(old, "  recompute_advantages: true  # old")
    load_policy("run0001", old)
    assert "note: run0001 was trained with ppo.recompute_advantages" in capfd.readouterr().err
    for mode in (["diagnose", "run0001"], ["compare", "run0001"]):
        assert main(["--mode", *mode, "--results", str(old)]) == 0, capfd.readouterr()
    capfd.readouterr()
    assert main(["--mode", "train", "--resume", "run0001", "--results", str(old)]) == 2
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: --resume run0001: it was trained with ppo.recompute")


NOISES = [  # color, share, schedule, when -> the word that means the same, or None
    ((0.0, 1.0, "constant", "always"), "white"),
    ((0, 0.5, "contest", "survived"), "white"),  # a color of 0 leaves the others without effect
    ((2.0, 0.0, "linear", "always"), "white"),  # so does a share of none
    ((1, 1, "constant", "always"), "pink"),
    ((1.0, 1.0, "contest", "survived"), "contest"),
    ((1.0, 0.25, "contest", "survived"), "contest"),  # a contest begins at a half
    ((1.0, 1.0, "contest", "always"), None),
    ((1.0, 1.0, "constant", "survived"), None),
    ((1.0, 1.0, "linear", "always"), None),
    ((1.0, 0.25, "constant", "always"), None),
    ((0.5, 1.0, "contest", "survived"), None),
]


@pytest.mark.parametrize(("old", "word"), NOISES)
def test_the_noise_of_an_old_run_is_translated_where_a_word_means_the_same(old, word) -> None:
    names = ("noise_color", "noise_color_share", "noise_color_schedule", "noise_color_when")
    values = Config().to_dict()
    values["ppo"] |= dict(zip(names, old, strict=True))
    notes = drop(values)
    assert Config.from_dict(values).ppo.noise == (word or "white")
    assert bool(notes) == (word is None)
    assert all("write ppo.noise: white, pink or contest" in note for note in notes)


def test_a_run_from_before_there_was_a_schedule_is_translated_too() -> None:
    values = {"ppo": {"noise_color": 1.0}}
    assert drop(values) == [] and values == {"ppo": {"noise": "pink"}}
