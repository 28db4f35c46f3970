"""A run folder of somebody else imports nothing: not its environment, parts, losses, callbacks."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from ppo import Config, Trainer, load_policy
from ppo.cli import main
from ppo.config.words import extra, is_model, known_paths
from ppo.core.errors import UserError
from ppo.core.imports import digest, sources
from ppo.runs import trust

TINY = ["env.id=CartPole-v1", "env.num_envs=2", "ppo.num_steps=8", "ppo.num_minibatches=1",
        "train.total_timesteps=16", "evaluation.episodes=1", "evaluation.interval=0",
        "system.compile=never", "system.device=cpu", "logging.tensorboard=false"]  # fmt: skip
PART = """
from pathlib import Path
import gymnasium as gym
import torch
from torch import nn
from ppo import Callback, Encoder

Path({marker!r}).touch()

class Net(Encoder):
    def __init__(self, layout, config, source):
        super().__init__()
        self.num_features = 4
        self.layer = nn.Linear(self.numbers(layout)[0], 4)
    def forward(self, numbers, obs):
        return torch.tanh(self.layer(numbers))

class Watch(Callback):
    def on_end(self, trainer, summary):
        pass

if "Trusted-v0" not in gym.registry:
    gym.register("Trusted-v0", "gymnasium.envs.classic_control:CartPoleEnv", max_episode_steps=9)
"""
# What a configuration may import, by the setting that names it.
WORDS = {
    "env.id": "{}:Trusted-v0",
    "env.wrappers": "['{}:Net']",
    "network.encoder": "{}:Net",
    "network.memory": "{}:Net",
    "ppo.value_loss": "{}:Net",
    "ppo.return_normalizer": "{}:Net",
    "ppo.value_clip": "{}:Net",
    "balancing.kind": "{}:Net",
    "auxiliary.losses": "['{}:Net']",
    "train.callbacks": "['{}:Watch']",
    "logging.trackers": "['{}:Watch']",
}
NOT_CODE = {
    "auto.settings",
    "system.device",
    "train.initial_policy",
    "train.mirror",
    "network.actor_keys",
    "network.critic_keys",
}
MODES = {
    "evaluate": ["--mode", "evaluate", "--run", "run0001", "--episodes", "1"],
    "render": ["--mode", "evaluate", "--run", "run0001", "--episodes", "1", "--render"],
    "export": ["--mode", "export", "--run", "run0001"],
    "resume": ["--mode", "train", "--resume", "run0001", "--quiet"],
    "demonstrate": ["--mode", "demonstrate", "--run", "run0001", "--data", "x.npz"],
    "initial": ["--mode", "train", "--set", "train.initial_policy=run0001", "--quiet",
                *(word for item in TINY for word in ("--set", item))],
}  # fmt: skip


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A run of built-in parts."""
    results = tmp_path_factory.mktemp("plain")
    with Trainer(Config.load(overrides=TINY), results) as trainer:
        trainer.train()
    return results / "run0001"


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module in the working directory that leaves a trace when it is imported."""
    name = f"part_of_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(PART.format(marker=str(tmp_path / "imported")))
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(trust, "_granted", set())
    yield name
    sys.modules.pop(name, None)


def foreign(plain: Path, results: Path, *sets: str) -> Path:
    """Somebody else's run, whose config.yaml holds these settings."""
    shutil.copytree(plain, results / "run0001")
    path = results / "run0001" / "config.yaml"
    path.write_text(Config.load_run(path, sets)[0].to_yaml())
    return results / "run0001"


def answer(argv: list[str], results: Path, capsys) -> tuple[int, str]:
    capsys.readouterr()
    status = main([*argv, "--results", str(results)])
    return status, capsys.readouterr().err


def test_every_setting_that_may_name_code_is_marked() -> None:
    found = {}
    for name, field in known_paths(Config).items():
        text = not is_model(field.annotation) and "str" in str(field.annotation).replace("dict", "")
        text = text and "dict" not in str(field.annotation)
        if text and "Literal" not in str(field.annotation) or extra(field, "imports"):
            found[name] = bool(extra(field, "imports"))
    assert {name for name, marked in found.items() if not marked} == NOT_CODE
    assert {name for name, marked in found.items() if marked} == set(WORDS)


