"""What a user sees of a run, with a clock that the test turns."""

from __future__ import annotations

import argparse
import io
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ppo.cli.blocks import fixes, header, next_command, no_episode
from ppo.cli.columns import batch_line, table_header
from ppo.cli.console import LINES_BETWEEN_HEADERS, Console
from ppo.cli.flags import again
from ppo.cli.marks import Marks
from ppo.config import Config

HEALTHY: dict[str, Any] = {
    "batch": 3,
    "env_steps": 61_440,
    "mean_episode_return": 214.4,
    "success_rate": 0.09,
    "explained_variance": 0.61,
    "approx_kl": 0.0094,
    "clip_fraction": 0.11,
    "normalized_value_loss": 0.37,
    "grad_clip_factor": 0.8,
    "steps_per_second": 612_000.0,
    "total_loss": 0.1,
    "policy_loss": -0.012,
    "value_loss": 0.37,
    "value_loss_weight": 0.25,
    "entropy": 1.41,
    "entropy_coefficient": 0.01,
    "learning_rate": 1e-3,
    "policy_std": None,
}
SICK = {
    "explained_variance": -0.74,
    "approx_kl": 0.0388,
    "clip_fraction": 0.33,
    "normalized_value_loss": 6.1,
    "grad_clip_factor": 9.8,
}


class Screen(io.StringIO):
    """A stream that says whether it is a terminal."""

    def __init__(self, terminal: bool = False) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def make(
    terminal: bool = False, verbosity: str = "normal", **options: Any
) -> tuple[Console, Screen, Clock]:
    screen, clock = Screen(terminal), Clock()
    return Console(screen, verbosity, 1_000_000, clock=clock, **options), screen, clock


def shown_batches(screen: Screen) -> list[int]:
    lines = (line.split() for line in screen.getvalue().splitlines())
    return [int(words[0]) for words in lines if len(words) == 11 and words[0].isdigit()]


# ---- the header


def test_the_header_names_the_active_fixes_in_at_most_five_lines_of_the_screen() -> None:
    facts = {
        "backend": "torch", "device": "cpu", "threads": 1, "parameters": 11_100,
        "path": "training_results/run0042", "previous": "run0041", "batch": 7,
        "differs": [f"ppo.normalize_returns{n} false -> true" for n in range(9)],
    }  # fmt: skip
    lines = header("run0042", Config(), facts)
    text = "\n".join(lines)
    assert len(lines) == 5 and max(map(len, lines)) <= 80
    assert "relative value clipping: +-20.0% of the old value" in text
    assert "return standardization: on (scale 10.0)" in text
    assert "value loss weight: 0.25" in text
    assert "from run0041: ppo.normalize_returns0 false -> true" in text and "more" in lines[3]
    assert "training_results/run0042" in lines[4] and "goes on at batch 7" in lines[4]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["ppo.value_clip_epsilon=0.05"], "relative value clipping: +-5.0% of the old value"),
        (
            ["ppo.use_relative_value_clip=false", "ppo.value_clip_epsilon=200.0"],
            "relative value clipping: off (absolute, +-200 of the standardized return)",
        ),
        (["ppo.value_clip=sigma"], "value clipping: +-0.2 standard deviations of the return"),
        (["ppo.value_clip=none"], "value clipping: off"),
        (["ppo.normalize_returns=false"], "return standardization: off"),
        (
            ["ppo.return_normalizer=symlog", "ppo.value_clip=none"],
            "return standardization: off (symlog)",
        ),
        (["ppo.return_scale=2.5"], "return standardization: on (scale 2.5), popart"),
        (["ppo.value_loss_unit=network"], "value loss weight: 0.25 (effective 25)"),
        (["ppo.value_loss_weight=1"], "value loss weight: 1"),
    ],
)
def test_each_fix_is_described_as_it_is_set(overrides: list[str], expected: str) -> None:
    assert expected in fixes(Config().with_overrides(overrides).ppo)


# ---- one line a batch


