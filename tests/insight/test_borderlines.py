"""Halving or doubling any threshold of the doctor changes what it finds in a log of the table.

The rows of borderlines.jsonl lie just to either side of what a rule decides; how to read them, and
how to find those of a new rule, is in tests/tools/borderlines.py.
"""

from __future__ import annotations

import pytest
from borderlines import Row, Threshold, found, table, unseen

from ppo.insight.rules import RULES

ROWS = table()
WAITS: Threshold = ("waits", None)
# Half the batches to wait change nothing here: what these rules look for takes as long itself.
LONG_ANYWAY = {
    "critic_blind", "entropy_coefficient_too_high", "gamma_horizon", "learning_rate_too_low",
    "loss_imbalance", "no_reward_signal", "not_learning", "policy_collapse",
    "value_loss_weight_too_small", "non_finite",
}  # fmt: skip


def rows_of(name: str) -> list[Row]:
    return [row for row in ROWS if row["rule"] == name]


@pytest.mark.parametrize("name", sorted(RULES.names()))
def test_a_rule_finds_what_lies_beyond_its_thresholds_and_nothing_before(name: str) -> None:
    rows = rows_of(name)
    assert {row["finds"] is None for row in rows} == {True, False}
    for row in rows:
        assert found(row) == row["finds"], row


@pytest.mark.parametrize("name", sorted(RULES.names()))
def test_no_threshold_can_be_halved_or_doubled_unseen(name: str) -> None:
    allowed = {(WAITS, 0.5)} if name in LONG_ANYWAY else set()
    assert set(unseen(name, rows_of(name))) <= allowed


def test_a_threshold_without_a_row_is_noticed() -> None:
    assert (("KL", None), 0.5) in unseen("learning_rate_too_low", [])