@pytest.mark.parametrize("mode", MODES)
def test_no_mode_imports_what_a_stranger_s_folder_names(mode, plain, module, tmp_path, capsys):
    word = WORDS["env.id" if mode != "initial" else "network.encoder"].format(module)
    key = "env.id" if mode != "initial" else "network.encoder"
    results = tmp_path / "results"
    foreign(plain, results, f"{key}={word}")
    status, errors = answer(MODES[mode], results, capsys)
    (line,) = [line for line in errors.splitlines() if line.startswith("error:")]
    assert status == 2 and not (tmp_path / "imported").exists()
    assert line.startswith(f"error: run0001: {key}: {word}: the module {module} was not imported")
    assert "--trust" in line


@pytest.mark.parametrize("key", WORDS)
def test_nothing_that_a_setting_names_is_imported(key, plain, module, tmp_path):
    run = foreign(plain, tmp_path / "results", f"{key}={WORDS[key].format(module)}")
    with pytest.raises(UserError, match=f"run0001: {key}: {module}:.* was not imported"):
        load_policy(run)
    assert not (tmp_path / "imported").exists() and module not in sys.modules


@pytest.mark.parametrize("name", ["os:abort", "sys:exit", "ppo.cli.main:main", "shutil:rmtree"])
def test_not_even_code_that_is_installed_is_called(name, plain, module, tmp_path):
    run = foreign(plain, tmp_path / "results", f"train.callbacks=['{name}']")
    with pytest.raises(UserError, match=f"run0001: train.callbacks: {name}: the module"):
        load_policy(run)


def test_it_is_imported_where_the_user_says_so(plain, module, tmp_path, capsys):
    run = foreign(plain, tmp_path / "results", f"env.id={module}:Trusted-v0")
    status, errors = answer([*MODES["evaluate"], "--trust"], tmp_path / "results", capsys)
    assert (status, errors) == (0, "") and (tmp_path / "imported").exists()
    assert load_policy(run, trust=True).config.env.id == f"{module}:Trusted-v0"
    with pytest.raises(UserError, match="was not imported"):  # once is not for ever
        load_policy(run)


def test_a_run_to_start_from_is_trusted_by_the_same_flag(plain, module, tmp_path, capsys):
    foreign(plain, tmp_path / "results", f"env.id={module}:Trusted-v0")
    status, errors = answer([*MODES["initial"], "--trust"], tmp_path / "results", capsys)
    assert status == 0, errors


def test_a_run_that_was_made_here_is_played_also_from_another_folder(module, tmp_path, capsys):
    settings = [*TINY, f"network.encoder={module}:Net", f"train.callbacks=['{module}:Watch']"]
    with Trainer(Config.load(overrides=settings), tmp_path / "a") as trainer:
        trainer.train()
    trust._granted.clear()  # as in another process
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert answer(MODES["evaluate"], tmp_path / "b", capsys) == (0, "")
    kept = json.loads((tmp_path / "a" / "run0001" / "provenance.json").read_text())["code"]
    assert kept == {f"{module}:{name}": digest(f"{module}:X") for name in ("Net", "Watch")}
    (tmp_path / "state" / "ppo" / trust.FILE).unlink()
    assert answer(MODES["evaluate"], tmp_path / "b", capsys)[0] == 2


def test_a_module_of_the_same_name_is_another_one(plain, module, tmp_path, monkeypatch):
    """Its path is known, its source and its place are not."""
    trust.remember(Config.load(overrides=[f"network.encoder={module}:Net"]))
    trust._granted.clear()
    there = tmp_path / "there"
    there.mkdir()
    (there / f"{module}.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')")
    monkeypatch.chdir(there)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place != str(tmp_path)])
    run = foreign(plain, there / "results", f"network.encoder={module}:Net")
    with pytest.raises(UserError, match="was not imported"):
        load_policy(run)
    assert not (tmp_path / "imported").exists()