@pytest.mark.parametrize("width", [61, 80, 100, 200])
def test_columns_stand_under_their_titles_whatever_the_figures(width: int) -> None:
    title = table_header(width)
    last = [word for word in ("batch", "value/var", "grad cut", "eta") if word in title]
    ends = [title.index(word) + len(word) for word in last]
    assert len(title) < width and ("eta" in title) == (width >= 80)
    huge = {name: 1e30 for name in HEALTHY} | {"batch": 99_999, "clip_fraction": 1.0}
    every = frozenset(HEALTHY)
    for record in (HEALTHY, HEALTHY | SICK, dict.fromkeys(HEALTHY), huge):
        for eta in (5.0, 4000.0, 360_000.0, 1e7):
            line = batch_line(record, eta, every, width)
            assert len(line) == len(title) + line.endswith("!")
            assert all(line[end - 1] != " " for end in ends)


def test_wider_terminals_get_more_columns() -> None:
    titles = [
        set(table_header(width).replace("grad cut", "cut").split()) for width in range(40, 200)
    ]
    assert all(narrow <= wide for narrow, wide in zip(titles, titles[1:], strict=False))
    assert {"length", "entropy", "std", "lr"} <= titles[-1] - titles[40]


def test_a_healthy_batch_has_no_mark_and_a_sick_one_has_one_for_each_figure() -> None:
    assert not Marks().of(HEALTHY) and "!" not in batch_line(HEALTHY, 1.0)
    marked = Marks().of(HEALTHY | SICK)
    line = batch_line(HEALTHY | SICK, 1.0, marked)
    assert [word for word in line.split() if "!" in word] == [
        "-0.74!", ".0388!", "33%!", "6.10!", "9.8x!",
    ]  # fmt: skip
    for name, value in SICK.items():
        assert Marks().of(HEALTHY | {name: value}) == {name}


def test_missing_figures_are_dashes_and_a_lost_loss_is_marked() -> None:
    record = dict.fromkeys(HEALTHY) | {"batch": 1, "total_loss": 1.0}
    assert not Marks().of(record) and batch_line(record, None).split() == ["1", *["-"] * 10]
    lost = HEALTHY | {"total_loss": float("nan")}
    assert "0.37!" in batch_line(lost, None, Marks().of(lost))


def test_lines_come_twice_a_second_but_a_bad_batch_is_never_skipped() -> None:
    console, screen, clock = make()
    for batch in range(100):
        clock.now += 0.05
        console.batch(HEALTHY | {"batch": batch} | (SICK if batch in (33, 34) else {}), 1.0)
    shown = shown_batches(screen)
    assert {0, 33, 34} <= set(shown) and shown == sorted(set(shown))
    assert len(shown) <= 5.0 / 0.5 + 3


def test_the_titles_come_back_every_25_lines() -> None:
    console, screen, clock = make()
    for batch in range(60):
        clock.now += 1
        console.batch(HEALTHY | {"batch": batch}, 1.0)
    lines = screen.getvalue().splitlines()
    places = [index for index, line in enumerate(lines) if line == table_header()]
    assert places == [0, LINES_BETWEEN_HEADERS + 1, 2 * (LINES_BETWEEN_HEADERS + 1)]


def test_verbose_adds_the_losses() -> None:
    console, screen, _ = make(verbosity="verbose")
    console.batch(HEALTHY, 1.0)
    text = " ".join(screen.getvalue().split())
    assert "policy -0.012, value 0.37 (unweighted) x 0.25, entropy 1.41 x 0.01" in text


# ---- findings


def test_a_finding_is_printed_at_each_onset_only_and_below_its_batch() -> None:
    console, screen, clock = make()
    for batch, ill in enumerate([0, 1, 1, 1, 0, 0, 1]):
        clock.now += 0.01
        console.batch(HEALTHY | {"batch": batch}, 1.0)
        if ill:
            console.finding("value_shock", "variance 0.6 -> -0.7", "ppo.x=true", "run0001")
    lines = screen.getvalue().splitlines()
    onsets = [index for index, line in enumerate(lines) if "! value shock: variance" in line]
    assert len(onsets) == 2
    assert [lines[index - 1].split()[0] for index in onsets] == ["1", "6"]
    assert lines[onsets[0] + 1].split() == "try ppo.x=true more: --mode diagnose run0001".split()


