"""Action masks: what is ruled out is never done, and the rest is done as if nothing else were."""

from __future__ import annotations

import gymnasium as gym
import masked_env
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given
from hypothesis import settings as tried
from hypothesis import strategies as st
from learner_tools import HOST, learner, records, settings

from ppo import Trainer, load_policy
from ppo.core.errors import UserError
from ppo.envs.host import masks
from ppo.envs.host.slot import Task
from ppo.envs.make import make_environments
from ppo.envs.vector import VectorEnvironments
from ppo.networks import packing
from ppo.networks.agent import RULED_OUT
from ppo.networks.distributions import distribution_for

INFO, METHOD = "masked_env:MaskedInfo-v0", "masked_env:MaskedMethod-v0"
KINDS = [
    (INFO, "{nvec: [5], start: 2}"),
    (METHOD, "{nvec: [3, 1, 4]}"),
    (METHOD, "{image: true}"),
    ("masked_env:MaskedTuple-v0", "{nvec: [3, 1, 4]}"),
    ("masked_env:MaskedLists-v0", "{nvec: [3, 1, 4]}"),
    ("masked_env:MaskedObservation-v0", "{nvec: [3, 1, 4]}"),
]


def environments(env: str, **more):
    return make_environments(settings(env, **more).env, run_seed=3, device=HOST)


def valid_actions(obs, layout, space):
    """The first valid action of every choice, in the environment's numbers."""
    mask = packing.mask(obs, layout)
    if isinstance(space, gym.spaces.Discrete):
        return mask.int().argmax(-1) + int(space.start)
    parts = mask.split(space.nvec.tolist(), -1)
    return torch.stack([part.int().argmax(-1) for part in parts], -1)


@pytest.mark.parametrize(("env", "kwargs"), KINDS)
def test_no_action_that_is_ruled_out_is_ever_taken(tmp_path, env, kwargs):
    # The environment raises where one is: in calibration, rollouts and evaluations.
    trainer = Trainer(settings(env, env__kwargs=kwargs), tmp_path)
    trainer.train()
    assert trainer.status == "finished"
    with pytest.raises(RuntimeError, match="ruled out"):
        never = settings(env, env__kwargs=kwargs, env__action_masks="never")
        Trainer(never, tmp_path).train()


@pytest.mark.parametrize(("env", "kwargs"), [*KINDS, (METHOD, "{nvec: [1400]}")])
def test_backends_tell_the_same_masks(env, kwargs):
    one, other = (
        environments(env, env__kwargs=kwargs, env__backend=backend, env__workers=2)
        for backend in ("sync", "async")
    )
    with one, other:
        obs, same = one.reset(), other.reset()
        assert one.layout == other.layout and one.layout.num_mask
        for _ in range(20):
            assert torch.equal(obs, same)
            actions = valid_actions(obs, one.layout, one.action_space)
            a, b = one.step(actions), other.step(actions)
            assert torch.equal(a.final_obs, b.final_obs)
            obs, same = a.obs, b.obs


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_vectorized_environments_tell_the_masks_of_their_single_form(mode):
    inner = SyncVectorEnv([lambda: masked_env.MaskedInfo(length=4)] * 3, autoreset_mode=mode)
    envs = VectorEnvironments(inner, "Masked", Task({}, 0), 0)
    obs = envs.reset()
    for _ in range(12):  # the environment raises where the mask is not that of its state
        mask = packing.mask(obs, envs.layout)
        told = torch.as_tensor(np.stack([env.mask for env in inner.envs])) > 0
        alive = torch.as_tensor(~envs._ended)
        assert torch.equal(mask[alive], told[alive])
        step = envs.step(mask.int().argmax(-1))
        obs = step.obs


def test_masks_of_fewer_environments_are_refused():
    inner = SyncVectorEnv([lambda: masked_env.MaskedInfo(length=4)] * 3)
    envs = VectorEnvironments(inner, "Masked", Task({}, 0), 0)
    observations, infos = inner.reset(seed=0)
    inner.reset = lambda **_: (observations, infos | {"action_mask": infos["action_mask"][:2]})
    with pytest.raises(UserError, match="infos.'action_mask'. must hold one for each environment"):
        envs.reset()


