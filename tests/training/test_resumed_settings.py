"""A run that goes on with other settings says so, and keeps the former ones."""

import io

import pytest
import yaml

from ppo import Config, Trainer
from ppo.algorithm.automatic import chosen
from ppo.cli import main
from ppo.cli.console import Console
from ppo.core.errors import UserError
from ppo.insight.comparison.run import former_parts
from ppo.insight.logs import read_settings

SETS = [
    "env.id=CartPole-v1", "env.num_envs=2", "ppo.num_steps=8", "ppo.num_minibatches=1",
    "ppo.num_epochs=1", "ppo.learning_rate=1e-3", "train.total_timesteps=64",
    "env.calibration_steps=4",
    "evaluation.episodes=2", "network.hidden_sizes=[8]", "system.compile=never",
    "logging.tensorboard=false", "logging.doctor=false", "env.double_precision=[]",
]  # fmt: skip


def config(*more):
    return Config.from_dict({}, [*SETS, *more])


class Told(Console):
    """A console that keeps what it is given at the start, and its notes."""

    def __init__(self):
        super().__init__(io.StringIO())
        self.facts, self.notes = {}, []

    def start(self, run, config, facts):
        super().start(run, config, facts)
        self.facts = facts

    def note(self, text):
        self.notes.append(text)


LINEAR = "ppo.learning_rate_schedule=linear"


def resumed(tmp_path, settings, *more, batches=2):
    Trainer(settings, tmp_path).train(batches=batches)
    told = Told()
    trainer = Trainer(config(LINEAR, *more), tmp_path, console=told, resume="run0001")
    trainer.train(batches=1)
    events = trainer.folder.records()[batches]["events"]
    return trainer.folder, told, events


def test_a_jump_of_a_schedule_is_an_event_and_a_note(tmp_path):
    """Half of the run is done, and then a quarter: the rate rises from 5e-4 to 7.5e-4."""
    folder, told, events = resumed(tmp_path, config(LINEAR), "train.total_timesteps=128")
    assert any("train.total_timesteps 64 -> 128" in line for line in events)
    (jump,) = [line for line in events if "ppo.learning_rate is" in line]
    assert "from batch 2 on ppo.learning_rate is 0.00075 (0.0005 by the former settings)" in jump
    assert folder.records()[2]["learning_rate"] == pytest.approx(7.5e-4)
    assert told.facts["differs"] == ["train.total_timesteps 64 -> 128"]
    assert told.facts["previous"] == "batch 2"
    assert set(events) <= set(told.notes)


def test_the_former_settings_are_kept_under_the_batch_they_led_to(tmp_path):
    folder, _, _ = resumed(tmp_path, config(LINEAR), "ppo.gamma=0.5")
    assert Config.load(folder.path / "config.batch0002.yaml") == chosen(config(LINEAR))[0]
    assert Config.load(folder.path / "config.yaml").ppo.gamma == 0.5
    Trainer(config(LINEAR), tmp_path, resume="run0001").train(batches=1)
    assert Config.load(folder.path / "config.batch0003.yaml").ppo.gamma == 0.5


def test_of_two_changes_at_one_batch_that_of_the_batches_before_is_kept(tmp_path, monkeypatch):
    """The second settings trained nothing that is left."""
    Trainer(config(LINEAR), tmp_path).train(batches=2)
    second = Trainer(config("ppo.gamma=0.5"), tmp_path, resume="run0001")
    monkeypatch.setattr(second, "_loop", lambda *_: second.__setattr__("whole", False))
    second.train(batches=1)
    third = Trainer(config("ppo.gamma=0.6"), tmp_path, resume="run0001")
    third.train(batches=1)
    assert Config.load(third.folder.path / "config.batch0002.yaml") == chosen(config(LINEAR))[0]


def test_a_setting_that_was_chosen_and_is_given_now_is_one_change(tmp_path):
    """Which settings were `auto` is no setting of its own."""
    Trainer(config("ppo.learning_rate=auto"), tmp_path).train(batches=2)
    before = Config.load(tmp_path / "run0001" / "config.yaml")
    assert "ppo.learning_rate" in before.auto.settings
    told = Told()
    trainer = Trainer(config("ppo.learning_rate=2e-5"), tmp_path, console=told, resume="run0001")
    trainer.train(batches=1)
    change = f"ppo.learning_rate {before.ppo.learning_rate} -> 2e-05"
    assert [text for text in told.facts["differs"] if "learning_rate " in text] == [change]
    assert not any("auto." in text for text in told.facts["differs"])
    (part,) = former_parts(trainer.folder.path, read_settings(trainer.folder.path))
    assert f"ppo.learning_rate {before.ppo.learning_rate}" in part and "auto." not in part


def test_a_setting_that_the_former_version_did_not_have_is_no_change(tmp_path):
    text = config("env.kwargs={a: 1}").to_dict()
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(text))
    text["ppo"]["gamma"] = 0.5
    text["env"]["kwargs"] = {"b": 1}
    del text["ppo"]["max_gamma"]
    (tmp_path / "config.batch0014.yaml").write_text(yaml.safe_dump(text))
    (part,) = former_parts(tmp_path, read_settings(tmp_path))
    assert "ppo.gamma 0.5" in part and "env.kwargs.a null" in part and "max_gamma" not in part