def test_long_findings_are_wrapped_and_indented() -> None:
    console, screen, _ = make(verbosity="verbose")
    console.finding("a_b", "word " * 40, "ppo.y=1", "run0001", figures="x 1, y 2")
    lines = screen.getvalue().splitlines()
    assert all(len(line) <= 80 and line.startswith(" " * 10) for line in lines)
    assert "(x 1, y 2)" in screen.getvalue()


def test_what_a_mark_means_is_written_once_and_every_line_fits() -> None:
    console, screen, clock = make()
    for batch in range(3):
        clock.now += 1
        console.batch(HEALTHY | {"batch": batch} | (SICK if batch else {}), 1.0)
    lines = screen.getvalue().splitlines()
    places = [i for i, line in enumerate(lines) if "! marks what is outside" in line]
    assert places == [3] and lines[2].split()[0] == "1"
    text = " ".join(" ".join(lines).split())
    assert "ev below -0.10; kl above .0350; clip above 30%; value/var above 2.00" in text
    assert all(len(line) <= 80 for line in lines)


@pytest.mark.parametrize(("terminal", "columns"), [(80, 80), (132, 132), (500, 500)])
def test_everything_fits_the_terminal(
    monkeypatch: pytest.MonkeyPatch, terminal: int, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(terminal))
    console, screen, clock = make(verbosity="verbose", terminal=True, health=True)
    facts = {
        "backend": "torch", "device": "cuda", "threads": 16, "parameters": 123_456, "batch": 12,
        "previous": "run0041", "differs": [f"ppo.some_setting{n} false -> true" for n in range(9)],
        "path": "training_results/run0042",
    }  # fmt: skip
    console.start("run0042", Config(), facts)
    console.batch(HEALTHY | SICK, 1.0)
    console.finding("value_shock", "word " * 40, "ppo.normalize_returns=true", "run0042")
    console.note("a note " * 30)
    console.end(SUMMARY | {"cut": "word " * 50})
    plain = re.sub("\033\\[[0-9;]*m", "", screen.getvalue())
    lines = [part for line in plain.splitlines() for part in line.split("\r")]
    whole = ("next    |", "files   |", "output  |")  # to be copied: never cut
    assert max(len(line) for line in lines if not line.startswith(whole)) <= columns


# ---- the end


SUMMARY: dict[str, Any] = {
    "run": "run0042",
    "path": "training_results/run0042",
    "status": "finished",
    "env_steps": 1_000_000,
    "wall_time_s": 2.0,
    "final_return": 788.2,
    "final_return_ci95": [760.0, 815.0],
    "best_evaluation": {"mean_return": 801.3, "batch": 60},
    "findings": [],
    "time": {"collect": 1.0, "update": 2.5, "other": 0.5},
}


def test_the_end_says_how_it_went_and_what_to_type_next() -> None:
    console, screen, clock = make()
    console.batch(HEALTHY | {"batch": 0}, 1.0)
    console.batch(HEALTHY | {"batch": 1}, 1.0)  # held back, and shown before the end
    console.end(SUMMARY)
    text = screen.getvalue()
    assert shown_batches(screen) == [0, 1]
    assert "788 over the last 100 episodes (95 % interval 760 to 815)" in text
    assert "evaluation 801 after 60 batches" in text
    assert "verdict | healthy" in text
    assert "rollout 25%, update 62%, other 12%" in text
    assert text.endswith("next    | python train_cli.py --mode evaluate --run run0042\n")


