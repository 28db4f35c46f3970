"""What environments say of success at the end of an episode."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from ppo.core.errors import UserError
from ppo.envs.host.checks import success


def where() -> str:
    return "environment 3"


@pytest.mark.parametrize(
    ("given", "known"),
    [
        (True, 1.0), (np.False_, 0.0), (1, 1.0), (0.0, 0.0), (np.float32(0.5), 1.0),
        (torch.tensor([True]), 1.0), (np.zeros((1, 1)), 0.0),
    ],
)  # fmt: skip
def test_numbers_and_arrays_of_one_entry_pass(given: Any, known: float) -> None:
    assert success(where, given) == known


@pytest.mark.parametrize("given", [None, math.nan, np.float64("nan"), torch.tensor(math.nan)])
def test_what_is_not_known_is_no_success(given: Any) -> None:
    assert math.isnan(success(where, given))


@pytest.mark.parametrize("given", ["no", [], {}, np.ones(2)])
def test_what_is_neither_is_refused(given: Any) -> None:
    with pytest.raises(UserError, match=r"environment 3: info\['is_success'\] must be True or"):
        success(where, given)
