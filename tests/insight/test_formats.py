"""Every format that people have: tiny logs of each, and what the doctor makes of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from foreign_logs import STEPS, rising, tags
from insight_runs import event_file

from ppo.cli.main import main
from ppo.insight.doctor import diagnose, report, to_json
from ppo.insight.logs import read_log
from ppo.insight.logs.writers import writers
from ppo.insight.verdict import status

UNITY = {
    "Environment/Cumulative Reward": rising,
    "Environment/Episode Length": 50.0,
    "Policy/Entropy": 1.4189385,
    "Policy/Learning Rate": 3e-4,
    "Policy/Beta": 5e-3,
    "Losses/Policy Loss": 0.02,
    "Losses/Value Loss": 4.0,
}
SKRL = {
    "Reward / Total reward (mean)": rising,
    "Loss / Policy loss": -0.01,
    "Loss / Value loss": 0.5,
    "Policy / Standard deviation": 0.9,
    "Learning / Learning rate": 1e-3,
}
TIANSHOU = {"train/reward": rising, "train/length": 50.0, "update/loss/vf": 3.0}
RLLIB = {
    "ray/tune/episode_reward_mean": rising,
    "ray/tune/info/learner/default_policy/learner_stats/kl": 0.01,
    "ray/tune/info/learner/default_policy/learner_stats/vf_loss": 9.0,
    "ray/tune/info/learner/default_policy/learner_stats/vf_explained_var": 0.8,
    "ray/tune/evaluation/episode_reward_mean": -5.0,
}


@pytest.mark.parametrize(
    ("writer", "written", "column", "value"),
    [
        ("ml-agents", UNITY, "value_rmse", 2.0),
        ("ml-agents", UNITY, "entropy_coefficient", 5e-3),
        ("skrl", SKRL, "policy_std", 0.9),
        ("tianshou", TIANSHOU, "value_loss", 3.0),
        ("rllib", RLLIB, "explained_variance", 0.8),
        ("rllib", RLLIB, "value_rmse", 3.0),
    ],
)
def test_event_files_of_other_libraries_are_read(
    tmp_path: Path, writer: str, written: dict, column: str, value: float
) -> None:
    log = read_log(event_file(tmp_path / "events.out.tfevents.1", tags(**written)).parent)
    assert log.writer == writer and len(log) == len(STEPS)
    assert log.get(column)[0] == pytest.approx(value)
    assert log.get("mean_episode_return")[-1] == pytest.approx(rising(39), rel=1e-5)
    assert status(log, diagnose(log)) == "healthy"


def test_unity_losses_are_written_less_often_than_its_summary(tmp_path: Path) -> None:
    written = tags(**UNITY)
    written["Losses/Value Loss"] = written["Losses/Value Loss"][4::5]
    log = read_log(event_file(tmp_path / "events.out.tfevents.1", written))
    assert np.isnan(log.get("value_rmse")[3]) and (log.get("value_rmse")[4:] == 2.0).all()
    assert log.settings["ppo.normalize_returns"] is False, "it has none"


def test_rl_games_tells_the_deviation_by_its_entropy(tmp_path: Path) -> None:
    written = tags(**{"losses/a_loss": 0.0, "losses/c_loss": 0.1, "losses/entropy": 2.837877})
    log = read_log(event_file(tmp_path / "events.out.tfevents.1", written))
    assert log.get("policy_std")[0] == pytest.approx(1.0, rel=1e-3)


def test_spinning_up_is_tab_separated(tmp_path: Path) -> None:
    head = "Epoch\tAverageEpRet\tEpLen\tTotalEnvInteracts\tLossPi\tLossV\tEntropy\tKL\tClipFrac\n"
    rows = [f"{i}\t{rising(i)}\t50\t{4000 * i}\t0\t9.0\t0.9\t0.01\t0.1\n" for i in range(40)]
    (tmp_path / "progress.txt").write_text(head + "".join(rows))
    log = read_log(tmp_path)
    assert log.writer == "spinning-up" and log.get("value_rmse")[0] == 3.0
    assert log.get("env_steps")[-1] == 156000 and log.algorithm == "PPO"


def test_nested_results_of_rllib_are_read(tmp_path: Path) -> None:
    stats = {"kl": 0.01, "vf_explained_var": 0.7, "vf_loss": 4.0}
    rows = [
        {
            "episode_reward_mean": rising(i),
            "timesteps_total": 4000 * (i + 1),
            "info": {"learner": {"default_policy": {"learner_stats": stats}}},
            "hist_stats": {"episode_reward": [1.0]},
        }
        for i in range(30)
    ]
    (tmp_path / "result.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    log = read_log(tmp_path)
    assert log.writer == "rllib" and len(log) == 30
    assert log.get("explained_variance")[3] == 0.7 and log.get("env_steps")[0] == 4000


def test_monitors_of_several_environments_are_one_log(tmp_path: Path) -> None:
    for env in range(2):
        rows = [f"{rising(i)},{10 + env},{i + 0.1 * env}\n" for i in range(60)]
        head = '#{"t_start": 100.0, "env_id": "Made-v0"}\nr,l,t\n'
        (tmp_path / f"{env}.monitor.csv").write_text(head + "".join(rows))
    log = read_log(tmp_path)
    assert log.writer == "monitor.csv" and len(log) == 24 and "2 monitor files" in log.source
    assert log.get("env_steps")[-1] == 60 * 10 + 60 * 11
    assert log.get("mean_episode_return")[0] < 30 < log.get("mean_episode_return")[-1]
    assert status(log, diagnose(log)) == "healthy"


def test_the_csv_of_ppo_pytorch_is_read(tmp_path: Path) -> None:
    rows = "".join(f"{9 * i},{800 * i},{rising(i)}\n" for i in range(1, 40))
    (tmp_path / "PPO_log_0.csv").write_text("episode,timestep,reward\n" + rows)
    log = read_log(tmp_path)
    assert log.writer == "ppo-pytorch" and log.get("env_steps")[0] == 800


def sb3_row(i: int, **more: float) -> dict[str, float]:
    return {"time/total_timesteps": 100 * i, "rollout/ep_rew_mean": rising(i)} | more


def write_csv(file: Path, rows: list[dict[str, float]]) -> Path:
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [",".join(names), *(",".join(str(row.get(n, "")) for n in names) for row in rows)]
    file.write_text("\n".join(lines) + "\n")
    return file


def test_rows_of_an_evaluation_are_no_batches(tmp_path: Path) -> None:
    rows: list[dict[str, float]] = [sb3_row(1)]
    for i in range(2, 30):  # an evaluation writes train/* out before the next rollout does
        train = {"train/policy_gradient_loss": -0.01, "train/value_loss": float(i - 1)}
        if i % 3 == 0:
            rows += [{"time/total_timesteps": 100 * i - 50, "eval/mean_reward": 1.0} | train]
            rows += [sb3_row(i)]
        else:
            rows += [sb3_row(i, **train)]
    log = read_log(write_csv(tmp_path / "progress.csv", rows))
    assert len(log) == 29
    np.testing.assert_array_equal(log.get("value_loss")[:-1], np.arange(1.0, 29.0))


@pytest.mark.parametrize(
    ("tag", "algorithm"),
    [("train/policy_loss", "A2C"), ("rollout/exploration_rate", "DQN")],
)
def test_what_is_not_ppo_is_stated(tmp_path: Path, tag: str, algorithm: str) -> None:
    log = read_log(write_csv(tmp_path / "a.csv", [sb3_row(i, **{tag: 0.1}) for i in range(40)]))
    assert log.algorithm == algorithm and diagnose(log) == []
    assert status(log, []) == "not_read" and f"{algorithm}, not PPO" in report(log, [])


def test_event_files_that_begin_again_are_runs_of_their_own(tmp_path: Path) -> None:
    old, new = tags(**UNITY), tags(**{**UNITY, "Environment/Cumulative Reward": 1.0})
    event_file(tmp_path / "events.out.tfevents.1700000300.z", new)  # the newest by its name
    event_file(tmp_path / "events.out.tfevents.1700000100.a", old)
    later = {tag: [(s + 40_000, v) for s, v in points] for tag, points in old.items()}
    event_file(tmp_path / "events.out.tfevents.1700000200.b", later)  # goes on where it ended
    log = read_log(tmp_path)
    assert len(log) == 40 and (log.get("mean_episode_return") == 1.0).all()
    assert "1700000300" in report(log, []) and "newest of 2 runs" in report(log, [])


def test_a_log_without_known_figures_is_not_read_and_its_tags_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_csv(tmp_path / "odd.csv", [{"zork": i, "My Figure": 1.0} for i in range(30)])
    assert main(["--mode", "diagnose", str(file), "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert document["status"] == "not_read" and document["unknown_tags"] == ["My Figure", "zork"]
    assert main(["--mode", "diagnose", str(file)]) == 2
    assert "healthy" not in capsys.readouterr().out
    (tmp_path / "empty").mkdir()
    assert main(["--mode", "diagnose", str(tmp_path / "empty"), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["status"] == "not_read"


def test_a_single_batch_is_too_early(tmp_path: Path) -> None:
    one = {tag: points[:1] for tag, points in tags(**UNITY).items()}
    log = read_log(event_file(tmp_path / "events.out.tfevents.1", one))
    assert json.loads(to_json(log, diagnose(log)))["status"] == "too_early"
    assert "too early to judge" in report(log, [])


PLAIN = {"ep_rew_mean": rising, "approx_kl": 0.01, "value_loss": 3.0}


def table(file: Path, columns: dict[str, object], mark: str = ",", encoding: str = "utf-8") -> Path:
    """A table of STEPS and columns."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [mark.join(["step", *columns])]
    for i, step in enumerate(STEPS):
        cells = [value(i) if callable(value) else value for value in columns.values()]
        lines.append(mark.join(map(str, [step, *cells])))
    file.write_text("\n".join(lines) + "\n", encoding=encoding)
    return file