def test_the_verdict_repeats_the_remedy_of_what_was_found() -> None:
    console, screen, _ = make()
    console.batch(HEALTHY | {"batch": 13}, 1.0)
    console.finding("value_shock", "evidence", "ppo.normalize_returns=true", "run0042")
    console.end(SUMMARY | {"findings": ["value_shock"]})
    text = screen.getvalue()
    assert "verdict | value shock since batch 13: try ppo.normalize_returns=true" in text
    assert text.endswith("--mode diagnose run0042\n")


def test_quiet_prints_the_end_only() -> None:
    console, screen, _ = make(verbosity="quiet", terminal=True, health=True)
    console.start("run0001", Config(), {})
    console.batch(HEALTHY | SICK, 1.0)
    console.finding("value_shock", "evidence", "ppo.x=1", "run0001")
    console.note("worker 3 died")
    assert screen.getvalue() == ""
    console.end(SUMMARY)
    assert screen.getvalue().startswith("run0042 | finished")


def test_an_end_that_knows_nothing_still_prints() -> None:
    console, screen, _ = make()
    console.end({"status": "failed", "reason": "disk full", "final_return": float("nan")})
    assert "failed: disk full" in screen.getvalue()


@pytest.mark.parametrize(
    ("summary", "command"),
    [
        ({"run": "run0001", "status": "interrupted"}, "train --resume run0001"),
        ({"run": "run0001", "path": "out/run0001"}, "evaluate --run out/run0001"),
        ({"run": "run0001", "path": "my runs/run0001"}, "evaluate --run 'my runs/run0001'"),
        ({"run": "run0001", "status": "failed"}, "diagnose run0001"),
    ],
)
def test_the_next_command_can_be_pasted(summary: dict[str, str], command: str) -> None:
    assert next_command(summary) == f"python train_cli.py --mode {command}"


def test_a_large_cut_is_explained_at_the_end_where_it_does_no_harm() -> None:
    fine = HEALTHY | {
        "grad_clip_factor": 24.0, "value_gradient_share": 0.02, "policy_std": 0.04,
        "explained_variance": 0.94,
    }  # fmt: skip
    for change, harmless in (
        ({}, True),
        ({"value_gradient_share": 0.995}, False),  # the value's
        ({"grad_clip_factor": 31.0, "explained_variance": 0.4}, False),  # nothing is learned
        ({"grad_clip_factor": 2.0}, False),  # nothing to explain
    ):
        console, screen, _ = make()
        for batch in range(12):
            console.batch(fine | change | {"batch": batch}, 1.0)
        console.end(SUMMARY)
        text = screen.getvalue()
        assert ("cut     | gradients are cut to 1/24, which is harmless" in text) == harmless
        assert harmless != ("!" in text) or change == {"grad_clip_factor": 2.0}
        assert not harmless or "98% of their length is the policy's" in " ".join(
            text.replace("|", "").split()
        )


def test_a_cut_is_not_called_harmless_where_the_critic_explains_nothing() -> None:
    for variance, harmless in ((0.9, True), (0.1, False), (None, False)):
        console, screen, _ = make()
        for batch in range(12):
            record = {"batch": batch, "grad_clip_factor": 9.0, "explained_variance": variance}
            console.batch(HEALTHY | record | {"value_gradient_share": None}, 1.0)
        console.end(SUMMARY)
        text = " ".join(screen.getvalue().replace("|", "").split())
        assert ("harmless here: the critic works" in text) == harmless


@pytest.mark.parametrize("width", [60, 80])
def test_what_differs_is_never_cut_within_a_change(width: int) -> None:
    changes = [
        "env.id MountainCarContinuous-v0 -> LunarLander-v3",
        "ppo.gamma 0.99 -> 0.999",
        "ppo.num_steps 256 -> 1,024",
    ]
    for count in range(1, 4):
        facts = {"differs": changes[:count], "previous": "run0018"}
        lines = header("run0019", Config(), facts, width)
        (line,) = [text for text in lines if text.startswith("differs")]
        assert len(line) <= width and "env.id" in line
        shown = sum(change.split()[0] in line for change in changes[:count])
        assert shown == count or line.endswith(f", and {count - shown} more")


