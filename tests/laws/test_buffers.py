"""Compiled code on a CPU loses writes into tensors without axes, so no state may be one."""

import pytest
import torch

from ppo import Config
from ppo.algorithm import build, discount


def learner(compile_it="never"):
    overrides = ["env.num_envs=4", "ppo.num_steps=16", "ppo.num_minibatches=2", "ppo.num_epochs=1",
                 "network.hidden_sizes=[8]", "ppo.reward_scaling=return_std",
                 "ppo.normalize_advantages=batch", "ppo.component_mixing=sum",
                 "ppo.gamma_schedule=critic", "ppo.gamma=0.5",
                 f"system.compile={compile_it}"]  # fmt: skip
    config, device = Config.from_dict({}, overrides), torch.device("cpu")
    made = build.build_learner(config, build.build_environments(config, device), device)
    made.start()
    return made


def test_no_state_is_a_scalar_tensor():
    made = learner()
    made.step()
    alone = {
        "kl_rate.factor",
        "objective.balancer.started",
        "reported.told",
    }  # written outside of graphs
    scalars = {name for name, value in made.state_dict().items() if value.dim() == 0}
    assert scalars <= alone


@pytest.mark.slow
def test_compiled_batches_move_every_state_as_eager_ones_do(monkeypatch):
    monkeypatch.setattr(discount, "ENOUGH", -100.0)  # so that the horizon moves at all
    eager, graph = learner(), learner("always")
    for _ in range(2):
        eager.step(), graph.step()
    want, got = eager.state_dict(), graph.state_dict()
    for name, value in want.items():
        torch.testing.assert_close(got[name], value, rtol=1e-3, atol=1e-3, msg=name)
