import pytest
import torch

from ppo.functional.quantiles import quantiles, spread_index


def everything(values):
    return torch.ones(values.shape[0], dtype=torch.bool)


@pytest.mark.parametrize("size", [(1,), (2,), (60,), (1001, 3), (4096, 1)])
def test_they_are_torch_s(size):
    values = torch.randn(size, generator=torch.Generator().manual_seed(1))
    shares = [0.0, 0.05, 0.25, 0.5, 0.95, 1.0]
    expected = torch.quantile(values, torch.tensor(shares), dim=0)
    torch.testing.assert_close(
        quantiles(values, shares, everything(values)), expected, rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("chosen", [1, 2, 3, 60, 999])
def test_of_some_rows_they_are_those_of_these_rows_alone(chosen):
    source = torch.Generator().manual_seed(3)
    values = torch.randn((1000, 3), generator=source)
    real = torch.zeros(1000, dtype=torch.bool)
    real[torch.randperm(1000, generator=source)[:chosen]] = True
    shares = [0.0, 0.05, 0.25, 0.5, 0.95, 1.0]
    alone = quantiles(values[real], shares, everything(values[real]))
    assert torch.equal(quantiles(values, shares, real), alone)


def test_of_no_row_they_are_not_known():
    nothing = torch.zeros(3, dtype=torch.bool)
    assert quantiles(torch.rand(3, 2), [0.25, 1.0], nothing).isnan().all()


def test_a_power_of_two_passes_through():
    values = torch.randn((100, 2), generator=torch.Generator().manual_seed(2))
    shares = [0.05, 0.31, 0.75]
    real = everything(values)
    plain, scaled = (quantiles(v, shares, real) for v in (values, values * 2.0**20))
    assert torch.equal(scaled, plain * 2.0**20)


@pytest.mark.parametrize("size", [1, 5, 1024, 1500, 1025, 8 * 4096, 7 * 12_345, 2**20])
def test_spread_samples_are_different_and_leave_no_large_gap(size):
    index = spread_index(size, 1024, torch.device("cpu"))
    assert len(index) == min(size, 1024) == len(index.unique())
    gaps = torch.cat([index.sort().values, torch.tensor([size])]).diff()
    assert index.min() < 3 * size / 1024 + 1 and gaps.max() < 3 * size / 1024 + 1


def test_spread_samples_see_every_environment_alike():
    envs = spread_index(4096 * 8, 1024, torch.device("cpu")) % 8  # samples are [T, N], flattened
    counts = envs.bincount(minlength=8)
    assert counts.min() >= 120 and counts.max() <= 136


def test_positions_are_exact_where_their_products_need_more_than_32_bits() -> None:
    size, limit = 2**31 - 1, 1024
    index = spread_index(size, limit, torch.device("cpu")).tolist()
    assert index == [i * index[1] % size for i in range(limit)]
