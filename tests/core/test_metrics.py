"""One table of metrics: a row of it is all that showing a figure costs, and nothing repeats it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from insight_runs import SETTINGS, healthy, write_run
from sources import Source, package

from ppo.cli.blocks import health_block
from ppo.cli.columns import batch_line, columns, table_header
from ppo.config import Config
from ppo.core.metrics import DECLARED, METRICS, Column, Metric
from ppo.insight.comparison.compare import Comparison, compare
from ppo.insight.comparison.page import page
from ppo.insight.comparison.tables import print_tables
from ppo.insight.logs import from_records
from ppo.insight.verdict import is_read

READERS = ("insight", "cli", "runs", "training")
SPEAK_OF_METRICS = (
    "ppo.insight.rules.",  # each about figures of its own
    "ppo.insight.logs.writers.",  # the words of other libraries
    "ppo.insight.logs.names",
    "ppo.training.ending",  # fields of another file
)
FEW = 3  # names together that are a choice of figures and no table yet


@pytest.fixture
def brightness() -> Iterator[Metric]:
    """A metric of tomorrow."""
    metric = Metric(
        "brightness",
        "vision",
        "lux",
        "mean",
        "how bright it is",
        label="light & dark",
        better="lower",
        judged=True,
        curve=True,
        column=Column("bright", 8, "percent"),
        healthy=(0.0, 0.5),
        normal="dim",
        always=True,
        telling=True,
    )
    METRICS.append(metric)
    columns.cache_clear()
    yield metric
    METRICS.remove(metric)
    columns.cache_clear()


FLAGS = ("judged", "curve", "column", "normal", "always", "telling")


@pytest.fixture(params=FLAGS)
def all_but_one(request: pytest.FixtureRequest, brightness: Metric) -> Iterator[str]:
    """The same metric without one of its flags, which is named."""
    METRICS.remove(brightness)
    METRICS.append(brightness._replace(**{request.param: Metric._field_defaults[request.param]}))
    columns.cache_clear()
    yield request.param
    METRICS[-1] = brightness


def _compared(folder: Path) -> Comparison:
    """Four dark runs, and four bright ones of another learning rate."""
    paths = []
    for level in (0.2, 0.9):
        for seed in range(4):
            records = healthy(20, seed=seed)
            for record in records:
                record["brightness"] = level * (1 + 0.01 * seed)
            tree = {**SETTINGS, "ppo": {**SETTINGS["ppo"], "learning_rate": level}}
            paths.append(write_run(folder / f"run{len(paths)}", records, tree, seed=seed))
    return compare(paths)


def test_a_new_metric_is_compared_judged_and_drawn(
    tmp_path: Path,
    brightness: Metric,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = _compared(tmp_path)
    verdict = next(v for v in found.verdicts if v.metric is brightness)
    assert verdict.word == "worse" and "light & dark (last tenth)" in verdict.line()
    text = page(found)
    assert '{"name":"brightness","label":"light \\u0026 dark"}' in text  # a curve
    assert "<th>light &amp; dark</th>" in text  # a column of the result
    monkeypatch.setenv("COLUMNS", "120")
    print_tables(found)
    assert capsys.readouterr().out.count("light & dark") >= 3  # the result and each group's details


def test_a_new_metric_is_a_column_of_the_terminal_and_marked(brightness: Metric) -> None:
    assert "bright" in table_header()
    assert "30% " in batch_line({"brightness": 0.3}, None)
    assert "70%!" in batch_line({"brightness": 0.7}, None, marked={"brightness"})


def test_a_new_metric_is_part_of_the_health_of_a_batch(brightness: Metric) -> None:
    for value, word in ((0.3, "good"), (0.7, "high !"), (-1.0, "low !"), (None, "NOT FINITE")):
        marked = {"brightness"} if "!" in word else ()
        lines = health_block({"brightness": value}, Config(), marked)
        line = next(x for x in lines if "bright" in x)
        assert word in line and line.endswith("dim")


def test_a_new_metric_can_be_lost_and_can_tell_of_a_policy(brightness: Metric) -> None:
    log = from_records([{"batch": 0, "brightness": None}])
    assert log.nonfinite["brightness"].all() and is_read(log)
    assert not is_read(from_records([{"batch": 0, "unheard_of": 1.0}]))


def test_a_metric_is_shown_only_where_it_says(tmp_path: Path, all_but_one: str) -> None:
    found = _compared(tmp_path)
    lost = from_records([{"batch": 0, "brightness": None}])
    told = from_records([{"batch": 0, "brightness": 1.0}])
    shown = {
        "judged": any(v.metric.name == "brightness" for v in found.verdicts),
        "curve": '{"name":"brightness"' in page(found),
        "column": "bright" in table_header(),
        "normal": any("dim" in line for line in health_block({}, Config())),
        "always": bool(lost.nonfinite["brightness"].all()),
        "telling": is_read(told),
    }
    assert [flag for flag in FLAGS if not shown[flag]] == [all_but_one]


def test_what_is_judged_has_a_label_and_what_is_marked_a_range_or_no_mark() -> None:
    for metric in METRICS:
        assert metric.label or not (metric.judged or metric.curve), metric.name
        assert metric.healthy[0] < metric.healthy[1], metric.name
    assert len(DECLARED) == len(METRICS)


def tables_of_names(source: Source) -> list[int]:
    """Lines of lists, tuples, sets and dicts that hold more than a few names of metrics."""
    kinds = ast.List | ast.Tuple | ast.Set | ast.Dict
    found = []
    for node in ast.walk(source.tree):
        if isinstance(node, kinds):
            words = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)}
            if len({word for word in words if isinstance(word, str)} & set(DECLARED)) > FEW:
                found.append(node.lineno)
    return found


def test_no_reader_names_the_metrics_again() -> None:
    readers = {
        name: source
        for name, source in package().items()
        if name.partition(".")[2].partition(".")[0] in READERS
        and not name.startswith(SPEAK_OF_METRICS)
    }
    assert len(readers) > 50
    assert not {name: lines for name, one in readers.items() if (lines := tables_of_names(one))}


def test_a_second_table_would_be_seen() -> None:
    text = "CURVES = {'approx_kl': 1, 'entropy': 2, 'value_loss': 3, 'grad_norm': 4}"
    assert tables_of_names(Source("ppo.insight.made", ast.parse(text), False)) == [1]