def test_the_masked_policy_is_the_policy_over_what_is_left():
    agent = learner(METHOD, env__kwargs="{nvec: [3, 1, 4]}").objective.agent
    distribution, sizes = agent.distribution, [3, 1, 4]
    torch.nn.init.normal_(agent.actor.weight)
    obs = torch.rand(50, 3)
    mask = torch.rand(50, 8) < 0.5
    for first, size in ((0, 3), (3, 1), (4, 4)):
        mask[:, first + size - 1] |= ~mask[:, first : first + size].any(-1)
    masked = agent.policy_params(torch.cat([obs, mask.float()], -1))
    logits = agent.policy_params(obs)
    noise = torch.rand(50, 8)
    actions = distribution.sample(masked, noise)
    log_prob = distribution.log_prob(masked, actions).detach()
    entropy = distribution.entropy(masked).detach()
    for row in range(50):
        expected = expected_entropy = 0.0
        parts = zip(logits[row].split(sizes), mask[row].split(sizes), actions[row], strict=True)
        for part, valid, action in parts:
            assert valid[action]
            left = torch.distributions.Categorical(logits=part[valid])
            index = int(valid[:action].sum())
            expected += float(left.log_prob(torch.tensor(index)).detach())
            expected_entropy += float(left.entropy().detach())
        assert float(log_prob[row]) == pytest.approx(expected, abs=1e-5)
        assert float(entropy[row]) == pytest.approx(expected_entropy, abs=1e-5)


def test_a_mask_of_ones_changes_no_bit():
    agent = learner(INFO).objective.agent
    obs = torch.rand(9, 3)
    rows = torch.cat([obs, torch.ones(9, 5)], -1)
    assert torch.equal(agent.policy_params(rows), agent.policy_params(obs))
    assert torch.equal(agent.values_norm(rows), agent.values_norm(obs))


def test_what_is_ruled_out_has_no_gradient():
    distribution = distribution_for(gym.spaces.Discrete(4))
    logits = torch.randn(6, 4, requires_grad=True)
    mask = torch.tensor([True, False, True, False]).expand(6, 4)
    masked = logits.masked_fill(~mask, RULED_OUT)
    total = distribution.log_prob(masked, torch.zeros(6, 1, dtype=torch.long)).sum()
    (total + distribution.entropy(masked).sum()).backward()
    assert torch.isfinite(logits.grad).all() and (logits.grad[:, [1, 3]] == 0).all()


def test_a_loaded_policy_obeys_the_mask_that_it_is_given(tmp_path):
    Trainer(settings(INFO, env__kwargs="{nvec: [5], start: 2}"), tmp_path).train()
    policy = load_policy("latest", tmp_path)
    obs = np.zeros(3, np.float32)
    for action in range(5):
        for deterministic in (True, False):
            assert policy.predict(obs, deterministic, 1, np.eye(5)[action]) == action + 2
    assert policy.predict(obs) == policy.predict(obs, action_mask=np.ones(5))
    with pytest.raises(ValueError, match="5 entries"):
        policy.predict(obs, action_mask=[1, 0])


def test_a_resumed_run_with_masks_is_the_run_that_was_never_stopped(tmp_path):
    whole = Trainer(settings(INFO), tmp_path / "a")
    whole.train()
    Trainer(settings(INFO), tmp_path / "b").train(batches=2)
    second = Trainer(settings(INFO), tmp_path / "b", resume="latest")
    second.train()
    runs = (tmp_path / "a" / "run0001", tmp_path / "b" / "run0001")
    assert records(runs[0]) == records(runs[1])
    thetas = (whole.learner.optimizer.flat.theta, second.learner.optimizer.flat.theta)
    assert torch.equal(*thetas)


