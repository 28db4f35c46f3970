"""Events on the screen: told at first, then left to the file."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest

from ppo.cli.console import Console
from ppo.core.news import BATCHES, News

TOLD = [("normal", BATCHES), ("verbose", 9), ("quiet", 0)]


def test_a_kind_of_event_is_told_in_a_few_batches_and_its_end_is_said() -> None:
    news, other = News(), "environment 3 (Foo-v0): step raised ValueError: no"
    told = [
        news.of([f"reward outlier: environment {i}, step 7", f"reward outlier: {i} more"])
        for i in range(BATCHES + 2)
    ]
    assert [len(lines) for lines in told] == [2] * (BATCHES - 1) + [3, 0, 0]
    assert told[BATCHES - 1][-1].startswith("reward outlier: later ones are in loss_metrics.json")
    assert news.of([other, "reward outlier: 2 more"]) == [other]


def test_the_same_event_of_another_environment_is_of_the_same_kind() -> None:
    news = News()
    for i in range(BATCHES):
        assert news.of([f"environment {i} (Foo-v0): step raised ValueError: no"])
    assert news.of(["environment 12 (Foo-v0): step raised ValueError: other"]) == []


@pytest.mark.parametrize(
    ("verbosity", "lines"), [("normal", BATCHES), ("verbose", 9), ("quiet", 0)]
)
def test_verbose_shows_every_event(verbosity: str, lines: int) -> None:
    screen = io.StringIO()
    console = Console(stream=screen, verbosity=verbosity, clock=lambda: 0.0)
    trainer = SimpleNamespace(
        config=SimpleNamespace(train=SimpleNamespace(total_timesteps=100)),
        folder=SimpleNamespace(name="run0001", path=io.__file__),
        doctor=SimpleNamespace(new=[]),
    )
    console.expect(100)
    for batch in range(9):
        record = {
            "batch": batch, "env_steps": batch, "steps_per_second": 1.0, "events": ["odd: again"],
            "mean_episode_return": 1.0,
        }  # fmt: skip
        console.on_batch(trainer, record)
    assert screen.getvalue().count("odd: again") == lines
