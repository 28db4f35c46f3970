"""Value losses at points where they can be computed by hand."""

from __future__ import annotations

import pytest
import torch

from ppo.functional.value import blocked, clip_to_old, huber_error, pessimistic, squared_error


@pytest.mark.parametrize(
    ("distance", "delta", "wanted"), [(3.0, 3.0, 9.0), (5.0, 3.0, 21.0), (-5.0, 0.5, 4.75)]
)
def test_huber_is_the_square_and_then_its_tangent(distance, delta, wanted):
    error = huber_error(torch.tensor(distance + 7.0), torch.tensor(7.0), delta)
    assert error.item() == wanted
    assert squared_error(torch.tensor(distance + 7.0), torch.tensor(7.0)).item() == distance**2


def test_a_clip_holds_what_left_the_old_value_towards_the_target_or_all_that_left():
    old, width = torch.full((4, 1), 10.0), torch.tensor([2.0])
    predictions = torch.tensor([[13.0], [13.0], [11.0], [7.0]])
    targets = torch.tensor([[20.0], [5.0], [20.0], [20.0]])
    clipped = clip_to_old(predictions, old, width)
    assert clipped.flatten().tolist() == [12.0, 12.0, 11.0, 8.0]
    held = blocked(predictions, old, targets, width, plain=False).flatten().tolist()
    assert held == [True, False, False, False]
    held = blocked(predictions, old, targets, width, plain=True).flatten().tolist()
    assert held == [True, True, False, True]
    larger = pessimistic(squared_error(predictions, targets), squared_error(clipped, targets))
    assert larger.flatten().tolist() == [64.0, 64.0, 81.0, 169.0]