@pytest.mark.parametrize(
    ("mark", "encoding"), [(",", "utf-8"), (";", "utf-8"), ("\t", "utf-8"), (", ", "utf-8"),
                           (",", "utf-8-sig"), (",", "utf-16")]
)  # fmt: skip
def test_a_table_is_read_whatever_parts_its_cells(tmp_path: Path, mark: str, encoding: str) -> None:
    log = read_log(table(tmp_path / "progress.csv", PLAIN, mark, encoding))
    assert log.get("mean_episode_return")[3] == rising(3) and log.get("approx_kl")[0] == 0.01
    assert log.get("env_steps")[-1] == STEPS[-1] and log.unknown_tags == []


@pytest.mark.parametrize(
    "names",
    [
        {"Episode_Reward_Mean": rising, "Approx KL": 0.01, "VF-Loss": 3.0},
        {"eprewmean": rising, "loss/approxkl": 0.01, "loss/value_loss": 3.0},  # baselines
        {"Evaluation/AverageReturn": rising, "Policy/KL": 0.01, "V/critic_loss": 3.0},  # garage
        {"train/return": rising, "train/kl_approx": 0.01, "train/loss_value": 3.0},
        {"eval/Episode Reward": rising, "training/kl_mean": 0.01, "training/critic_loss_mean": 3.0},
        {"reward/reward": rising, "train/kl_div_mean": 0.01, "train/value_loss": 3.0},
    ],
)
def test_words_of_unknown_writers_are_found_in_any_spelling(tmp_path: Path, names: dict) -> None:
    log = read_log(event_file(tmp_path / "events.out.tfevents.1", tags(**names)))
    assert log.writer == "unknown" and log.unknown_tags == []
    assert log.get("mean_episode_return")[3] == pytest.approx(rising(3))
    assert log.get("approx_kl")[0] == pytest.approx(0.01) and log.get("value_loss")[0] == 3.0


