"""What `--mode benchmark` measures is what its names say."""

from __future__ import annotations

from typing import Any

import pytest

from ppo import Config
from ppo.cli.modes import benchmark
from ppo.training import throughput


def test_an_update_is_measured_whole_whatever_limits_its_divergence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same batch is learned from again and again, which a KL limit would cut short."""
    parts: list[Any] = []

    def each(function: Any, *_: Any) -> float:
        parts.append(function())
        return 1.0

    monkeypatch.setattr(throughput, "_seconds_each", each)
    sets = ["env.num_envs=4", "ppo.num_steps=8", "ppo.num_minibatches=2", "ppo.num_epochs=3"]
    throughput.measure(Config.from_dict({}, [*sets, "ppo.target_kl=1e-9", "system.device=cpu"]))
    _, table, *_ = parts
    assert len(table.rows) == 3 * 2


@pytest.mark.parametrize(("threads", "told"), [(1, " 1 thread, eager"), (2, " 2 threads, eager")])
def test_one_thread_is_not_several(threads: int, told: str) -> None:
    rates = dict.fromkeys((f"{name}_steps_per_second" for name in benchmark.ROWS), 1)
    facts = {"env": "CartPole-v1", "num_envs": 4, "backend": "sync", "device": "cpu",
             "compiled": False, "share_of_roofline": 0.5, "seconds_per_million_steps": 1.0,
             "startup_seconds": 1.0}  # fmt: skip
    assert told in benchmark.as_text({**rates, **facts, "threads": threads})
