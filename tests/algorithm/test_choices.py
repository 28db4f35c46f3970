"""The rules: whatever the user gave is obeyed, and what is chosen fits it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppo import Config
from ppo.algorithm.automatic import chosen
from ppo.algorithm.choices import choose
from ppo.config.automatic import names
from ppo.core.errors import UserError
from ppo.envs.look import Facts

SHORT = Facts(False, 3, 400, (17, 23))
WIDE, NARROW = 16_384, 2048  # steps of a batch


def values(config: Config, facts: Facts = SHORT, ranks: int = 1) -> dict:
    return {choice.name: choice.value for choice in choose(config, facts, ranks)}


def resolved(*overrides: str, facts: Facts = SHORT, ranks: int = 1) -> Config:
    config = Config.load(None, overrides)
    return config.chosen(values(config, facts, ranks), facts.steps)


def test_every_setting_that_may_be_auto_has_a_rule() -> None:
    assert set(values(Config())) == set(names(Config)) == Config().open
    assert not resolved().open and set(resolved().auto.settings) == Config().open


@pytest.mark.parametrize("parallel", [False, True])
def test_a_value_in_place_of_auto_is_obeyed(parallel: bool) -> None:
    default = Config().to_dict() | {"x": 0}
    facts = Facts(parallel, 2, 400, (10, 10))
    whole = resolved(facts=facts)
    for name in names(Config):
        section, _, key = name.partition(".")
        value = getattr(getattr(whole, section), key)
        config = Config.from_dict({section: {key: value}})
        found = values(config, facts)
        assert name not in found and len(found) == len(names(Config)) - 1
        assert default[section][key] == "auto"
        assert config.chosen(found, 400).to_dict() | {"auto": 0} == whole.to_dict() | {"auto": 0}


@settings(max_examples=60, deadline=None)
@given(
    num_envs=st.integers(1, 300),
    num_steps=st.none() | st.integers(2, 300),
    memory=st.sampled_from(["none", "gru"]),
    lengths=st.lists(st.integers(1, 500), max_size=3),
    parallel=st.booleans(),
    ranks=st.sampled_from([1, 2, 3]),
)
def test_batches_can_be_cut_whatever_the_user_gave(
    num_envs: int, num_steps: int | None, memory: str, lengths: list, parallel: bool, ranks: int
) -> None:
    sets = [f"env.num_envs={num_envs * ranks}", f"network.memory={memory}"]
    sets += [f"ppo.num_steps={num_steps}"] if num_steps else []
    config = resolved(*sets, facts=Facts(parallel, 0, 600, tuple(lengths)), ranks=ranks)
    share = config.env.num_envs // ranks
    assert share * config.ppo.num_steps % config.ppo.num_minibatches == 0
    assert memory == "none" or share % config.ppo.num_minibatches == 0


@pytest.mark.parametrize(
    ("lengths", "anew", "interval"),
    [
        ((1000,), False, 10),  # a fortieth of 292 batches is less
        ((500,), True, 40),  # 20 episodes of 500 in batches of 256 steps
        ((40,), True, 10),  # 20 of these are fewer batches than usual
        ((1000,), True, 79),
        ((2000,), True, 146),  # half of all
        ((), True, 146),  # five looks are longer
        ((), False, 10),
    ],
)
def test_few_episodes_are_cut_by_checkpoints(lengths: tuple, anew: bool, interval: int) -> None:
    sets = ["ppo.num_steps=256", "env.num_envs=8", f"train.total_timesteps={292 * 2048}"]
    facts = Facts(False, 3, 2000, lengths, begins_anew=anew)
    assert resolved(*sets, facts=facts).train.checkpoint_interval == interval


def test_episodes_that_nobody_has_seen_are_thought_to_be_long() -> None:
    sets = ["ppo.num_steps=250", "env.num_envs=8", "train.total_timesteps=20_000_000"]
    for look, interval in ((0, 250), (1000, 400), (2000, 800)):
        facts = Facts(False, 3, look, begins_anew=True)
        assert resolved(*sets, facts=facts).train.checkpoint_interval == interval


def test_the_environments_are_shared_by_all_processes() -> None:
    for ranks in (2, 3, 7):
        for parallel in (False, True):
            config = resolved(facts=Facts(parallel), ranks=ranks)
            assert config.env.num_envs % ranks == 0


def test_a_batch_is_whole_episodes_where_all_are_of_one_length() -> None:
    assert resolved(facts=Facts(True, 0, 600, (15,) * 20)).ppo.num_steps == 60
    assert resolved(facts=Facts(False, 0, 600, (100,) * 6)).ppo.num_steps == 200
    assert resolved(facts=Facts(False, 0, 600, (100, 99))).ppo.num_steps == 256
    assert resolved(facts=Facts(False, 0, 2000, (1000, 1000))).ppo.num_steps == 256


def test_the_reasons_are_sentences() -> None:
    reasons = {choice.name: choice.reason for choice in choose(Config(), Facts(False, 0, 2000))}
    assert reasons["ppo.num_steps"] == "no episode ends within 2,000 steps"
    long = choose(Config(), Facts(False, 0, 2000, (900, 1100)))
    assert long[1].reason == "episodes have 1,000 steps on average"


def test_how_it_explores_depends_on_the_actions() -> None:
    found = {n: resolved(facts=Facts(False, n)) for n in (0, 1, 4, 17)}
    assert [config.ppo.noise for config in found.values()] == ["white", *3 * ["contest"]]
    assert [found[n].network.initial_log_std for n in (1, 4, 17)] == [0.0, -0.69, -1.0]
    assert resolved(facts=Facts(True, 4)).network.initial_log_std == 0.0
    assert resolved("env.num_envs=1", facts=Facts(False, 4)).ppo.noise == "white"


def test_layers_are_wide_where_many_small_steps_shape_actions_of_many_numbers() -> None:
    def sizes(*overrides: str, facts: Facts) -> list[int]:
        return resolved(*overrides, facts=facts).network.hidden_sizes

    assert sizes(facts=Facts(False, 3)) == sizes(facts=Facts(False, 17)) == [256, 256]
    assert sizes("env.num_envs=1", facts=Facts(False, 3)) == [256, 256]
    for other in (Facts(False, 0), Facts(False, 2), Facts(True, 3), Facts(False, 3, image_side=84)):
        assert sizes(facts=other) == [64, 64]
    assert sizes("env.num_envs=64", facts=Facts(False, 3)) == [64, 64]
    assert sizes("network.hidden_sizes=[32]", facts=Facts(False, 3)) == [32]
    same = "network.shared_encoder=true", "network.critic_hidden_sizes=[64, 64]"
    assert sizes(*same, facts=Facts(False, 3)) == [64, 64]
    assert sizes(same[0], facts=Facts(False, 3)) == sizes(same[1], facts=Facts(False, 3))
    assert sizes(same[0], facts=Facts(False, 3)) == [256, 256]
    own = same[0], "network.critic_hidden_sizes=[32, 16]"  # unlike any that would be chosen
    for facts in (Facts(False, 3), Facts(False, 0), Facts(True, 3)):
        assert sizes(*own, facts=facts) == [32, 16]
    with pytest.raises(UserError, match=r"network.critic_hidden_sizes \[32, 16\]\) shares no"):
        sizes(*own, "network.hidden_sizes=[64, 64]", facts=Facts(False, 3))


@pytest.mark.parametrize(("parallel", "target"), [(True, 0.01), (False, 0.03)])
def test_a_rate_that_follows_the_divergence_is_given_one(parallel: bool, target: float) -> None:
    config = resolved("ppo.learning_rate_schedule=kl", facts=Facts(parallel))
    assert config.ppo.target_kl == target


@pytest.mark.parametrize(("env", "shown"), [("CartPole-v1", False), ("Pendulum-v1", True)])
def test_what_concerns_other_actions_is_not_printed(env: str, shown: bool) -> None:
    first, rest = chosen(Config.load(None, [f"env.id={env}", "train.total_timesteps=20000"]))[1]
    assert " (a look of 400 steps)" in first
    assert ("noise " in rest) == ("initial_log_std " in rest) == shown


def test_images_have_rules_of_their_own_where_an_encoder_sees_them() -> None:
    def parts(side: int, *overrides: str) -> int:
        return resolved(*overrides, facts=SHORT._replace(image_side=side)).ppo.num_minibatches

    assert parts(36) == parts(84) == parts(8, "network.encoder=impala_cnn") == 4
    assert parts(35) == parts(84, "network.encoder=mlp") == parts(0) == 32
    ppo = resolved(facts=SHORT._replace(image_side=84)).ppo
    assert (ppo.num_steps, ppo.num_epochs, ppo.learning_rate) == (128, 4, 2.5e-4)


@pytest.mark.parametrize(
    ("total", "longest"),
    [(1000, 2000), (200_000, 2000), (300_000, 3000), (10_000_000, 100_000), (10**9, 100_000)],
)
def test_evaluations_are_short_beside_the_training(total: int, longest: int) -> None:
    """Twenty episodes take a fifth of its steps at most, or 40,000."""
    found = resolved(f"train.total_timesteps={total}").evaluation
    assert found.max_steps == longest
    given = resolved(f"train.total_timesteps={total}", "evaluation.max_steps=7")
    assert given.evaluation.max_steps == 7


@pytest.mark.parametrize(("facts", "clip"), [(SHORT, 0.2), (Facts(True), 0.2)])
def test_a_policy_of_images_moves_in_smaller_steps(facts: Facts, clip: float) -> None:
    assert resolved(facts=facts).ppo.clip_epsilon == clip
    images = facts._replace(image_side=84)
    assert resolved(facts=images).ppo.clip_epsilon == 0.1
    assert resolved("network.encoder=mlp", facts=images).ppo.clip_epsilon == clip
    assert resolved("ppo.clip_epsilon=0.3", facts=images).ppo.clip_epsilon == 0.3


@pytest.mark.parametrize(
    ("entries", "side", "bonus"), [(0, 84, 0.01), (0, 0, 0.0), (3, 84, 0.0), (3, 0, 0.0)]
)
def test_choices_by_images_have_a_bonus(entries: int, side: int, bonus: float) -> None:
    facts = SHORT._replace(action_entries=entries, image_side=side)
    assert resolved(facts=facts).ppo.entropy_coefficient == bonus
    given = resolved("ppo.entropy_coefficient=-0.3", facts=facts)
    assert given.ppo.entropy_coefficient == -0.3


@pytest.mark.parametrize("facts", [SHORT, Facts(True)])
def test_a_long_run_of_wide_batches_ends_with_a_small_rate(facts: Facts) -> None:
    def schedule(batches: int, *more: str) -> str:
        size = WIDE if facts.parallel else NARROW
        open_run = resolved(f"train.total_timesteps={batches * size}", *more, facts=facts)
        assert open_run.env.num_envs * open_run.ppo.num_steps == size
        return open_run.ppo.learning_rate_schedule

    wide = facts.parallel
    assert schedule(49) == ("constant" if wide else "linear")
    assert schedule(50) == schedule(5000) == "linear"
    assert schedule(50, "ppo.learning_rate_schedule=constant") == "constant"


@pytest.mark.parametrize("facts", [SHORT, Facts(True)])
def test_what_is_chosen_fits_what_the_user_wants(facts: Facts) -> None:
    for gamma in (0.0, 0.9, 0.995, 0.9999, 1.0):
        ppo = resolved(f"ppo.gamma={gamma}", facts=facts).ppo
        assert ppo.gamma == gamma <= ppo.max_gamma
        assert ppo.gamma_schedule == "constant" or gamma < 0.995
    assert resolved("ppo.gamma=0.9").ppo.gamma_schedule == "critic"
    apart = resolved("network.actor_keys=[a]", "network.critic_keys=[b]", facts=facts)
    assert not apart.network.shared_encoder
    wider = resolved("network.critic_hidden_sizes=[256, 256]", facts=facts)
    assert not wider.network.shared_encoder
    same = resolved("network.critic_hidden_sizes=[64, 64]", facts=facts)
    assert same.network.shared_encoder == resolved(facts=facts).network.shared_encoder
