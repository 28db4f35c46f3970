"""The lines of the batches, with a clock that the test turns."""

from __future__ import annotations

import io
import re
import threading

import pytest
from screens import HEALTHY, SICK, SUMMARY, make, shown_batches

from ppo.cli.columns import batch_line, table_header
from ppo.cli.console import LINES_BETWEEN_HEADERS, Console
from ppo.cli.marks import Marks
from ppo.config import Config


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


def test_a_finding_is_printed_below_its_batch() -> None:
    console, screen, clock = make()
    for batch in range(3):
        clock.now += 0.01
        console.batch(HEALTHY | {"batch": batch}, 1.0)
        if batch == 1:  # whose line was held back
            console.finding("value_shock", "variance 0.6 -> -0.7", "ppo.x=true", "run0001")
    lines = screen.getvalue().splitlines()
    (onset,) = [index for index, line in enumerate(lines) if "! value shock: variance" in line]
    assert lines[onset - 1].split()[0] == "1"
    assert lines[onset + 1].split() == "try ppo.x=true more: --mode diagnose run0001".split()


def test_long_findings_are_wrapped_and_indented() -> None:
    console, screen, _ = make()
    console.finding("a_b", "word " * 40, "ppo.y=1", "run0001")
    lines = screen.getvalue().splitlines()
    assert all(len(line) <= 80 and line.startswith(" " * 10) for line in lines)


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


def test_quiet_prints_the_end_only() -> None:
    console, screen, _ = make(verbosity="quiet", terminal=True, health=True)
    console.start("run0001", Config(), {})
    console.batch(HEALTHY | SICK, 1.0)
    console.finding("value_shock", "evidence", "ppo.x=1", "run0001")
    console.note("worker 3 died")
    assert screen.getvalue() == ""
    console.end(SUMMARY)
    assert screen.getvalue().startswith("run0042 | finished")


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


def test_a_wait_before_the_first_batch_is_said_once_it_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    console, screen, _ = make()
    said = threading.Event()
    monkeypatch.setattr(console, "_print", lambda *lines: (screen.write(lines[0]), said.set()))
    with console.waiting("looking"):
        pass
    assert screen.getvalue() == ""
    monkeypatch.setattr("ppo.cli.console.MOMENT", 0.0)
    with console.waiting("looking"):
        assert said.wait(60)
    assert screen.getvalue() == "looking"
