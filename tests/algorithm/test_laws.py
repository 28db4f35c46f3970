"""A part that breaks a law is told so, in a line that says what to write; a sound one passes."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import own_parts as sound
import pytest
import torch
from torch import nn

from ppo import testing
from ppo.core.errors import UserError


class Normalized(sound.Residual):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.norm = torch.nn.BatchNorm1d(self.num_features)

    def forward(self, numbers, obs):
        return self.norm(super().forward(numbers, obs))


class Batchwise(sound.Residual):
    def forward(self, numbers, obs):
        return super().forward(numbers - numbers.mean(0), obs)


class Drops(sound.Residual):
    def forward(self, numbers, obs):
        return nn.functional.dropout(super().forward(numbers, obs), 0.5)


class Unused(sound.Residual):
    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self.spare = nn.Linear(2, 2)


class Forgetful(sound.Residual):
    """What it remembers is no buffer."""

    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self.calls = 0.0

    def forward(self, numbers, obs):
        self.calls += 1e-3
        return super().forward(numbers, obs) + (self.calls if len(numbers) > 20 else 0.0)


class Waits(sound.Residual):
    def forward(self, numbers, obs):
        return super().forward(numbers, obs) * (2.0 if self.shift.sum().item() > 0 else 1.0)


class Plain(sound.Residual):
    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self.offset = torch.zeros(())


class NoState(sound.Leaky):
    def cell(self, projected, state):
        return torch.tanh(projected) + 0 * state


class OwnSequence(sound.Leaky):
    """Its sequences know nothing of episodes."""

    def sequence(self, features, states, starts, length):
        return super().sequence(features, states, torch.zeros_like(starts), length)


class Offset(sound.Expectile):
    def decode(self, output):
        return super().decode(output) + 1.0


class Wrong(sound.Expectile):
    def loss(self, output, values_norm, targets_norm):
        return super().loss(output, values_norm, 0.5 * targets_norm)


class Mixed(sound.Expectile):
    def loss(self, output, values_norm, targets_norm):
        return super().loss(output, values_norm, targets_norm) / targets_norm.abs().mean()


class Epsilon(sound.Slow):
    def frame(self, mean, std):
        return mean, (std + 1e-8) / self.return_scale


class Claims(sound.Slow):
    preserves_outputs = True


class Fixed(sound.Shrinking):
    def width(self, old_values, std, size):
        return torch.full_like(old_values, 0.2) / size


class Negative(sound.Shrinking):
    def width(self, old_values, std, size):
        return -super().width(old_values, std, size)


class Backwards(sound.Even):
    def weights(self, losses):
        return super().weights(losses) * torch.tensor([1.0, -1.0, 1.0])[: len(losses)]


class Learns(sound.Even):
    def forward(self, losses):
        return losses.sum(), 2 * torch.ones_like(losses)


class Replaces(sound.Even):
    """Whoever has read the buffer before, as a CUDA graph has, goes on with what it was."""

    def observe(self, losses, variances, progress):
        self.size = losses.abs()


class Crosses(sound.NextReward):
    def targets(self, rollout):
        found = super().targets(rollout)
        return {**found, f"{self.name}_mask": torch.ones_like(found[f"{self.name}_mask"])}


class Rewards(sound.NextReward):
    def targets(self, rollout):
        found = super().targets(rollout)
        return {**found, self.name: rollout.rewards[..., 0].reshape(-1, 1)}


class Blind(sound.NextReward):
    def errors(self, prediction, batch):
        return (self.head(prediction.features.detach()) * 0 - batch.targets[self.name]).square()


BROKEN = [
    (testing.check_encoder, Normalized, "forward raised ValueError: Expected more than 1 value"),
    (testing.check_encoder, Batchwise, "features depend on the others beside it"),
    (testing.check_encoder, Drops, "two calls give different features"),
    (testing.check_encoder, Unused, "spare.weight, spare.bias: no gradient comes there"),
    (testing.check_encoder, Forgetful, "a run that is stopped and resumed learns something else"),
    (testing.check_encoder, Waits, "takes a number out of a tensor"),
    (testing.check_encoder, Plain, "self.offset is a plain tensor"),
    (testing.check_encoder, sound.Leaky, "must be a class that derives from Encoder"),
    (testing.check_encoder, 3, "3: must be a class that derives from Encoder"),
    (testing.check_memory, NoState, "it remembers nothing"),
    (testing.check_memory, OwnSequence, "a sequence gives other outputs than its steps one by one"),
    (testing.check_value_loss, Offset, "decode must give exactly 0 for an output of 0"),
    (testing.check_value_loss, Wrong, "lead to -8.5, 1.5, 0.2, 15.5, the targets are -17"),
    (testing.check_value_loss, Mixed, "the loss of a sample depends on the others"),
    (testing.check_return_normalizer, Epsilon, "it has a fixed number in reward units"),
    (testing.check_return_normalizer, Claims, "changed; preserves_outputs is True"),
    (testing.check_value_clip, Fixed, "give another width in network units"),
    (testing.check_value_clip, Negative, "width gives NaN or a number below 0"),
    (testing.check_balancer, Backwards, "a loss has lost its gradient, or its direction"),
    (testing.check_balancer, Learns, "the weights that it gives are not the gradient"),
    (testing.check_balancer, Replaces, "self.size was replaced by another tensor"),
    (testing.check_auxiliary_loss, Crosses, "depend on what came after its end"),
    (testing.check_auxiliary_loss, Rewards, "its targets depend on the size of the rewards"),
    (testing.check_auxiliary_loss, Blind, "no gradient reaches prediction.features"),
]


@pytest.mark.parametrize(("check", "part", "message"), BROKEN)
def test_a_broken_law_is_told(check, part, message):
    with pytest.raises(UserError) as caught:
        check(part)
    name = getattr(part, "__name__", "3")
    assert all(line.startswith(f"{name}: ") for line in caught.value.messages)
    assert any(message in line for line in caught.value.messages), caught.value.messages


SOUND = [
    (testing.check_encoder, sound.Residual, {"width": 7}),
    (testing.check_memory, "own_parts:Leaky", {"keep": 0.25}),
    (testing.check_value_loss, sound.Expectile, {"share": 0.6}),
    (testing.check_return_normalizer, sound.Slow, {}),
    (testing.check_value_clip, sound.Shrinking, {"factor": 0.25}),
    (testing.check_balancer, sound.Even, {}),
    (testing.check_auxiliary_loss, sound.NextReward, {"weight": 0.3, "env": "CartPole-v1"}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("check", "part", "options"), SOUND)
def test_a_sound_part_passes(check, part, options):
    check(part, **options)


def test_a_class_that_no_run_could_find_is_told_so():
    class Local(sound.Expectile):
        pass

    with pytest.raises(UserError, match="Local: define it at the top of a module"):
        testing.check_value_loss(Local)


# ---- environments


class Walk(gym.Env):
    """Sound: all that is random comes from its own generator."""

    observation_space = gym.spaces.Box(-9, 9, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = self.np_random.normal(size=1).astype(np.float32).clip(-1, 1)
        return self.place, {}

    def step(self, action):
        self.place = self.place + np.float32(0.1) * (1 if action else -1)
        return self.place, float(self.place[0]), bool(abs(self.place[0]) > 2), False, {}


class Global(Walk):
    def step(self, action):
        obs, reward, *rest = super().step(action)
        return obs, reward + float(np.random.normal()), *rest


class Fails(Walk):
    def step(self, action):
        raise KeyError("goal")


class Infinite(Walk):
    def step(self, action):
        obs, _, *rest = super().step(action)
        return obs, float("nan"), *rest


def test_a_sound_environment_passes():
    testing.check_environment(Walk, steps=50)
    assert not [name for name in gym.registry if "CheckedWalk" in name]


@pytest.mark.parametrize("env", ["masked_env:MaskedInfo-v0", "masked_env:MaskedMethod-v0"])
def test_an_environment_is_asked_for_nothing_that_its_mask_rules_out(env):
    """What these rule out raises."""
    testing.check_environment(env, steps=50, nvec=[5])


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (Global, "Global: two environments with the same seed and actions give different rewards"),
        (Fails, r"Fails.*KeyError\('goal'\).*test_laws.py:\d+ in step"),
        (Infinite, "Infinite.*(nan|NaN)"),
        (dict, "dict: must be an id of Gymnasium or a class that derives from gym.Env"),
        ("no_such_env:Thing-v0", "the module no_such_env cannot be found"),
    ],
)
def test_what_is_wrong_with_an_environment_is_told(env, message):
    with pytest.raises(UserError, match=message):
        testing.check_environment(env, steps=30)
