"""Readers of logs: units, alignment, and files that are damaged or foreign."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from insight_runs import event_file, healthy, write_run

from ppo.core.errors import UserError
from ppo.insight.comparison.compare import compare
from ppo.insight.doctor import diagnose, report, to_json
from ppo.insight.logs import find_run, read_log, read_records

SAMPLES = Path(__file__).parent / "samples"


def test_a_run_folder_is_read_with_its_settings(tmp_path: Path) -> None:
    log = read_log(write_run(tmp_path / "run0001", healthy(7)))
    assert len(log) == 7 and log.writer == "ppo"
    assert log.setting("ppo.normalize_returns") is True
    assert log.get("env_steps")[-1] == 7 * 4096


def test_what_follows_the_last_complete_line_is_dropped(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run0001", healthy(7))
    file = run / "loss_metrics.json"
    whole = file.read_bytes()
    for cut in range(0, len(whole), 97):
        file.write_bytes(whole[:cut])
        records = read_records(run)
        assert [r["batch"] for r in records] == list(range(len(records)))
        diagnose(read_log(run))


def test_a_resumed_run_keeps_the_newest_record_of_a_batch(tmp_path: Path) -> None:
    records = healthy(5) + [healthy(5)[4] | {"value_loss": 7.0}]
    log = read_log(write_run(tmp_path / "run0001", records))
    assert len(log) == 5 and log.get("value_loss")[-1] == 7.0


def test_a_folder_of_runs_means_the_newest_run_and_not_its_event_files(tmp_path: Path) -> None:
    for number, batches in ((1, 5), (2, 7)):
        run = write_run(tmp_path / "grid" / f"run000{number}", healthy(batches))
        os.utime(run / "loss_metrics.json", (number, number))
        (run / "tensorboard").mkdir()
        (run / "tensorboard" / "events.out.tfevents.1").write_bytes(b"")
    log = read_log(tmp_path)
    assert len(log) == 7 and log.writer == "ppo"
    assert "newest of 2 runs" in log.source and "run0002" in log.source


def test_a_run_of_imitation_has_nothing_to_judge_and_is_not_the_newest(tmp_path: Path) -> None:
    write_run(tmp_path / "run0001", healthy(5))
    imitation = write_run(tmp_path / "run0002", [])
    (imitation / "imitation.json").write_text("{}")
    os.utime(imitation / "loss_metrics.json", (2e9, 2e9))
    assert len(read_log(tmp_path)) == 5
    assert find_run("latest", tmp_path).name == "run0001"
    assert find_run("run0002", tmp_path).name == "run0002", "whoever names it, means it"
    for named in (imitation, imitation / "loss_metrics.json"):
        with pytest.raises(UserError, match=r"run0002: a run of imitation .*: nothing to judge"):
            read_log(named)
    alone = tmp_path / "alone"
    alone.mkdir()
    imitation.rename(alone / "run0001")
    assert find_run("latest", alone).name == "run0001"
    with pytest.raises(UserError, match="run0001: a run of imitation"):
        read_log(alone)


def test_pretty_printed_records_are_read_too(tmp_path: Path) -> None:
    file = tmp_path / "loss_metrics.json"
    file.write_text(json.dumps({"schema_version": 1, "batches": healthy(3)}, indent=2))
    assert len(read_log(file)) == 3


def test_stable_baselines3_figures_belong_to_the_batch_they_were_computed_on() -> None:
    log = read_log(SAMPLES / "h_pendulum")
    assert log.writer == "stable-baselines3"
    assert log.get("env_steps")[0] == 2048  # train/* of this batch is stamped 4096
    assert log.get("explained_variance")[0] == pytest.approx(-0.00568, abs=1e-5)
    assert math.isnan(log.get("explained_variance")[-1])
    assert log.get("entropy")[0] > 0  # entropy_loss with its sign turned
    assert log.get("value_rmse")[0] == pytest.approx(math.sqrt(log.get("value_loss")[0]))


def test_cleanrl_settings_come_from_its_text_summary_and_its_loss_has_a_half() -> None:
    log = read_log(SAMPLES / "c_lr_lo")
    assert log.setting("ppo.learning_rate") == 1e-7 and log.setting("ppo.num_epochs") == 4
    assert (log.get("value_loss_weight") == 0.5).all()  # in force, so that its rules can be asked
    assert log.get("value_rmse")[0] == pytest.approx(math.sqrt(2 * log.get("value_loss")[0]))
    assert log.get("entropy_relative")[0] == pytest.approx(1.0, abs=1e-3)


def test_rsl_rl_and_rl_games_are_told_apart_and_their_units_kept(tmp_path: Path) -> None:
    steps = range(30)
    rsl = {
        "Loss/value_function": [(i, 4.0) for i in steps],
        "Loss/surrogate": [(i, -0.01) for i in steps],
        "Policy/mean_noise_std": [(i, 1.0) for i in steps],
        "Train/mean_reward": [(i, float(i)) for i in range(3, 30)],
    }
    log = read_log(event_file(tmp_path / "a" / "events.out.tfevents.1", rsl).parent)
    assert log.writer == "rsl_rl" and log.get("value_rmse")[0] == 2.0
    assert np.isnan(log.get("mean_episode_return")[:3]).all()
    games = {
        "losses/a_loss": [(i * 512, -0.01) for i in steps],
        "losses/c_loss": [(i * 512, 0.25) for i in steps],
        "losses/entropy": [(i * 512, 1.0) for i in steps],
        "info/kl": [(i * 512, 0.008) for i in steps],
    }
    log = read_log(event_file(tmp_path / "b" / "events.out.tfevents.1", games).parent)
    assert log.writer == "rl_games" and log.get("error_over_std")[0] == 0.5
    assert not log.has("value_rmse")  # normalized units: nothing in reward units can be said


def test_csv_and_json_lines_of_the_same_run_read_the_same(tmp_path: Path) -> None:
    rows = [
        {
            "time/total_timesteps": 100 * i,
            "train/value_loss": 2.0 + i,
            "train/approx_kl": 0.01,
            "train/policy_gradient_loss": -0.01,
            "rollout/ep_rew_mean": float(i),
            "train/n_updates": 20 * i - (5 if i >= 4 else 0),  # one early stop
        }
        for i in range(1, 9)
    ]
    table = tmp_path / "progress.csv"
    lines = [",".join(rows[0])] + [",".join(str(v) for v in row.values()) for row in rows]
    table.write_text("\n".join(lines) + "\n")
    stream = tmp_path / "other.jsonl"
    stream.write_text("".join(json.dumps(row) + "\n" for row in rows))
    one, two = read_log(table), read_log(stream)
    assert one.writer == two.writer == "stable-baselines3"
    np.testing.assert_array_equal(one.get("value_loss"), two.get("value_loss"))
    assert one.setting("ppo.num_epochs") == two.setting("ppo.num_epochs") == 20
    assert read_log(tmp_path).writer == "stable-baselines3"


def test_nothing_to_read_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such"):
        read_log(tmp_path / "absent")
    with pytest.raises(UserError, match="no loss_metrics.json"):
        read_log(tmp_path)
    for absent in ("./logs/nothing.csv", "nothing.csv", "logs/run0001", str(tmp_path / "absent")):
        with pytest.raises(UserError, match=f"^{absent}: no such file or folder$"):
            find_run(absent, tmp_path)
    with pytest.raises(UserError, match="no run 'rum0001' in"):
        find_run("rum0001", tmp_path)
    with pytest.raises(UserError, match="no run 'run9999'"):
        find_run("run9999", tmp_path)
    with pytest.raises(UserError, match="no run"):
        find_run("latest", tmp_path)


def test_an_event_file_may_be_cut_anywhere(tmp_path: Path) -> None:
    whole = next((SAMPLES / "v_clip_pend").glob("events*")).read_bytes()
    file = tmp_path / "events.out.tfevents.1"
    lengths = []
    for cut in range(0, len(whole), 1013):
        file.write_bytes(whole[:cut])
        log = read_log(tmp_path)
        to_json(log, diagnose(log))
        lengths.append(len(log))
    assert lengths == sorted(lengths)


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 23_000))
def test_damage_in_an_event_file_never_crashes(tmp_path_factory, damage: bytes, at: int) -> None:
    whole = next((SAMPLES / "v_clip_pend").glob("events*")).read_bytes()
    folder = tmp_path_factory.mktemp("log")
    (folder / "events.out.tfevents.1").write_bytes(whole[:at] + damage + whole[at + len(damage) :])
    log = read_log(folder)
    report(log, diagnose(log), verbose=True)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
NAMES = st.sampled_from(sorted(healthy(1)[0]) + ["evaluation_return", "value_std", "advantage_std"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(NAMES, JSON, max_size=12), max_size=40))
def test_records_of_any_content_never_crash(tmp_path_factory, records: list[dict]) -> None:
    folder = tmp_path_factory.mktemp("runs") / "run0001"
    log = read_log(write_run(folder, records))
    json.loads(to_json(log, diagnose(log)))


COLUMNS = st.dictionaries(
    st.sampled_from(sorted(healthy(1)[0])),
    st.lists(st.none() | st.floats(allow_nan=False), min_size=1, max_size=4),
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(COLUMNS, st.integers(20, 30))
def test_figures_of_any_size_never_crash(tmp_path_factory, columns: dict, batches: int) -> None:
    """A column repeats its few figures: drawn one by one, they exceed what hypothesis draws."""
    records = [
        record | {name: figures[i % len(figures)] for name, figures in columns.items()}
        for i, record in enumerate(healthy(batches))
    ]
    folder = tmp_path_factory.mktemp("runs") / "run0001"
    log = read_log(write_run(folder, records))
    to_json(log, diagnose(log))


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(["a.csv", "a.jsonl", "loss_metrics.json"]))
def test_tables_of_any_bytes_never_crash(tmp_path_factory, data: bytes, name: str) -> None:
    file = tmp_path_factory.mktemp("log") / name
    file.write_bytes(data)
    log = read_log(file)
    to_json(log, diagnose(log))


@pytest.mark.parametrize(
    ("mark", "numbers"),
    [
        (";", ("-1482,25", "1.024,5", "0,01")), (",", ('"-1,482.25"', '"1,024.5"', "0.01")),
        ("\t", ("-1482,25", "1024,5", "1,0e-2")), (",", ('"-1482,25"', '"1.024,5"', '"0,010"')),
        ("\t", ("-1,482.25", "1,024.5", "0.01")), (";", ("-1482,25", "1024,50", "0,010")),
    ],
)  # fmt: skip
def test_numbers_of_other_countries_are_read(
    tmp_path: Path, mark: str, numbers: tuple[str, ...]
) -> None:
    names = ("mean_reward", "value_loss", "kl")
    lines = [mark.join(names), *[mark.join(numbers)] * 20]
    (tmp_path / "progress.csv").write_text("\n".join(lines) + "\n")
    log = read_log(tmp_path)
    found = [log.get(name)[3] for name in ("mean_episode_return", "value_loss", "approx_kl")]
    assert found == [-1482.25, 1024.5, 0.01]


@pytest.mark.parametrize(
    ("head", "row"),
    [
        ("step;reward;value_loss", "{:,};20,5;0,010"),  # thousands by points, as decimals are not
        ("step\treward\tvalue_loss", "{:,}\t20.5\t0.010"),
        ("| step | reward | value_loss |", "| {:,} | 20.5 | 0.010 |"),
    ],
)
def test_steps_in_groups_of_three_are_whole(tmp_path: Path, head: str, row: str) -> None:
    """As decimals, 10,240 steps are ten: a batch would look tiny."""
    rows = [row.format(10_240 * i) for i in range(1, 21)]
    if ";" in head:
        rows = [line.replace(",", ".", 1) for line in rows]
    file = tmp_path / ("log.txt" if "|" in head else "log.csv")
    file.write_text("\n".join([head, *rows]) + "\n")
    log = read_log(file)
    assert log.get("env_steps").tolist() == [10_240.0 * i for i in range(1, 21)]
    assert log.get("value_loss")[3] == 0.01 and log.get("mean_episode_return")[3] == 20.5


@pytest.mark.parametrize("mark", "\t;|")
def test_points_in_a_table_without_a_comma_are_decimal(tmp_path: Path, mark: str) -> None:
    """Also where each number has three decimals, which look like thousands."""
    rows = [mark.join((str(1000 * i), f"{20 + i}.500", "1.250")) for i in range(1, 21)]
    file = tmp_path / ("log.txt" if mark == "|" else "log.csv")
    file.write_text("\n".join([mark.join(("step", "reward", "value_loss")), *rows]) + "\n")
    log = read_log(file)
    assert log.get("mean_episode_return").tolist() == [20.5 + i for i in range(1, 21)]
    assert log.get("value_loss")[3] == 1.25


PACK = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


@pytest.mark.parametrize("suffix", PACK)
def test_a_packed_log_reads_as_the_file_in_it(tmp_path: Path, suffix: str) -> None:
    whole = write_run(tmp_path / "run0001", healthy(7)) / "loss_metrics.json"
    packed = tmp_path / f"loss_metrics.json{suffix}"
    packed.write_bytes(PACK[suffix](whole.read_bytes()))
    log = read_log(packed)
    assert log.writer == "ppo" and log.source == str(packed)
    assert log.get("total_loss").tolist() == read_log(whole).get("total_loss").tolist()


def test_a_packed_log_that_is_cut_or_damaged_is_read_as_far_as_it_goes_or_named(
    tmp_path: Path,
) -> None:
    whole = write_run(tmp_path / "run0001", healthy(300)) / "loss_metrics.json"
    data = gzip.compress(whole.read_bytes())
    packed = tmp_path / "loss_metrics.json.gz"
    packed.write_bytes(data[: len(data) // 2])
    assert 0 < len(read_log(packed)) < 300
    for broken in (b"no archive", data[:100] + b"damage" * 30):
        packed.write_bytes(broken)
        with pytest.raises(UserError, match=r"loss_metrics.json.gz: cannot be unpacked \("):
            read_log(packed)


def test_a_run_in_the_working_directory_is_found_by_its_bare_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `compare run*` in a results folder names it; one in --results comes first."""
    for place in ("here/run0001", "here/run0002", "results/run0002"):
        write_run(tmp_path / place, healthy(5))
    monkeypatch.chdir(tmp_path / "here")
    assert find_run("run0001", tmp_path / "results") == Path("run0001")
    assert find_run("run0002", tmp_path / "results") == tmp_path / "results" / "run0002"


@pytest.mark.parametrize("broken", ["later", "folder"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, broken: str) -> None:
    """One of hundreds: whoever is told of none of them looks for it in all."""
    run = write_run(tmp_path / "run0007", healthy(5))
    file = run / "loss_metrics.json"
    if broken == "later":
        file.write_text('{"schema_version": 99, "run": "run0007", "batches": [\n]}\n')
    else:
        file.unlink()
        file.mkdir()
    for read in (lambda: compare([run]), lambda: read_records(run), lambda: read_log(run)):
        with pytest.raises(UserError, match="run0007"):
            read()