def test_a_single_batch_says_how_to_train_with_the_same_settings() -> None:
    args = argparse.Namespace(
        config=Path("my config.yaml"), overrides=["env.id=CartPole-v1"], seed=3,
        results=Path("training_results"),
    )  # fmt: skip
    console, screen, _ = make(health=True, given=again(args))
    console.end(SUMMARY)
    words = "--config 'my config.yaml' --set env.id=CartPole-v1 --set system.seed=3"
    assert screen.getvalue().splitlines()[-1].endswith(f"--mode train {words}")


def test_a_finding_that_did_not_last_is_not_dropped_without_a_word() -> None:
    console, screen, _ = make()
    console.batch(HEALTHY, 1.0)
    console.finding("too_many_epochs", "KL grows", "ppo.num_epochs=5", "run0042")
    verdict = SimpleNamespace(text="healthy: no rule fired", findings=[])
    trainer = SimpleNamespace(
        events=[], doctor=SimpleNamespace(verdict=verdict), recent=[1],
        folder=SimpleNamespace(name="run0042", path=Path("training_results/run0042")),
    )  # fmt: skip
    console.on_end(trainer, SUMMARY | {"findings": []})
    lines = screen.getvalue().splitlines()
    assert "verdict | healthy: no rule fired" in lines
    assert "passed  | too many epochs: found on the way, and no more at the end" in lines


def test_a_cut_is_not_called_harmless_beside_the_illness_of_that_name() -> None:
    console, screen, _ = make()
    for batch in range(12):
        console.batch(HEALTHY | {"grad_clip_factor": 50.0, "explained_variance": 0.9}, 1.0)
        if batch == 6:
            console.finding("gradients_always_clipped", "50 times", "ppo.max_grad_norm=1", "run1")
    console.end(SUMMARY)
    assert "harmless" not in screen.getvalue()


def test_a_solved_task_is_not_marked_for_the_variance_that_it_lacks() -> None:
    marks, learning = Marks(), HEALTHY | {"return_std": 16.0}
    assert not marks.of(learning)
    solved = learning | {
        "return_std": 0.3, "explained_variance": -5.4, "normalized_value_loss": 8.1,
    }  # fmt: skip
    assert not marks.of(solved)
    assert Marks().of(solved) == {"explained_variance", "normalized_value_loss"}
    resumed = Marks()
    resumed.recall([learning])
    assert not resumed.of(solved)


@pytest.mark.parametrize(
    ("overrides", "longest", "advice"),
    [
        ([], 1000, "returns show sooner with ppo.num_steps=1920 env.num_envs=8"),
        ([], None, "returns show sooner with ppo.num_steps=240 env.num_envs=64"),
        (["network.memory=lstm"], 1000, "a larger ppo.num_steps shows returns sooner"),
        (["env.num_envs=1"], 1000, "a larger ppo.num_steps shows returns sooner"),
    ],
)
def test_a_run_without_returns_names_settings_that_fit_together_and_show_some(
    overrides: list[str], longest: int | None, advice: str
) -> None:
    config = Config().with_overrides([*overrides, "ppo.num_minibatches=1"])
    text = no_episode(config, longest, 3)
    assert text.startswith("no episode ended in 3 batches of 60 steps") and advice in text
    typed = re.findall(r"[a-z_.]+=[0-9]+", text)
    changed = Config().with_overrides(typed)  # to the shipped number of minibatches too
    assert changed.env.num_envs * changed.ppo.num_steps == 256 * 60


# ---- one batch explained