def test_a_return_of_training_goes_before_one_of_an_evaluation(tmp_path: Path) -> None:
    names = {
        "eval/mean_reward": 1.0,
        "train/episode_reward_of_agent": 2.0,
        "train/ep_rew_mean": 3.0,
    }
    log = read_log(event_file(tmp_path / "events.out.tfevents.1", tags(**names)))
    assert log.get("mean_episode_return")[0] == 3.0


SB3 = {
    "rollout/ep_rew_mean": rising,
    "train/policy_gradient_loss": -0.01,
    "train/approx_kl": 0.01,
    "train/explained_variance": 0.8,
}


@pytest.mark.parametrize("prefix", ["exp1/", "group/exp1/", "Skrl/"])
def test_a_prefix_of_all_tags_hides_no_writer(tmp_path: Path, prefix: str) -> None:
    shown = SKRL if prefix == "Skrl/" else SB3
    log = read_log(
        event_file(
            tmp_path / "events.out.tfevents.1", tags(**{prefix + k: v for k, v in shown.items()})
        )
    )
    assert log.writer == ("skrl" if prefix == "Skrl/" else "stable-baselines3")
    assert any("prefix" in note for note in log.notes)


def test_a_table_exported_from_weights_and_biases_is_that_of_its_writer(tmp_path: Path) -> None:
    columns = {f"ppo_7 - {tag}{end}": v for tag, v in SB3.items() for end in ("", "__MIN", "__MAX")}
    log = read_log(table(tmp_path / "wandb_export.csv", columns))
    assert log.writer == "stable-baselines3" and log.unknown_tags == []
    assert log.get("mean_episode_return")[3] == rising(3)


def test_json_may_be_an_array_of_rows_or_an_object_of_columns(tmp_path: Path) -> None:
    rows = [{"step": s, "ep_rew_mean": rising(i), "approx_kl": 0.01} for i, s in enumerate(STEPS)]
    array, columns = tmp_path / "a" / "log.json", tmp_path / "b" / "log.json"
    for file, tree in ((array, rows), (columns, {k: [r[k] for r in rows] for k in rows[0]})):
        file.parent.mkdir()
        file.write_text(json.dumps(tree))
        log = read_log(file.parent)
        assert log.get("mean_episode_return")[3] == rising(3) and len(log) == len(STEPS)


