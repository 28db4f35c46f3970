"""Rows of every layout are read back as what was written into them, for any leading axes."""

from __future__ import annotations

import pytest
import torch

from ppo.core.layout import Image, Layout
from ppo.networks import packing

NUMBERS = Layout(3)
MASKED = Layout(3, num_mask=2)
PLAIN = Layout(0, (Image(0, (4, 5, 3)),))
BESIDE = Layout(2, (Image(8, (2, 3, 1)),), num_mask=2)


@pytest.mark.parametrize("leading", [(), (2,), (2, 3)])
def test_a_plain_image_has_no_numbers_and_no_mask(leading):
    obs = torch.randint(0, 256, (*leading, 4, 5, 3), dtype=torch.uint8)
    assert packing.floats(obs, PLAIN).shape == (*leading, 0)
    assert packing.mask(obs, PLAIN) is None
    assert torch.equal(packing.images(obs, PLAIN)[0], obs)
    assert torch.equal(packing.everything(obs, PLAIN), obs.flatten(-3).float())


@pytest.mark.parametrize("leading", [(), (2,), (2, 3)])
def test_numbers_come_before_their_mask(leading):
    numbers, valid = torch.randn(*leading, 3), torch.rand(*leading, 2) < 0.5
    row = torch.cat([numbers, valid.float()], -1)
    assert torch.equal(packing.floats(row, MASKED), numbers)
    assert torch.equal(packing.mask(row, MASKED), valid)
    assert packing.mask(numbers, MASKED) is None  # a row without it
    assert packing.mask(numbers, NUMBERS) is None and packing.floats(numbers, NUMBERS) is numbers


@pytest.mark.parametrize("leading", [(), (2,), (2, 3)])
def test_bytes_hold_numbers_then_images_then_the_mask_and_so_do_their_decoded_rows(leading):
    numbers, valid = torch.randn(*leading, 2), torch.rand(*leading, 2) < 0.5
    image = torch.randint(0, 256, (*leading, 2, 3, 1), dtype=torch.uint8)
    parts = [numbers.view(torch.uint8), image.flatten(-3), valid.to(torch.uint8)]
    row = torch.cat(parts, -1)
    assert row.shape[-1] == BESIDE.shape[-1]
    decoded = torch.cat([numbers, image.flatten(-3).float(), valid.float()], -1)
    for obs in (row, decoded):
        assert torch.equal(packing.floats(obs, BESIDE), numbers)
        assert torch.equal(packing.images(obs, BESIDE)[0], image.to(obs.dtype))
        assert torch.equal(packing.mask(obs, BESIDE), valid)
        assert torch.equal(packing.everything(obs, BESIDE), decoded[..., :-2])
