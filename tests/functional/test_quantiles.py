import pytest
import torch

from ppo.functional.quantiles import quantiles


@pytest.mark.parametrize("size", [(1,), (2,), (60,), (1001, 3), (4096, 1)])
def test_they_are_torch_s(size):
    values = torch.randn(size, generator=torch.Generator().manual_seed(1))
    shares = [0.0, 0.05, 0.25, 0.5, 0.95, 1.0]
    expected = torch.quantile(values, torch.tensor(shares), dim=0)
    torch.testing.assert_close(quantiles(values, shares), expected, rtol=1e-4, atol=1e-6)


def test_a_power_of_two_passes_through():
    values = torch.randn((100, 2), generator=torch.Generator().manual_seed(2))
    shares = [0.05, 0.31, 0.75]
    assert torch.equal(quantiles(values * 2.0**20, shares), quantiles(values, shares) * 2.0**20)
