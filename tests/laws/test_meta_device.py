"""One whole batch with every tensor on the `meta` device, for every kind that the registries hold.

Tensors there have a form and no numbers: a scalar that was left on the CPU cannot be mixed with
them, and whoever waits for a number of the device fails. So a machine without a GPU finds what
would fail, or wait, on one.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from learner_tools import learner
from simulators import Everything, Native

from ppo.algorithm import build
from ppo.algorithm.rollout import collect, players
from ppo.config import Config
from ppo.core import compiling, randomness, recording
from ppo.losses import ADVANTAGES, balancers
from ppo.networks import MEMORIES, encoders
from ppo.values import CLIPS, HEADS, SCALES

META = torch.device("meta")
SMALL = ["system.compile=never", "env.num_envs=8", "ppo.num_steps=3", "env.calibration_steps=0",
         "ppo.num_minibatches=2", "ppo.num_epochs=1", "network.hidden_sizes=[16]",
         "network.memory_size=8"]  # fmt: skip


class OnTheHost:
    """torch with generators of the CPU, since none can be made for the meta device."""

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def Generator(self, device: object = None) -> torch.Generator:
        return torch.Generator("cpu")


@pytest.fixture(autouse=True)
def meta(monkeypatch):
    monkeypatch.setattr(randomness, "torch", OnTheHost())
    # A device other than the CPU compiles what plays on it, which the meta device cannot.
    monkeypatch.setattr(compiling, "compiled", lambda function, *_, **__: function)
    for module in (collect, players, recording):
        monkeypatch.setattr(module, "compiled", lambda f, *_, **__: f)


NEEDS = {"ppo.return_normalizer=symlog": "ppo.value_clip=none"}


def one_batch(*settings: str, env: Any = None) -> None:
    """Collect, prepare, targets, update and examine."""
    settings += tuple(NEEDS[setting] for setting in settings if setting in NEEDS)
    config = Config.from_dict({}, [*SMALL, *settings])
    envs = build.build_environments(config, META, env=env)
    learner = build.build_learner(config, envs, META)
    learner.collector.reset()
    learner.kl_rate.factor = torch.ones(())  # the one state that the host reads
    knobs, _ = learner.knobs()
    rollout, _ = learner.collector(0)
    batch, _ = learner.batch_of(rollout)
    learner.examine.remember(batch, knobs)
    table = learner.update(batch, knobs, 0, 0)
    learner.examine(batch, knobs, table, 0)
    envs.drain_events()


NATIVE = ["DoubleIntegrator-v0", "Pendulum-v1", "CartPole-v1", "ThreeScales-v0"]
SEE_ACTIONS = [
    "ppo.noise=pink", *(f"auxiliary.{name}_weight=0.1" for name in ("trajectory", "success")),
    *(f"network.memory={kind}" for kind in MEMORIES.names()),
]  # fmt: skip
KINDS = [
    *(f"ppo.return_normalizer={kind}" for kind in SCALES.names() if kind != "identity"),
    "ppo.normalize_returns=false",  # identity
    *(f"ppo.value_loss={kind}" for kind in HEADS.names()),
    *(f"ppo.value_clip={kind}" for kind in CLIPS.names()),
    *(f"ppo.normalize_advantages={kind}" for kind in ADVANTAGES.names()),
    *(f"balancing.kind={kind}" for kind in balancers.REGISTRY.names()),
    *(f"ppo.{name}" for name in ("gamma_schedule=critic", "target_kl=0.02",
                                 "reward_outlier=clip", "reward_scaling=return_std")),
    "auxiliary.time_to_end_weight=0.1",
]  # fmt: skip


@pytest.mark.parametrize("env", NATIVE)
def test_every_native_environment(env):
    one_batch(f"env.id={env}", "env.backend=torch")


@pytest.mark.parametrize("kind", [Native, Everything])
@pytest.mark.parametrize("setting", ["network.memory=none", "network.memory=gru"])
def test_a_simulator_on_the_device(setting, kind):
    one_batch(setting, env=kind(8, "meta"))


def test_a_simulator_that_is_asked_for_a_number_is_noticed(monkeypatch):
    monkeypatch.setattr(players, "DevicePlayer", players.HostPlayer)
    monkeypatch.setattr(collect, "DevicePlayer", players.HostPlayer)
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        one_batch(env=Native(8, "meta"))


@pytest.mark.parametrize("setting", SEE_ACTIONS)
@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_every_kind_that_sees_actions(env, setting):
    one_batch(f"env.id={env}", "env.backend=torch", setting)


@pytest.mark.parametrize("number", range(len(KINDS)), ids=KINDS)
def test_every_other_kind(number):
    """With discrete actions and with continuous ones in turn."""
    env = ("CartPole-v1", "Pendulum-v1")[number % 2]
    one_batch(f"env.id={env}", "env.backend=torch", KINDS[number])


@pytest.mark.parametrize("encoder", encoders.REGISTRY.names())
@pytest.mark.parametrize("numbers", [False, True], ids=["pixels", "pixels and numbers"])
def test_every_encoder_of_pictures(encoder, numbers):
    if encoder == "mlp" and not numbers:
        one_batch("env.id=CartPole-v1", "env.backend=torch", "network.encoder=mlp")
        return
    env = {"env__kwargs": f"{{numbers: {str(numbers).lower()}}}"}
    made = learner("image_env:Picture-v0", network__encoder=encoder, **env)
    found = made.objective.agent.to(META)(made.collector.current.to(META))
    found.values_norm.sum().backward()
    assert found.values_norm.is_meta and found.policy.is_meta


def test_a_scalar_on_the_host_is_noticed(monkeypatch):
    monkeypatch.setattr("ppo.algorithm.health.out_of_bounds", lambda *_: torch.full((), torch.nan))
    with pytest.raises((RuntimeError, NotImplementedError), match="meta|device"):
        one_batch("env.id=CartPole-v1", "env.backend=torch")


def test_a_wait_for_the_device_is_noticed(monkeypatch):
    from ppo.algorithm import health

    usual = health.value_health

    def waits(batch, *rest):
        float(batch.old_values.sum())
        return usual(batch, *rest)

    monkeypatch.setattr(health, "value_health", waits)
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        one_batch("env.id=CartPole-v1", "env.backend=torch")