@pytest.mark.parametrize(
    ("env", "broken", "message"),
    [
        (INFO, "empty", "leaves no action"),
        (METHOD, "size", "must have 5 entries"),
        (INFO, "missing", "is missing"),
    ],
)
def test_a_wrong_mask_names_the_environment_and_the_fault(env, broken, message):
    envs = environments(env, env__kwargs=f"{{broken: {broken}}}")
    with pytest.raises(UserError, match=rf"environment 0 .*{message}"):
        obs = envs.reset()
        for _ in range(3):
            obs = envs.step(valid_actions(obs, envs.layout, envs.action_space)).obs


def test_a_mask_that_no_reset_gives_is_told(monkeypatch):
    whole = masked_env.MaskedInfo.reset
    monkeypatch.setattr(
        masked_env.MaskedInfo, "reset", lambda self, **more: (whole(self, **more)[0], {})
    )
    late = environments(INFO)
    assert any("with a step and not with reset, so no action" in note for note in late.notes)
    assert not environments(INFO, env__action_masks="never").notes


def test_masks_for_actions_that_cannot_be_masked_are_refused():
    with pytest.raises(UserError, match="only Discrete and MultiDiscrete .* never"):
        environments("masked_env:MaskedBox-v0")
    assert environments("masked_env:MaskedBox-v0", env__action_masks="never").layout.num_mask == 0


@st.composite
def choices_and_masks(draw):
    """Sizes of choices and a mask for each, some of them empty."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    bits = st.booleans()
    return sizes, [draw(st.lists(bits, min_size=n, max_size=n)) for n in sizes]


@tried(max_examples=200, deadline=None)
@given(choices_and_masks())
def test_masks_of_every_form_are_one_and_a_choice_without_action_is_refused(drawn):
    sizes, parts = drawn
    space = spaces.MultiDiscrete(sizes)
    flat = np.concatenate(parts)
    forms = [
        flat, flat.astype(np.int8), flat.tolist(), flat[None], parts, tuple(map(tuple, parts)),
        tuple(np.array(part, np.int8) for part in parts), [np.array(part) for part in parts],
    ]  # fmt: skip
    for form in forms:
        if all(map(any, parts)):
            assert masks.flat(space, form).tolist() == flat.tolist()
        else:
            with pytest.raises(ValueError, match="no action that is valid"):
                masks.flat(space, form)


@pytest.mark.parametrize("mask", [[1, 1], [[1, 1, 1], [1, 1]], "ab", None, [[1], [1, 1, 1, 1]]])
def test_a_mask_of_another_size_is_refused(mask):
    with pytest.raises(ValueError, match="entries"):
        masks.flat(spaces.MultiDiscrete([2, 3]), mask)


@pytest.mark.parametrize("mask", [[0.0, -np.inf], [1.0, np.nan], [2, 1], [-1, 0]])
def test_what_is_no_mask_of_0_and_1_is_refused(mask):
    """What is added to logits, 0 and -inf, would be read as the contrary."""
    with pytest.raises(ValueError, match="must have 2 entries of 0 and 1"):
        masks.flat(spaces.Discrete(2), np.array(mask))


@pytest.mark.parametrize("name", ["Property", "Anything"])
def test_masks_may_be_an_attribute(name):
    with environments(f"masked_env:{name}-v0", env__num_envs=1) as envs:
        assert envs.layout.num_mask == (2 if name == "Property" else 0)
        obs = envs.reset()
        if name == "Property":
            assert packing.mask(obs, envs.layout).tolist() == [[False, True]]


def test_a_loaded_policy_obeys_the_mask_that_it_observes(tmp_path):
    config = settings("masked_env:MaskedObservation-v0", env__kwargs="{nvec: [2, 3]}")
    trainer = Trainer(config, tmp_path)
    trainer.train()
    policy = load_policy(trainer.folder.path)
    for valid in (0, 1):
        mask = np.array([valid == 0, valid == 1, 0, 1, 0], np.int8)
        observed = {"numbers": np.zeros(3, np.float32), "action_mask": mask}
        for seed in range(5):
            assert policy.predict(observed, False, seed).tolist() == [valid, 1]
