"""Parts of the user's by import path: the same code path, and one clear line for each mistake."""

from __future__ import annotations

import re
import sys

import own_parts
import pytest
import torch
from learner_tools import settings
from value_tools import first_difference, history, make_learner

from ppo import Config, Trainer, load_policy
from ppo.core.errors import UserError

PARTS = {
    "network.encoder": "Residual",
    "network.memory": "Leaky",
    "ppo.value_loss": "Expectile",
    "ppo.return_normalizer": "Slow",
    "ppo.value_clip": "Shrinking",
    "balancing.kind": "Even",
}
OPTIONS = {
    "network.encoder_kwargs": "{width: 5}",
    "network.memory_kwargs": "{keep: 0.25}",
    "ppo.value_loss_kwargs": "{share: 0.9}",
    "ppo.return_normalizer_kwargs": "{least: 0.5}",
    "ppo.value_clip_kwargs": "{factor: 0.125}",
    "balancing.kind_kwargs": "{power: 2.0}",
    "auxiliary.losses_kwargs": "{NextReward: {weight: 0.25, width: 3}}",
}
LOSS = "auxiliary.losses=['own_parts:NextReward']"


def own(*keys: str) -> list[str]:
    return [f"{key}=own_parts:{PARTS[key]}" for key in keys or PARTS]


def test_the_parts_are_used_and_get_their_options() -> None:
    sets = [*own(), LOSS, *(f"{key}={value}" for key, value in OPTIONS.items())]
    made = make_learner(*sets, "env.num_envs=6", "env.backend=torch", "env.id=CartPole-v1")
    objective, agent = made.objective, made.objective.agent
    assert agent.encoder.num_features == 5 and agent.memory.keep == 0.25
    assert agent.value_head.share == 0.9 and objective.balancer.power == 2.0
    assert float(objective.value_clip.factor) == 0.125
    (loss,) = (loss for loss in objective.balanced_losses if loss.name == "NextReward")
    assert loss.weight == 0.25 and objective.heads["NextReward"][0].out_features == 3
    record = made.step()
    assert record["components"]["NextReward"]["loss"] > 0
    assert objective.value_scale.least == 0.5


def test_what_parts_learn_and_remember_is_saved() -> None:
    made = make_learner(*own(), LOSS, "env.num_envs=6", "env.backend=torch", "env.id=CartPole-v1")
    names = made.objective.state_dict()
    assert {"agent.encoder.shift", "value_clip.factor", "balancer.size"} <= names.keys()
    before = made.objective.agent.value_head.temperature.clone()
    with torch.no_grad():
        made.objective.agent.value_head.temperature.add_(1.0)
    made.step()
    assert not torch.equal(made.objective.agent.value_head.temperature, before + 1)  # learned


def test_layers_that_torch_starts_come_from_the_run_s_seed() -> None:
    weights = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        weights.append(make_learner(*own("network.encoder")).objective.agent.encoder.first.weight)
    assert torch.equal(*weights)
    other = make_learner(*own("network.encoder"), "system.seed=2").objective.agent.encoder
    assert not torch.equal(weights[0], other.first.weight)


@pytest.mark.parametrize("power", [pytest.param(-20, marks=pytest.mark.slow), 20])
def test_reward_scale_changes_no_bit_of_a_run_with_own_parts(power: int) -> None:
    runs = []
    for scale in (1.0, 2.0**power):
        made = make_learner(*own("network.encoder", "ppo.value_loss", "ppo.return_normalizer",
                                 "ppo.value_clip", "balancing.kind"), LOSS,
                            f"env.reward_scale={scale!r}")  # fmt: skip
        runs.append(history(made, 4, scale))
    assert not first_difference(*runs)


def test_an_own_copy_of_a_shipped_kind_is_that_kind_bit_for_bit() -> None:
    plain, copy = (
        history(make_learner(f"ppo.value_loss={loss}", f"ppo.value_clip={clip}"), 3, 1.0)
        for loss, clip in (("huber", "sigma"), ("ppo.values.head:HuberHead",
                                                "ppo.values.clips:SigmaClip"))
    )  # fmt: skip
    assert not first_difference(plain, copy)