def test_after_one_batch_on_raw_returns_the_scale_is_warned_of_and_nothing_is_called_good() -> None:
    raw = Config().with_overrides(
        ["ppo.normalize_returns=false", "ppo.use_relative_value_clip=false"]
    )
    batch = HEALTHY | {
        "explained_variance": 0.0, "normalized_value_loss": 1.53, "value_loss": 158_371.0,
        "grad_clip_factor": 1470.0, "value_gradient_share": 0.0, "return_std": 358.0,
    }  # fmt: skip
    console, screen, _ = make(health=True)
    console.start("run0001", raw, {})
    console.batch(batch, 1.0)
    console.end(SUMMARY | {"verdict_text": "too early to judge: 1 batch"})
    text = " ".join(screen.getvalue().split())
    assert "warning: the value loss is in squared rewards" in text
    assert "158,371 and gradients are cut 1,470 times" in text
    assert "Set ppo.normalize_returns=true" in text and "healthy:" not in text
    rows = {line[2:21].strip(): line for line in screen.getvalue().splitlines() if line[:2] == "  "}
    for name in ("value loss", "value/var", "grad cut", "ev"):
        assert " good " not in rows[name], rows[name]
    console, screen, _ = make(health=True)
    console.start("run0001", Config(), {})
    console.batch(HEALTHY, 1.0)
    console.end(SUMMARY)
    assert "warning" not in screen.getvalue()


def test_a_single_batch_ends_with_its_fixes_and_its_health() -> None:
    console, screen, _ = make(health=True)
    console.start("run0001", Config(), {})
    console.batch(HEALTHY | SICK, 1.0)
    console.end(SUMMARY)
    lines = screen.getvalue().splitlines()
    assert "  relative value clipping: +-20.0% of the old value" in lines
    assert any("health of the batch" in line for line in lines)
    words = {line[2:21].strip(): line[32:41].strip() for line in lines if line.startswith("  ")}
    assert words["policy loss"] == "good" and words["grad cut"] == "high !"
    assert words["ev"] == "low !" and words["value/var"] == "high !"
    assert all(len(line) <= 80 for line in lines)
    assert lines[-1].endswith("--mode train")


def test_the_health_of_a_broken_batch_says_so() -> None:
    console, screen, _ = make()
    console.single_batch(dict.fromkeys(HEALTHY), Config())
    assert "NOT FINITE" in screen.getvalue() and "unknown" in screen.getvalue()


# ---- terminals


def test_a_terminal_gets_color_and_a_bar_that_is_gone_at_the_end() -> None:
    console, screen, clock = make(terminal=True)
    console.start("run0001", Config(), {})
    for batch in range(3):
        clock.now += 1
        console.batch(HEALTHY | SICK | {"batch": batch, "env_steps": 1000 * batch}, 1.0)
    assert "\033[31m!\033[0m" in screen.getvalue() and "% |" not in screen.getvalue()
    assert "of 1.00M steps" in screen.getvalue()
    console.end(SUMMARY)
    assert "of 1.00M steps" not in screen.getvalue().rsplit("\r", 1)[1]


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    console, screen, _ = make(terminal=True)
    console.batch(HEALTHY | SICK, 1.0)
    console.finding("value_shock", "evidence", "ppo.x=1", "run0001")
    assert "\033" not in screen.getvalue() and "!" in screen.getvalue()


def test_names_from_outside_cannot_steer_the_terminal() -> None:
    for terminal in (False, True):
        console, screen, _ = make(terminal=terminal)
        config = Config().with_overrides(['env.id="a\\e[2Jb"'])
        console.start("run\n1", config, {"path": "x\033[2J"})
        console.note("worker \033[2J died\n")
        console.finding("a\033[2J", "b\033[2J", "c\033[2J", "d")
        assert "\033[2J" not in screen.getvalue()
        console.close()


class Gone(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_a_reader_that_went_away_ends_nothing() -> None:
    closed = io.StringIO()
    closed.close()
    for stream in (Gone(), closed):
        console = Console(stream, total_steps=10)
        console.start("run0001", Config(), {})
        console.batch(HEALTHY, 1.0)
        console.finding("a", "b", "c", "d")
        console.end(SUMMARY)


def test_an_ascii_terminal_gets_escapes_in_place_of_other_letters() -> None:
    data = io.BytesIO()
    console = Console(io.TextIOWrapper(data, encoding="ascii"))
    console.note("ünit")
    assert b"\\xfcnit" in data.getvalue()
