"""The unit of the value loss follows the settings that decide it; half a rollback is warned of."""

from __future__ import annotations

import pytest

from ppo.config import Config
from ppo.config.units import value_loss_unit, warnings


@pytest.mark.parametrize(
    ("overrides", "unit"),
    [
        ([], "variances of its targets"),
        (["ppo.value_loss_unit=network"], "variances of its targets x 100"),
        (["ppo.normalize_returns=false"], "squared rewards"),
        (["ppo.normalize_returns=false", "ppo.value_loss_unit=network"], "squared rewards"),
        (["ppo.return_normalizer=symlog", "ppo.value_clip=none"], "squared logarithms of rewards"),
        (["ppo.value_loss=hl_gauss"], "nats of the bins' cross-entropy"),
    ],
)
def test_the_unit_of_the_value_loss(overrides: list[str], unit: str) -> None:
    assert value_loss_unit(Config().with_overrides(overrides).ppo) == unit


@pytest.mark.parametrize(
    ("overrides", "warned"),
    [
        (["ppo.value_clip_epsilon=200"], True),
        (["ppo.value_clip_epsilon=2"], False),
        (["ppo.value_clip_epsilon=200", "ppo.use_relative_value_clip=false"], False),
        (["ppo.value_clip_epsilon=200", "ppo.value_clip=none"], False),
    ],
)
def test_a_relative_clip_that_holds_nothing_back_is_warned_of(
    overrides: list[str], warned: bool
) -> None:
    found = warnings(Config().with_overrides(overrides).ppo)
    assert bool(found) == warned
    assert not warned or "+-20,000 % of the old value" in found[0]