def test_a_saved_policy_finds_its_parts(tmp_path) -> None:
    more = {"network__encoder": "own_parts:Residual", "network__encoder_kwargs": "{width: 7}",
            "network__memory": "own_parts:Leaky", "network__shared_encoder": True}  # fmt: skip
    with Trainer(settings("CartPole-v1", **more), tmp_path) as trainer:
        trainer.train()
        wanted = trainer.learner.objective.agent.encoder
    policy = load_policy("latest", tmp_path, "latest")
    assert torch.equal(policy.agent.encoder.first.weight, wanted.first.weight)
    assert policy.predict([0.0, 0.0, 0.0, 0.0]) in (0, 1)


# ---- mistakes

WRONG = '''
from typing import Any
import torch
from torch import nn
from ppo import AuxiliaryLoss, Balancer, Encoder, Memory, ValueClip, ValueHead, ValueScale

class NoSize(Encoder):
    def __init__(self, layout, config, source):
        super().__init__()

class Narrow(Encoder):
    def __init__(self, layout, config, source, width=8):
        super().__init__()
        self.num_features = width
        self.layer = nn.Linear(self.numbers(layout)[0], width - 1)
    def forward(self, numbers, obs):
        return self.layer(numbers)

class Fails(Narrow):
    def forward(self, numbers, obs):
        return numbers @ torch.zeros(99, 3)

class Fit(Narrow):
    def __init__(self, layout, config, source):
        super().__init__(layout, config, source)
        self.layer = nn.Linear(self.numbers(layout)[0], 8)
class Double(Fit):
    def forward(self, numbers, obs):
        return self.layer(numbers).double()
class Cut(Fit):
    def forward(self, numbers, obs):
        return self.layer(numbers).detach()
class Frozen(Fit):
    def __init__(self, layout, config, source):
        super().__init__(layout, config, source)
        self.requires_grad_(False)

class Flat(ValueHead):
    def loss(self, output, values_norm, targets_norm):
        return (values_norm - targets_norm).detach().square()

class Mean(ValueHead):
    def loss(self, output, values_norm, targets_norm):
        return (values_norm - targets_norm).square().mean()

class Forgets(Memory):
    num_states = num_features = 4
    def __init__(self, num_features, size, source):
        super().__init__()
    def project(self, features):
        return features
    def cell(self, projected, state):
        return projected
    def read(self, state):
        return state

class OnlyMean(ValueScale):
    def frame(self, mean, std):
        return mean

class Scalar(ValueClip):
    def width(self, old_values, std, size):
        return torch.ones(())

class Bare(Balancer):
    def forward(self, losses):
        return losses.sum()

class Nameless(AuxiliaryLoss):
    def make_head(self, num_features, num_obs):
        return nn.Linear(num_features, 1)
    def targets(self, rollout):
        return {"other": rollout.rewards}

class Alone(nn.Module):
    pass

def function():
    pass
'''  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("wrong")
    (made / "wrong_parts.py").write_text(WRONG)
    (made / "broken.py").write_text("x = 1\ny = z\n")
    (made / "needs.py").write_text("import not_there\n")
    return made


@pytest.fixture(autouse=True)
def here(folder, monkeypatch):
    """The working directory, in which Python looks only because we let it."""
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    monkeypatch.chdir(folder)


