"""Logs that are a part of a run: a few rows, a middle, a few columns."""

from __future__ import annotations

import pytest
from made_logs import first, foreign, noisy, through

WRITERS = ["cleanrl", "stable-baselines3"]


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("rows", [6, 12, 19])
def test_a_rate_that_moves_nothing_shows_in_a_few_rows(writer: str, rows: int) -> None:
    still = {"mean_episode_return": noisy(through((0, -180), (1, -165)), 4.0), "approx_kl": 1e-7,
             "clip_fraction": 0.0}  # fmt: skip
    assert first(foreign(rows, writer, learning_rate=1e-6, **still)) == "learning_rate_too_low"
    fading = foreign(rows, writer, learning_rate=through((0, 9e-6), (1, 1e-7)), **still)
    assert first(fading) != "learning_rate_too_low"  # the end of a schedule


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("rows", [8, 19, 30])
def test_what_stands_still_at_a_high_rate_needs_no_higher_one(writer: str, rows: int) -> None:
    dead = foreign(rows, writer, mean_episode_return=noisy(through((0, 9.4), (1, 9.4)), 0.1),
                   approx_kl=0.0, clip_fraction=0.0, entropy=0.0, learning_rate=0.03,
                   explained_variance=0.98, value_rmse=0.4)  # fmt: skip
    assert first(dead) == "learning_rate_too_high"


def test_samples_outside_a_narrow_clip_are_no_sign_of_a_high_rate() -> None:
    narrow = {"clip_fraction": 0.45, "clip_range": 0.01, "learning_rate": 3e-4,
              "mean_episode_return": noisy(through((0, 20), (1, 20)), 2.0)}  # fmt: skip
    assert first(foreign(30, **narrow, approx_kl=2e-3)) != "learning_rate_too_high"
    assert first(foreign(30, **narrow, approx_kl=3e-5)) == "learning_rate_too_low"
    assert first(foreign(30, **{**narrow, "clip_range": 0.2}, approx_kl=2e-3)) == (
        "learning_rate_too_high"
    )
