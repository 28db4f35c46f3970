"""Multiplying every reward by a power of two changes no bit of what is learned."""

import functools
from pathlib import Path

import pytest
import torch
from value_tools import ThreeScales, first_difference, history, make_learner

from ppo.algorithm import discount
from ppo.config import Config
from ppo.config.listing import settings
from ppo.config.words import choices, schema_at
from ppo.losses import ADVANTAGES, balancers
from ppo.values import CLIPS, HEADS, SCALES

POWERS = (-30, 20)
BATCHES = 4
ENVIRONMENTS = {
    "several components": ["env.id=DoubleIntegrator-v0"],
    "discrete, gymnasium": ["env.id=CartPole-v1", "env.backend=sync", "env.num_envs=4"],
    "continuous, time limit": ["env.id=Pendulum-v1", "env.backend=torch", "ppo.num_steps=60"],
}


def scaled_history(power, *overrides, env=None, batches=BATCHES):
    scale = 2.0**power
    learner = make_learner(*overrides, f"env.reward_scale={scale!r}", env=env)
    return history(learner, batches, scale)


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_powers_of_two_change_no_bit(name):
    plain = scaled_history(0, *ENVIRONMENTS[name])
    for power in POWERS:
        found = first_difference(plain, scaled_history(power, *ENVIRONMENTS[name]))
        assert not found, f"2^{power}: {found}"


@pytest.mark.parametrize("power", [-100, 100])
def test_the_range_is_that_of_float32(power):
    """Rewards of 1e-30 and of 1e30; beyond, float32 itself runs out."""
    settings = ENVIRONMENTS["several components"]
    assert not first_difference(scaled_history(0, *settings), scaled_history(power, *settings))


def test_components_a_million_apart_keep_their_bits_under_a_common_factor():
    plain = scaled_history(0, env=ThreeScales())
    for power in POWERS:
        found = first_difference(plain, scaled_history(power, env=ThreeScales()))
        assert not found, f"2^{power}: {found}"


UNMIXED = ("digest", "components", "value_loss", "normalized_value_loss", "policy_loss")


@pytest.mark.parametrize("powers", [(-30, 0, 30), (20, -20, 7)])
def test_each_critic_is_invariant_to_its_own_scale(powers):
    """With normalized mixing the policy does not see the factors of single components either."""
    factors = tuple(2.0**p for p in powers)
    runs = [
        scaled_history(0, "ppo.component_mixing=normalized", env=env)
        for env in (ThreeScales(), ThreeScales(factors))
    ]
    for plain, scaled in zip(*runs, strict=True):
        assert {k: plain[k] for k in UNMIXED} == {k: scaled[k] for k in UNMIXED}


def inject_into_advantages(monkeypatch):
    def with_epsilon(advantages, weights, floor=0.0):
        centered = advantages - advantages.mean()
        return centered / (centered.std() + 1e-8)

    monkeypatch.setattr("ppo.losses.policy.normalize_advantages", with_epsilon)
    monkeypatch.setattr("ppo.algorithm.targets.normalize_advantages", with_epsilon)


def inject_into_the_frame(monkeypatch):
    monkeypatch.setattr(
        SCALES.get("popart"),
        "frame",
        lambda self, mean, std: (mean, (std + 1e-8) / self.return_scale),
    )


@pytest.mark.parametrize("inject", [inject_into_advantages, inject_into_the_frame])
def test_one_additive_epsilon_is_noticed(monkeypatch, inject):
    inject(monkeypatch)
    assert first_difference(scaled_history(0), scaled_history(-20))


SHORT = ("ppo.num_steps=15", "env.calibration_steps=4")  # an episode of DoubleIntegrator


@functools.cache
def plain_history(*overrides):
    return scaled_history(0, *SHORT, *overrides, batches=3)


def same_bits(*overrides):
    plain = plain_history(*overrides)
    return all(
        not first_difference(plain, scaled_history(power, *SHORT, *overrides, batches=3))
        for power in (-24, 24)
    )


