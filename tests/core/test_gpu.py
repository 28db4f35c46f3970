"""On a GPU nothing in the rollout or in the update waits for the device."""

from __future__ import annotations

import pytest
import torch

from ppo.algorithm import build
from ppo.algorithm.learner import Learner
from ppo.config import Config

pytestmark = pytest.mark.gpu


def learner(how: str) -> Learner:
    settings = [
        "system.device=cuda",
        f"system.compile={how}",
        "env.num_envs=64",
        "ppo.num_steps=30",
        "env.calibration_steps=0",
    ]
    config = Config.from_dict({}, settings)
    device = build.prepare_torch(config)
    made = build.build_learner(config, build.build_environments(config, device), device)
    made.start()
    return made


@pytest.mark.parametrize("how", ["never", "always"])
def test_rollout_and_update_do_not_wait_for_the_device(how: str) -> None:
    run = learner(how)
    for _ in range(3):  # graphs are compiled and recorded
        run.step()
    knobs, _ = run.knobs()
    batch, _ = run.prepare(run.collector(3)[0])
    noise = run.collector.noise(3, 0)
    torch.cuda.set_sync_debug_mode("error")
    try:
        with torch.no_grad():
            run.collector.player.play(run.collector.current, noise)
        run.update(batch, knobs, 3, 0)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_graphs_and_eager_runs_agree_on_the_device() -> None:
    eager, graphs = learner("never"), learner("always")
    for _ in range(3):
        graphs.load_state_dict({k: v.clone() for k, v in eager.state_dict().items()})
        eager.step()
        graphs.step()
        torch.testing.assert_close(
            graphs.optimizer.flat.theta, eager.optimizer.flat.theta, rtol=1e-3, atol=1e-5
        )