@pytest.mark.parametrize(
    ("key", "value", "kwargs", "message"),
    [
        ("network.encoder", "no_such.nets:X", "", "the module no_such.nets cannot be found; give"),
        ("network.encoder", "needs:X", "", "the module needs, which needs not_there, cannot"),
        ("network.encoder", "broken:X", "",
         r"importing the module broken raised NameError: name 'z' is not defined \(broken.py:2"),
        ("network.encoder", "wrong_parts:Narow", "", "no Narow; its classes: NoSize, Narrow"),
        ("network.encoder", "__main__:Narrow", "", "the name of its file without .py"),
        ("network.encoder", "wrong_parts:Alone", "",
         r"derives from Encoder \(from ppo import Encoder\), not the class Alone"),
        ("network.encoder", "wrong_parts:function", "", "not a function"),
        ("ppo.value_loss", "wrong_parts:Narrow", "",
         r"derives from ValueHead .* not the class Narrow$"),
        ("network.encoder", "wrong_parts:NoSize", "",
         r"its num_features is missing; set self.num_features .*\(wrong_parts.py:7\)"),
        ("network.encoder", "wrong_parts:Narrow", "",
         r"forward must give a tensor \[6, 8\], not \[6, 7\] \(wrong_parts.py:11\)"),
        ("network.encoder", "wrong_parts:Narrow", "{widht: 3}",
         r"Narrow\(widht=3\) raised TypeError: .*unexpected keyword argument 'widht'.* \(wrong_p"),
        ("network.encoder", "wrong_parts:Narrow", "{width: wide}",
         r"Narrow\(width='wide'\) raised TypeError: .*\(wrong_parts.py:15 in __init__\)"),
        ("network.encoder", "wrong_parts:Fails", "",
         r"forward raised RuntimeError: .*\(wrong_parts.py:21 in forward\)"),
        ("network.encoder", "wrong_parts:Double", "", "must give float32, not torch.float64"),
        ("network.encoder", "wrong_parts:Cut", "", "forward gives features without a gradient"),
        ("ppo.value_loss", "wrong_parts:Flat", "", "loss has no gradient .* would not learn"),
        ("network.memory", "wrong_parts:Forgets", "", r"cell must give a tensor \[6, 4\], not \[6"),
        ("ppo.value_loss", "wrong_parts:Mean", "", r"loss must give a tensor \[6, 2\], not \[\]"),
        ("ppo.return_normalizer", "wrong_parts:OnlyMean", "", "frame must give an offset and a si"),
        ("ppo.value_clip", "wrong_parts:Scalar", "", r"width must give a tensor \[6, 2\], not \[]"),
        ("balancing.kind", "wrong_parts:Bare", "", "forward must give a total and the weights"),
        ("auxiliary.losses", "wrong_parts:Nameless", "", "a dict with 'Nameless' and 'Nameless_ma"),
        ("auxiliary.losses", "own_parts:NextReward", "{NextReward: {w: 1}}",
         r"NextReward\(w=1\) raised TypeError"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_key_value_and_place(key, value, kwargs, message) -> None:
    word = f"['{value}']" if key == "auxiliary.losses" else value
    sets = [f"{key}={word}", *([f"{key}_kwargs={kwargs}"] if kwargs else [])]
    with pytest.raises(UserError) as caught:
        make_learner(*sets, "env.num_envs=6")
    (line,) = caught.value.messages
    assert line.startswith(f"{key}: {value}: ") and re.search(message, line), line


def test_an_encoder_may_be_frozen() -> None:
    learner = make_learner("network.encoder=wrong_parts:Frozen", "env.num_envs=6")
    assert not learner.objective.agent.encoder.layer.weight.requires_grad


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("policy", "is that of another loss"),
        ("value", "is that of another loss"),
        ("entropy", "is that of another loss"),
        ("success", "is that of another loss"),
        ("forward", "means something to torch"),
        ("values", "means something to torch"),
    ],
)
def test_a_loss_of_ones_own_takes_no_other_s_name(name, message, monkeypatch) -> None:
    monkeypatch.setattr(own_parts.NextReward, "name", name)
    with pytest.raises(UserError, match=f"NextReward: its name '{name}' {message}"):
        make_learner(LOSS, "auxiliary.success_weight=1", "env.num_envs=6")


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["ppo.value_loss=squred"], "huber, hl_gauss, two_hot or package.module:Class; did you me"),
        (["ppo.value_loss_kwargs={a: 1}"], "options of a part of your own, and ppo.value_loss squ"),
        (["auxiliary.losses_kwargs={A: {}}"], "A is none of auxiliary.losses"),
        (["auxiliary.losses=['a:B', 'c:B']"], "two of them are called B"),
        (["network.encoder=a/b.py:C"], "or package.module:Class"),
    ],
)  # fmt: skip
def test_what_the_configuration_alone_decides_is_refused_with_it(sets, message) -> None:
    with pytest.raises(UserError, match=message):
        Config.load(overrides=sets)


def test_bins_of_the_user_s_need_bounded_targets() -> None:
    with pytest.raises(UserError, match="HLGaussHead: needs bounded targets, and Identity gives"):
        make_learner("ppo.value_loss=ppo.values.bins:HLGaussHead", "ppo.normalize_returns=false")
    logarithms = "ppo.return_normalizer=ppo.values.fixed:Symlog"
    with pytest.raises(UserError, match="relative is a length, and Symlog has logarithmic units"):
        make_learner(logarithms)
