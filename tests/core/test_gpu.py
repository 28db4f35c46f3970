"""On a GPU: nothing waits for the device, graphs agree with eager code, and the laws hold."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from value_tools import first_difference, history

from ppo import Trainer
from ppo.algorithm import build
from ppo.algorithm.learner import Learner
from ppo.config import Config
from ppo.core.capturing import Captured

pytestmark = pytest.mark.gpu
HOW = ["never", "always"]
PICTURES = ["env.id=image_env:Picture-v0", "env.num_envs=16"]


def learner(how: str, *more: str) -> Learner:
    settings = [
        "system.device=cuda",
        f"system.compile={how}",
        "env.num_envs=64",
        "ppo.num_steps=15",
        "env.calibration_steps=0",
        *more,
    ]
    config = Config.from_dict({}, settings)
    device = build.prepare_torch(config)
    made = build.build_learner(config, build.build_environments(config, device), device)
    made.start()
    return made


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("how", HOW)
def test_rollout_and_update_do_not_wait_for_the_device(how: str, precision: str) -> None:
    run = learner(how, f"system.precision={precision}")
    for _ in range(3):  # graphs are compiled and recorded
        run.step()
    knobs, _ = run.knobs()
    batch, _ = run.prepare(run.collector(3)[0])
    noise = run.collector.noise(3, 0)
    torch.cuda.set_sync_debug_mode("error")
    try:
        with torch.no_grad():
            run.collector.player.play(run.collector.current, noise)
        table = run.update(batch, knobs, 3, 0)
        run.examine(batch, knobs, table, 3)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("steps", [15, 30])  # 30 are a whole episode, of several graphs
def test_graphs_and_eager_runs_agree_on_the_device(steps: int) -> None:
    eager, graphs = (learner(how, f"ppo.num_steps={steps}") for how in HOW)
    for _ in range(3):
        graphs.load_state_dict({k: v.clone() for k, v in eager.state_dict().items()})
        eager.step()
        graphs.step()
        torch.testing.assert_close(
            graphs.optimizer.flat.theta, eager.optimizer.flat.theta, rtol=1e-3, atol=1e-5
        )


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("how", HOW)
def test_powers_of_two_change_no_bit(how: str, precision: str) -> None:
    def scaled(power: int) -> list:
        factor = 2.0**power
        run = learner(how, f"env.reward_scale={factor!r}", f"system.precision={precision}")
        return history(run, 4, factor)

    plain = scaled(0)
    found = first_difference(plain, scaled(20))
    assert not found, found


@pytest.mark.parametrize("how", HOW)
def test_a_resumed_run_is_the_undisturbed_one(how: str) -> None:
    whole, first = learner(how), learner(how)
    history(whole, 2, 1.0)
    history(first, 2, 1.0)
    state = {name: tensor.clone() for name, tensor in first.state_dict().items()}
    second = learner(how)
    second.load_state_dict(state)
    second.counters.update(first.counters)
    assert not first_difference(history(whole, 2, 1.0), history(second, 2, 1.0))


def test_pictures_are_seen_alike_in_rollout_and_update_and_after_a_resume() -> None:
    """Convolutions of 16 and of 60 pictures agree as products do, and each repeats its bits."""

    def run(power: int) -> Learner:
        return learner("never", *PICTURES, f"env.reward_scale={2.0**power!r}")

    plain = history(whole := run(0), 4, 1.0)
    assert max(record["ratio_first"] for record in plain) < 1e-5
    assert not first_difference(plain, history(run(20), 4, 2.0**20))
    assert not first_difference(plain, history(run(0), 4, 1.0))
    assert whole.device.type == "cuda"


def test_the_run_goes_on_after_an_evaluation_on_the_cpu(tmp_path: Path) -> None:
    settings = ["system.device=cuda", "env.num_envs=64", "ppo.num_steps=15"]

    def trained(interval: int) -> Trainer:
        more = [f"evaluation.interval={interval}", "train.total_timesteps=4000"]
        with Trainer(Config.from_dict({}, [*settings, *more]), tmp_path) as trainer:
            trainer.train()
        return trainer

    often, seldom = trained(1), trained(0)
    assert often.evaluated.device.type == "cpu" and often.learner.device.type == "cuda"
    assert often.evaluations[-1]["mean_return"] == seldom.evaluations[-1]["mean_return"]
    assert torch.equal(often.learner.optimizer.flat.theta, seldom.learner.optimizer.flat.theta)


def test_a_function_that_waits_leaves_the_device_as_it_was() -> None:
    """torch's generator draws on, and other functions are captured."""
    waits = Captured(lambda x: torch.rand(2, device="cuda") * x.sum().item())
    ones = torch.ones(3, device="cuda")
    for _ in range(3):
        assert waits(ones).amax() <= 3.0
    assert torch.rand(2, device="cuda").unique().numel() == 2
    double = Captured(lambda x: 2.0 * x)
    for number in range(4):
        assert double(ones * number).sum().item() == 6.0 * number
    (capture,) = double._graphs.values()
    assert capture._run == capture._again