def test_a_folder_with_a_table_for_each_figure_is_one_log(tmp_path: Path) -> None:
    """As TorchRL's CSVLogger writes: `step,value`, without a head."""
    for name, value in {"train_reward": rising, "kl_approx": lambda i: 0.01}.items():
        lines = [f"{step},{value(i)}" for i, step in enumerate(STEPS)]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
    log = read_log(tmp_path)
    assert log.get("mean_episode_return")[:4] == pytest.approx([rising(i) for i in range(4)])
    assert log.get("env_steps")[0] == STEPS[0]


@pytest.mark.parametrize(
    ("extra", "algorithm"),
    [({"q_loss": 1.0}, "DQN"), ({"critic1_loss": 1.0}, "SAC"), ({"epsilon": 0.1}, "DQN"),
     ({"train/model_loss": 1.0}, "model-based"), ({"QF/Qf1Loss": 1.0}, "SAC")],
)  # fmt: skip
def test_another_algorithm_of_an_unknown_writer_is_named(
    tmp_path: Path, extra: dict, algorithm: str
) -> None:
    names = {"ep_rew_mean": rising, "actor_loss": 0.1}
    log = read_log(event_file(tmp_path / "events.out.tfevents.1", tags(**names, **extra)))
    assert algorithm in log.algorithm and status(log, diagnose(log)) == "not_read"
    ppo = event_file(tmp_path / "b" / "events.out.tfevents.1", tags(**PLAIN, **extra))
    assert read_log(ppo).algorithm == "PPO", "a KL is that of PPO"


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 5000, bytes(range(256)) * 20, b"[" * 100_000, b"5", b"step,ep_rew_mean\n"],
)
@pytest.mark.parametrize("name", ["events.out.tfevents.1", "progress.csv", "log.jsonl", "log.json"])
def test_what_is_no_log_is_not_read(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert main(["--mode", "diagnose", str(tmp_path), "--json"]) == 2


def test_losses_alone_of_an_unknown_writer_are_too_little_to_judge(tmp_path: Path) -> None:
    few = tags(policy_loss=0.1, value_loss=1.0, accuracy=0.5)
    log = read_log(event_file(tmp_path / "events.out.tfevents.1", few))
    assert status(log, diagnose(log)) == "not_read" and log.unknown_tags == ["accuracy"]


def test_the_order_of_exported_rows_changes_nothing(tmp_path: Path) -> None:
    train = [{"train/n_updates": 10.0 * i, "train/value_loss": float(i)} for i in range(30)]
    rows = [sb3_row(i + 1, **figures) for i, figures in enumerate(train)]
    told = {}
    for name, order in (
        ("written", rows),
        ("newest_first", rows[::-1]),
        ("mixed", rows[::2] + rows[1::2]),
    ):
        log = read_log(write_csv(tmp_path / f"{name}.csv", order))
        told[name] = (log.settings, log.get("value_loss")[:-1].tolist())
    assert told["written"] == told["newest_first"] == told["mixed"]
    assert told["written"][0]["ppo.num_epochs"] == 10


@pytest.mark.parametrize("axis", ["", "iteration", "Step", "update", "global_step"])
def test_an_axis_that_counts_rows_is_no_size_of_a_batch(tmp_path: Path, axis: str) -> None:
    rows = [
        {"ep_rew_mean": rising(i), "ep_len_mean": 50.0, "explained_variance": 0.5, "kl": 0.01}
        | ({axis: i * (16 if axis == "global_step" else 1)} if axis else {})
        for i in range(1, 31)
    ]
    log = read_log(write_csv(tmp_path / "log.csv", rows))
    assert log.has("env_steps") == (axis == "global_step")
    named = [finding.illness for finding in diagnose(log)]
    assert named == (["batch_too_small"] if axis == "global_step" else [])


@pytest.mark.parametrize(
    ("loss", "returns", "illness"),
    [
        (lambda i: 400.0 * (1e6 if i == 20 else 1), rising, "reward_outlier"),
        (lambda i: 1e8 + i, lambda i: 25.0 + i % 3, "reward_scale_too_large"),
        (lambda i: 1e4 + i, lambda i: 900.0 + 60 * (i % 3), ""),  # summed, or averaged: not known
    ],
)
def test_a_value_loss_of_an_unknown_writer_counts_where_its_unit_is_no_matter(
    tmp_path: Path, loss: Callable, returns: Callable, illness: str
) -> None:
    rows = [{"Timesteps": 1000 * i, "Mean Reward": returns(i), "Value Loss": loss(i)}
            for i in range(1, 31)]  # fmt: skip
    named = [finding.illness for finding in diagnose(read_log(write_csv(tmp_path / "x.csv", rows)))]
    assert named[:1] == ([illness] if illness else [])


def test_a_log_is_shown_to_libraries_in_a_fixed_order() -> None:
    numbers = [writer.number for writer in writers()]
    assert numbers == sorted(set(numbers)) and len(numbers) > 10