def test_another_class_of_a_known_module_is_not_known(plain, module, tmp_path):
    trust.remember(Config.load(overrides=[f"network.encoder={module}:Net"]))
    trust._granted.clear()
    run = foreign(plain, tmp_path / "results", f"train.callbacks=['{module}:Watch']")
    with pytest.raises(UserError, match="Watch: the module"):
        load_policy(run)


def test_a_source_that_has_changed_since_is_told(module, tmp_path, capsys):
    settings = [*TINY, f"network.encoder={module}:Net"]
    with Trainer(Config.load(overrides=settings), tmp_path / "a") as trainer:
        trainer.train()
    trust._granted.clear()
    file = tmp_path / f"{module}.py"
    file.write_text(file.read_text() + "\n# edited\n")
    told = f"run0001: network.encoder: {module}:Net has changed since the run was trained"
    status, errors = answer(MODES["evaluate"], tmp_path / "a", capsys)
    assert (status, errors) == (0, f"note: {told}\n")
    more = ["--set", "train.total_timesteps=32"]
    assert answer([*MODES["resume"], *more], tmp_path / "a", capsys)[0] == 0
    records = json.loads((tmp_path / "a" / "run0001" / "loss_metrics.json").read_text())["batches"]
    assert told in records[1]["events"]
    assert answer(MODES["evaluate"], tmp_path / "a", capsys) == (0, "")


def test_a_module_that_is_not_there_is_named_without_a_word_of_trust(plain, module, tmp_path):
    run = foreign(plain, tmp_path / "results", "network.encoder=gone_since.nets:Net")
    with pytest.raises(UserError, match="the module gone_since.nets cannot be found; start where"):
        load_policy(run)


@pytest.mark.parametrize("state", ["", "not json\n[1]\n{}\n", '{"path": 3}\n', "\xff\xfe"])
def test_a_damaged_list_of_what_is_known_trusts_nothing(state, plain, module, tmp_path):
    folder = tmp_path / "state" / "ppo"
    folder.mkdir(parents=True)
    (folder / trust.FILE).write_bytes(state.encode("latin-1"))
    run = foreign(plain, tmp_path / "results", f"network.encoder={module}:Net")
    with pytest.raises(UserError, match="was not imported"):
        load_policy(run)


def test_a_home_that_cannot_be_written_stops_no_run(module, tmp_path):
    (tmp_path / "state").write_text("a file")
    assert trust.remember(Config.load(overrides=[f"network.encoder={module}:Net"]))


# ---- sources are found without running them


def test_the_packages_around_a_module_are_part_of_its_source(module, tmp_path):
    deep = tmp_path / "outer_pkg" / "without_init" / "inner"
    deep.mkdir(parents=True)
    for folder in (tmp_path / "outer_pkg", deep):
        (folder / "__init__.py").write_text("raise SystemExit('run')")
    (deep / "nets.py").write_text("raise SystemExit('run')")
    found = sources("outer_pkg.without_init.inner.nets")
    wanted = ["outer_pkg/__init__.py", "outer_pkg/without_init/inner/__init__.py",
              "outer_pkg/without_init/inner/nets.py"]  # fmt: skip
    assert [os.path.relpath(path, tmp_path) for path in found] == wanted
    before = digest("outer_pkg.without_init.inner.nets:Net")
    (tmp_path / "outer_pkg" / "__init__.py").write_text("other")
    assert before and digest("outer_pkg.without_init.inner.nets:Net") != before


def test_a_package_without_any_init_is_found(module, tmp_path):
    (tmp_path / "b" / "b").mkdir(parents=True)
    (tmp_path / "b" / "b" / "nets.py").write_text("")
    assert [path.name for path in sources("b.b.nets")] == ["nets.py"]
    assert sources("b.b.none") == [] == sources("sys") == sources("__main__x")