def test_the_same_settings_are_not_mentioned(tmp_path):
    folder, told, events = resumed(tmp_path, config(LINEAR))
    assert not told.facts.get("differs") and not any("resumed with" in line for line in events)
    assert not list(folder.path.glob("config.batch*"))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("network.hidden_sizes=[4]", "network.hidden_sizes: [8] -> [4] since run0001 was started"),
        ("ppo.value_loss=two_hot", "ppo.value_loss: squared -> two_hot since run0001"),
    ],
)
def test_another_network_or_critic_is_the_users_mistake(tmp_path, capsys, change, line):
    Trainer(config(), tmp_path).train(batches=1)
    kept = {file: file.read_bytes() for file in (tmp_path / "run0001" / "checkpoints").iterdir()}
    words = ["--mode", "train", "--resume", "run0001", "--results", str(tmp_path)]
    assert main([*words, "--set", change, "--set", "ppo.learning_rate=1e-4"]) == 2
    out, err = capsys.readouterr()
    assert not out and err.startswith(f"error: {line}") and err.count("\n") == 1
    assert kept == {file: file.read_bytes() for file in kept}


def test_a_run_that_begins_again_keeps_no_former_settings(tmp_path):
    """Nothing of what is left was trained with them."""
    first = Trainer(config(), tmp_path)
    first.train(batches=1)
    for path in (first.folder.path / "checkpoints").iterdir():
        path.unlink()
    first.folder.write_json("summary.json", {"status": "running"})  # as one that was killed
    again = Trainer(config(LINEAR), tmp_path, resume="run0001")
    again.train(batches=1)
    assert again.notes == ["the run had no checkpoint yet: it begins again with batch 0"]
    assert not list(again.folder.path.glob("config.batch*"))
    assert not any("resumed with" in line for line in again.folder.records()[0]["events"])


def test_a_run_whose_checkpoints_are_gone_keeps_its_records(tmp_path):
    first = Trainer(config(), tmp_path)
    first.train(batches=2)
    first.close()
    for path in (tmp_path / "run0001" / "checkpoints").iterdir():
        path.unlink()
    before = (tmp_path / "run0001" / "loss_metrics.json").read_bytes()
    for _ in range(2):  # the first attempt has not made it a run that may begin again
        with pytest.raises(UserError, match="run0001: its checkpoints are gone, .* its 2 batches"):
            Trainer(config(), tmp_path, resume="run0001").train(batches=1)
    assert (tmp_path / "run0001" / "loss_metrics.json").read_bytes() == before


@pytest.mark.parametrize("how", ["missing", "empty"])
def test_a_run_without_its_settings_is_not_continued_with_the_shipped_ones(tmp_path, capsys, how):
    Trainer(config(), tmp_path).train(batches=1)
    (tmp_path / "run0001" / "config.yaml").unlink()
    if how == "empty":
        (tmp_path / "run0001" / "config.yaml").touch()
    words = ["--mode", "train", "--resume", "run0001", "--results", str(tmp_path)]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: --resume run0001: its config.yaml is {how}, which holds")
    assert said.count("\n") == 1


def test_a_run_that_has_done_all_its_steps_is_left_as_it_is(tmp_path, capsys):
    """Else its config.yaml would hold settings that no batch was trained with."""
    Trainer(config(), tmp_path).train()
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    sets = [
        "--set",
        "ppo.gamma=0.5",
        "--set",
        "logging.doctor=true",
        "--set",
        "ppo.num_epochs=auto",
    ]
    words = ["--mode", "train", "--results", str(tmp_path), "--resume", "run0001"]
    assert main([*words, *sets]) == 0
    text = capsys.readouterr().out
    assert " ".join(text.split()).startswith(
        "nothing is left to do: run0001 has 64 steps, and train.total_timesteps is 64; one above "
        "64 goes on not used, since no batch is left: ppo.gamma 0.99 -> 0.5, logging.doctor false"
    )
    assert "run0001 | finished" in text
    assert files == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert main([*words, "--quiet", "--set", "train.total_timesteps=80"]) == 0
    assert "run0001 | finished, 80 steps" in capsys.readouterr().out


def test_a_finished_run_is_named_as_it_can_be_typed_here(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Trainer(config(), "training_results").train()
    assert main(["--mode", "train", "--resume", "run0001"]) == 0
    text = capsys.readouterr().out
    assert "files   | training_results/run0001\n" in text
    assert text.endswith("--mode evaluate --run run0001\n")


def test_a_run_goes_on_whose_summary_is_half_written(tmp_path, capsys):
    Trainer(config(), tmp_path).train()
    (tmp_path / "run0001" / "summary.json").write_text('{"status": "fin')
    words = ["--mode", "train", "--results", str(tmp_path), "--resume", "run0001"]
    assert main([*words, "--quiet", "--set", "train.total_timesteps=80"]) == 0
    assert "run0001 | finished, 80 steps" in capsys.readouterr().out


def test_where_there_is_no_run_the_latest_is_a_new_one_and_that_is_printed(tmp_path, capsys):
    sets = [word for text in SETS for word in ("--set", text)]
    words = ["--mode", "train", "--results", str(tmp_path), "--resume", "latest", *sets]
    assert main(words) == 0
    assert f"no run in {tmp_path} yet: a new one begins" in capsys.readouterr().err
    assert main([*words, "--set", "train.total_timesteps=80"]) == 0
    assert "a new one begins" not in capsys.readouterr().err
    assert [path.name for path in tmp_path.glob("run*")] == ["run0001"]


def test_times_are_those_of_all_processes(tmp_path):
    first = Trainer(config(), tmp_path)
    first.learner.timing["collect"] += 1000
    first.evaluated.seconds += 1000
    first.train(batches=2)
    first.close()
    second = Trainer(config(), tmp_path, resume="run0001")
    summary = second.train()
    assert all(1000 < summary["time"][part] < 1100 for part in ("collect", "evaluation"))