@pytest.mark.parametrize("kind", SCALES.names())
def test_value_scales_keep_what_they_claim(kind):
    chosen = [
        f"ppo.normalize_returns={str(kind != 'identity').lower()}",
        "ppo.value_clip=none",
        *([f"ppo.return_normalizer={kind}"] if kind != "identity" else []),
    ]
    assert same_bits(*chosen) == SCALES.get(kind).exact


@pytest.mark.parametrize("kind", CLIPS.names())
@pytest.mark.parametrize("form", ["pessimistic", "plain"])
def test_value_clips_keep_what_they_claim(kind, form):
    chosen = (
        f"ppo.value_clip={kind}",
        f"ppo.value_clip_form={form}",
        "ppo.value_clip_epsilon=0.01",
    )
    holds = first_difference(plain_history("ppo.value_clip=none"), plain_history(*chosen))
    assert bool(holds) == (kind != "none"), "the test is worth nothing"
    assert same_bits(*chosen) == CLIPS.get(kind).exact


@pytest.mark.parametrize("kind", HEADS.names())
def test_value_heads_keep_what_they_claim(kind):
    assert same_bits(f"ppo.value_loss={kind}") == HEADS.get(kind).exact


@pytest.mark.parametrize("kind", ADVANTAGES.names())
def test_advantage_scales_keep_what_they_claim(kind):
    chosen = (f"ppo.normalize_advantages={kind}",)
    chosen += ("ppo.component_mixing=sum",)  # otherwise components are made unit-free before
    assert same_bits(*chosen) == ADVANTAGES.get(kind).exact


@pytest.mark.parametrize("kind", balancers.REGISTRY.names())
def test_balancers_see_no_reward_scale(kind):
    assert same_bits(f"balancing.kind={kind}", "auxiliary.trajectory_weight=0.1")


OTHER_TOGGLES = [  # with what they need to matter at all
    "ppo.value_clip_floor=0.0 ppo.value_clip_epsilon=0.01",
    "ppo.value_loss_unit=network",
    "ppo.component_mixing=sum",
    "ppo.critic_learning_rate=3e-3",
    "ppo.clip_gradients=separate",
    "network.layer_norm=true",
    "network.shared_encoder=false",
    "ppo.noise=pink",
    "ppo.use_relative_value_clip=false",
    "ppo.learning_rate_schedule=linear",
    "ppo.clip_schedule=linear ppo.clip_epsilon=0.01",
    "ppo.entropy_coefficient=0.1",
    "network.activation=relu",
    "network.action_squash=tanh",
    "env.squash_observations=symlog",
    "env.normalize_observations=false",
    "system.precision=bfloat16",
]
# Choices of these sections whose law stands elsewhere, or that touch no number.
HELD = {
    "env.backend": "envs/test_backends.py", "env.on_error": "envs/test_faults.py",
    "env.observation_scale": "networks/test_normalizer.py",
    "network.images": "networks/test_encoders.py",
    "env.on_nonfinite": "envs/test_faults.py", "env.action_masks": "envs/test_masks.py",
    "network.memory": "networks/test_memory.py", "network.encoder": "networks/test_encoders.py",
}  # fmt: skip


@pytest.mark.parametrize("toggle", OTHER_TOGGLES)
def test_other_toggles_see_no_reward_scale(toggle):
    toggle, *beside = toggle.split()
    changed = first_difference(plain_history(*beside), plain_history(toggle, *beside))
    assert changed, "the test is worth nothing"
    assert same_bits(toggle, *beside)


def test_every_choice_has_a_law():
    """Of sections that learning depends on: each is named in this file, or in the file named."""
    for setting in settings(Config):
        section, _, word = setting.name.partition(".")
        schema = schema_at(Config, (section, word)) or {}
        if section in ("env", "network", "ppo", "balancing") and (
            choices(schema) or schema.get("type") == "boolean"
        ):
            file = HELD.get(setting.name, "laws/test_invariance.py")
            text = (Path(__file__).parents[1] / file).read_text()
            assert (word if setting.name in HELD else setting.name) in text, setting.name


