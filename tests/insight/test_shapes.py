"""Tables and texts that are not one row a batch of one run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from made_logs import first

from ppo.insight.logs import MetricsLog, read_log

RETURNS = [20.0 + 4 * i + (i * 7 % 5) for i in range(40)]
FLAT = [20.0 + (i * 7 % 5) for i in range(40)]


def log_of(folder: Path, name: str, text: str) -> MetricsLog:
    (folder / name).write_text(text)
    return read_log(folder / name)


def rows(returns: list[float], start: int = 0, step: int = 1000) -> str:
    return "".join(f"{(i + 1 + start) * step},{r}\n" for i, r in enumerate(returns))


@pytest.mark.parametrize("named", ["tag", "metric", "key", "variable"])
def test_a_table_with_a_row_for_each_figure_is_read_by_step(tmp_path: Path, named: str) -> None:
    text = f"run,{named},step,value\n"
    for i, value in enumerate(RETURNS):
        text += f"a,rollout/ep_rew_mean,{2048 * (i + 1)},{value}\n"
        text += f"a,train/approx_kl,{2048 * (i + 1)},0.01\n"
    text += "b,rollout/ep_rew_mean,2048,-5\n"
    log = log_of(tmp_path, "scalars.csv", text)
    assert log.writer == "stable-baselines3" and first(log) == "healthy"
    assert log.get("mean_episode_return").tolist() == RETURNS
    assert log.get("env_steps")[-1] == 40 * 2048 and log.has("approx_kl")


@pytest.mark.parametrize("lost", ["tag", "step", "value"])
@pytest.mark.parametrize("left", [{}, None, [1, 2], {"a": 1}])
def test_a_cell_that_is_missing_or_is_none_costs_its_row_alone(
    tmp_path: Path, lost: str, left: object
) -> None:
    """Empty braces stand for no cell at all."""
    lines = [{"tag": "reward", "step": 1000 * i, "value": value} for i, value in enumerate(RETURNS)]
    lines[7] = {key: cell for key, cell in lines[7].items() if key != lost}
    lines[7] |= {} if left == {} else {lost: left}
    log = log_of(tmp_path, "log.jsonl", "\n".join(map(json.dumps, lines)))
    assert log.get("mean_episode_return").tolist() == [*RETURNS[:7], *RETURNS[8:]]


@pytest.mark.parametrize(
    "text",
    [
        '{"reward": [1, 2, 3], "step": [[1], [2], {"a": 3}]}',
        "[[1, 2, 3], [4, 5, 6], [{}, [], null]]",
        '[{"step": {"a": 1}, "reward": 2}, {"step": [1], "reward": 3}]',
    ],
)
def test_lists_and_objects_in_place_of_numbers_are_no_figures(tmp_path: Path, text: str) -> None:
    assert log_of(tmp_path, "log.json", text).writer == "unknown"


def test_lines_that_were_cut_out_of_an_array_are_read(tmp_path: Path) -> None:
    """As `tail -20 run0001/loss_metrics.json` prints them."""
    lines = [json.dumps({"env_steps": 1000 * i, "reward": 1.0 * i, "kl": 0.01}) for i in range(20)]
    log = log_of(tmp_path, "tail.jsonl", ",\n".join(lines) + "\n]}\n")
    assert log.get("env_steps").tolist() == [1000.0 * i for i in range(20)]
    assert log.get("mean_episode_return")[-1] == 19.0


def test_lists_of_unequal_length_are_of_the_same_run(tmp_path: Path) -> None:
    """Returns of 400 episodes, and losses of 40 updates."""
    episodes = np.repeat(RETURNS, 10).tolist()
    losses = {"policy_losses": [0.1] * 40, "value_losses": [float(i) for i in range(40)]}
    log = log_of(tmp_path, "metrics.json", json.dumps({"episode_rewards": episodes, **losses}))
    assert len(log) == 40 and first(log) == "healthy"
    assert log.get("value_loss").tolist() == losses["value_losses"]
    assert log.get("mean_episode_return") == pytest.approx(RETURNS)


def test_of_several_runs_in_one_table_the_last_is_read(tmp_path: Path) -> None:
    head = "total timesteps,ep_rew_mean\n"
    log = log_of(tmp_path, "progress.csv", head + rows(FLAT) + rows(RETURNS))
    assert len(log) == 40 and first(log) == "healthy" and "2 runs in one table" in log.notes[0]
    log = log_of(tmp_path, "progress.csv", head + rows(RETURNS) + rows(FLAT))
    assert first(log) == "not_learning"
    log = log_of(tmp_path, "progress.csv", head + rows(RETURNS) + rows(FLAT[:6]))
    assert len(log) == 40 and first(log) == "healthy", "a start that was given up is no run"


def test_a_run_whose_steps_begin_anew_at_each_call_is_one_run(tmp_path: Path) -> None:
    """`model.learn` in a loop, without reset_num_timesteps=False."""
    text = "total timesteps,ep_rew_mean\n"
    text += "".join(rows(RETURNS[at : at + 10]) for at in range(0, 40, 10))
    log = log_of(tmp_path, "progress.csv", text)
    assert log.get("mean_episode_return").tolist() == RETURNS
    assert log.get("env_steps").tolist() == [1000.0 * (i + 1) for i in range(40)]


def test_a_row_without_a_step_stops_no_counting_on(tmp_path: Path) -> None:
    """As one of an evaluation between two calls of `learn`."""
    told = [{"total_timesteps": 1000 * (i % 10 + 1), "reward": r} for i, r in enumerate(RETURNS)]
    told.insert(35, {"evaluation": 1.0})
    told.insert(10, {"evaluation": 1.0})
    log = log_of(tmp_path, "log.jsonl", "\n".join(map(json.dumps, told)))
    assert log.get("mean_episode_return").tolist() == RETURNS
    assert log.get("env_steps").tolist() == [1000.0 * (i + 1) for i in range(40)]


def test_rows_that_were_done_again_after_a_resume_are_no_second_run(tmp_path: Path) -> None:
    text = "total timesteps,ep_rew_mean\n" + rows(RETURNS[:30]) + rows(RETURNS[20:], start=20)
    assert len(log_of(tmp_path, "progress.csv", text)) == 40


@pytest.mark.parametrize(
    "text",
    [
        "rewards = [{}]\n",
        "Here is what I get:\n\nmean reward per update:\n{}\n\nwhat is wrong?\n",
        "ep_rew_mean: [{}]\n",
        "'episode_returns': array([{}])\n".replace("array(", "").replace(")", ""),
    ],
)
def test_numbers_that_were_pasted_behind_a_name_are_read(tmp_path: Path, text: str) -> None:
    for values, found in ((RETURNS, "healthy"), (FLAT, "not_learning")):
        for sign in (", ", "\n"):
            log = log_of(tmp_path, "post.txt", text.format(sign.join(map(str, values))))
            assert log.get("mean_episode_return").tolist() == values
            assert first(log) == found


def test_numbers_without_a_name_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "numbers.txt").write_text("\n".join(map(str, RETURNS)) + "\n")
    assert not read_log(tmp_path / "numbers.txt").has("mean_episode_return")


@pytest.mark.parametrize(
    "line",
    [
        "update {i}/40 | steps {s} | return {r} | kl 0.0100 | clipfrac 0.1 | v_loss 2.5",
        "upd {i}/40  return {r}  kl 0.0100  clipfrac 0.1  v_loss 2.5",
    ],
)
def test_names_and_numbers_without_a_sign_between_them_are_read(tmp_path: Path, line: str) -> None:
    text = "".join(line.format(i=i + 1, s=1000 * i, r=r) + "\n" for i, r in enumerate(RETURNS))
    log = log_of(tmp_path, "run.log", text)
    assert log.get("mean_episode_return").tolist() == RETURNS
    assert log.get("approx_kl").tolist() == [0.01] * 40 and first(log) == "healthy"


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        ("Avg_Reward_100", "mean_episode_return"),
        ("mean_reward_last_100_episodes", "mean_episode_return"),
        ("returned_episode_returns", "mean_episode_return"),
        ("returned_episode_lengths", "mean_episode_length"),
        ("entropies", "entropy"),
        ("value_losses", "value_loss"),
        ("kl_divs", "approx_kl"),
    ],
)
def test_a_word_for_many_or_over_some_episodes_is_the_word(
    tmp_path: Path, tag: str, name: str
) -> None:
    text = f"Episode,{tag},Total_Timesteps\n"
    text += "".join(f"{100 * (i + 1)},{r},{2000 * (i + 1)}\n" for i, r in enumerate(RETURNS))
    assert log_of(tmp_path, "training_log.csv", text).get(name).tolist() == RETURNS


def test_the_table_beside_an_event_file_tells_the_epochs(tmp_path: Path) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    with (tmp_path / "events.out.tfevents.1700000000.host").open("wb") as file:
        writer = RecordWriter(file)
        for i, value in enumerate(RETURNS):
            summary = Summary(value=[Summary.Value(tag="rollout/ep_rew_mean", simple_value=value)])
            writer.write(Event(step=2048 * (i + 1), summary=summary).SerializeToString())
    head = "time/total_timesteps,time/iterations,rollout/ep_rew_mean,train/n_updates\n"
    table = [f"{2048 * (i + 1)},{i + 1},{r},{80 * i}\n" for i, r in enumerate(RETURNS)]
    assert read_log(tmp_path).number("ppo.num_epochs") != 80
    (tmp_path / "progress.csv").write_text(head + "".join(table))
    assert read_log(tmp_path).number("ppo.num_epochs") == 80
    (tmp_path / "progress.csv").write_text(head + "".join(table[:9]))
    assert read_log(tmp_path).source.startswith(f"{tmp_path}: events"), "of another run"
