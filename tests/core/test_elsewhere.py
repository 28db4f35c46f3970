"""One table of other libraries' words, read both ways."""

from __future__ import annotations

import pytest

from ppo.config import Config
from ppo.config.words import known_paths
from ppo.core.elsewhere import ELSEWHERE, HABITS, VALUES, settings_of, synonyms
from ppo.core.errors import UserError
from ppo.insight.rules import Change, describe

OURS = set(known_paths(Config))


def test_every_key_of_the_table_is_one_of_ours() -> None:
    for library, words in ELSEWHERE.items():
        assert set(words) <= OURS, library
    assert set(HABITS.values()) <= OURS
    assert {(library, key) for library, key, _ in VALUES} <= {
        (library, key) for library, words in ELSEWHERE.items() for key in words
    }


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("lr", "ppo.learning_rate"),
        ("mini_epochs", "ppo.num_epochs"),
        ("norm_obs", "env.normalize_observations"),
        ("env_id", "env.id"),
        ("clip_range_vf", "ppo.value_clip_epsilon"),
        ("net_arch", "network.hidden_sizes"),
    ],
)
def test_a_word_of_theirs_in_a_configuration_is_answered_with_ours(word: str, key: str) -> None:
    with pytest.raises(UserError, match=rf"did you mean {key}\?"):
        Config().with_overrides([f"ppo.{word}=1"])


def test_a_word_that_is_ours_too_is_no_synonym() -> None:
    assert not set(synonyms()) & {"gamma", "learning_rate", "max_grad_norm"}


def test_a_phrase_is_known_by_the_setting_in_it() -> None:
    found = settings_of("stable-baselines3")
    assert found["norm_obs"] == "env.normalize_observations"  # VecNormalize(norm_obs=...)
    assert found["net_arch"] == "network.hidden_sizes"  # policy_kwargs net_arch
    assert settings_of("cleanrl")["update_epochs"] == "ppo.num_epochs"  # a flag: update-epochs
    assert all(word.isidentifier() for library in ELSEWHERE for word in settings_of(library))


def test_advice_speaks_the_language_of_the_log() -> None:
    change = [Change("ppo.num_epochs", "5")]
    assert describe(change, "ppo") == "ppo.num_epochs=5"
    assert describe(change, "cleanrl") == "update-epochs=5"
    assert describe([Change("ppo.value_clip", "none")], "cleanrl") == "clip-vloss=False"


def test_a_switch_is_typed_as_its_library_types_it() -> None:
    inputs, encoder = "env.normalize_observations", "network.shared_encoder"
    for library, key, words in (
        ("stable-baselines3", inputs, "VecNormalize(norm_obs=True)"),
        ("stable-baselines3", encoder, "policy_kwargs share_features_extractor=True"),
        ("cleanrl", inputs, "gym.wrappers.NormalizeObservation"),
        ("torchrl", inputs, "VecNorm of the observations"),
        ("rsl_rl", inputs, "empirical_normalization=True"),
        ("ml-agents", inputs, "network_settings normalize=true"),
        ("ppo", inputs, "env.normalize_observations=true"),
    ):
        assert describe([Change(key, "true")], library) == words


def test_a_standard_deviation_is_advised_where_the_library_takes_no_logarithm() -> None:
    start = [Change("network.initial_log_std", "0.0")]
    assert describe(start, "rsl_rl") == "init_noise_std=1.0"
    assert describe(start, "ppo-pytorch") == "action_std=1.0"
    assert describe(start, "skrl") == "initial_log_std=0.0"


def test_an_unknown_trainer_is_advised_what_some_other_has_too() -> None:
    """A setting of ours alone means nothing to its user."""
    ours = Change("env.on_nonfinite", "stop", "names the environment; repair its reward")
    bound = Change("", "", "bound the actions that reach the simulation")
    assert describe([ours, bound], "unknown") == bound.note
    assert describe([ours], "ppo").startswith("env.on_nonfinite=stop")
    assert describe([Change("ppo.target_kl", "0.01")], "unknown") == "target_kl=0.01"