class Outliers(ThreeScales):
    """A few rewards are ten million times as large as the others."""

    def rewards(self, state, actions, next_state, ends):
        usual = super().rewards(state, actions, next_state, ends)
        rare = (state[:, 1] > 0.9) & (next_state[:, 0] > 0)
        return usual + 1e7 * self.sizes * rare.unsqueeze(-1)


def test_clipped_outliers_see_no_reward_scale():
    plain, scaled = (scaled_history(p, "ppo.reward_outlier=clip", env=Outliers()) for p in (0, -24))
    assert max(batch["reward_outlier"] for batch in plain) > 1000, "the test is worth nothing"
    assert not first_difference(plain, scaled)


@pytest.mark.parametrize(
    "clip", ["relative", "none", pytest.param("sigma", marks=pytest.mark.slow)]
)
def test_return_scale_weighs_nothing_where_losses_are_in_variances(clip):
    """Neither the pull on the encoder nor the speed of the critic's output layer."""
    runs = [
        scaled_history(0, f"ppo.return_scale={scale}", f"ppo.value_clip={clip}", batches=3)
        for scale in (1.0, 8.0, 64.0)
    ]
    for other in runs[1:]:
        assert [batch["digest"] for batch in runs[0]] == [batch["digest"] for batch in other]


def test_following_the_kl_sees_no_reward_scale():
    assert same_bits("ppo.learning_rate_schedule=kl", "ppo.target_kl=0.01")


def test_a_discount_that_follows_sees_no_reward_scale(monkeypatch):
    monkeypatch.setattr(discount, "ENOUGH", -100.0)  # so that the horizon moves at all
    follows = ("ppo.gamma_schedule=critic", "ppo.gamma=0.5")
    assert same_bits(*ENVIRONMENTS["discrete, gymnasium"], *follows)


def test_a_contest_of_noises_sees_no_reward_scale():
    short = ("env.id=Pendulum-v1", "env.backend=torch", "env.kwargs={max_episode_steps: 9}")
    chosen = (*short, "ppo.noise=contest")
    shares = [batch["colored_share"] for batch in scaled_history(0, *chosen, batches=3)]
    assert shares[:2] == [0.0, 0.5] and shares[2] != 0.5  # else the test is worth nothing
    assert same_bits(*chosen)


def test_batch_advantages_beside_normalized_components_see_no_reward_scale():
    chosen = ("ppo.component_mixing=normalized", "ppo.normalize_advantages=batch")
    assert same_bits(*chosen)


def test_scaled_rewards_see_no_reward_scale():
    """Returns are in units of the running deviation then, so even they are equal."""
    plain, scaled = (
        scaled_history(p, "ppo.reward_scaling=return_std", batches=3) for p in (0, -24)
    )
    for a, b in zip(plain, scaled, strict=True):
        assert a["digest"] == b["digest"]


def test_sparse_rewards_wait_for_their_scale():
    """All-zero batches leave the critic untouched, whatever the scale will be."""

    class Sparse(ThreeScales):
        component_names = ("goal",)

        def rewards(self, state, actions, next_state, ends):
            return (next_state[:, :1] > 1.4).float() * 7.0

    plain, scaled = (scaled_history(p, env=Sparse(), batches=6) for p in (0, -30))
    assert not first_difference(plain, scaled)
    assert plain[-1]["return_std"] > 0


def test_the_offset_of_values_is_no_unit_either():
    torch.manual_seed(0)
    scale = SCALES.get("popart")(1, 10.0, 10.0)
    returns = torch.randn(64, 1) + 500.0
    scale.update(returns, torch.ones(64), None)
    assert scale.to_norm(returns).std() == pytest.approx(10.0, rel=0.05)


def test_returns_that_are_equal_to_a_thousandth_are_not_blown_up():
    scale = SCALES.get("popart")(1, 10.0, 10.0)
    returns = 100.0 + 1e-4 * torch.randn(64, 1)
    scale.update(returns, torch.ones(64), None)
    assert float(scale.std) == pytest.approx(0.1, rel=0.01)
    assert scale.to_norm(returns).std() < 0.1
