"""Mistakes in settings: one line each, which says what to write."""

import time
from pathlib import Path

import pytest
from config_texts import load, mistakes

from ppo.config import Config
from ppo.core.errors import UserError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "ppo:\n  clip_epsilno: 0.1",
            "config.yaml:2 ppo.clip_epsilno: unknown; did you mean ppo.clip_epsilon?",
        ),
        (
            "ppo: {vf_coef: 1}",
            "config.yaml:1 ppo.vf_coef: unknown; did you mean ppo.value_loss_weight?",
        ),
        ("gamma: 1", "config.yaml:1 gamma: unknown; did you mean ppo.gamma?"),
        ("pppo: {}", "config.yaml:1 pppo: unknown; did you mean ppo?"),
        ("ppo: {gamma: 1.5}", "config.yaml:1 ppo.gamma: 1.5; must be a number from 0 to 1"),
        (
            "ppo: {learning_rate: '0.2'}",
            "config.yaml:1 ppo.learning_rate: '0.2'; must be a number above 0 or auto; remove the"
            " quotes",
        ),
        ("ppo: {gamma: nan}", "config.yaml:1 ppo.gamma: 'nan'; must be a number from 0 to 1"),
        (
            "env:\n  num_envs: true",
            "config.yaml:2 env.num_envs: true; must be a whole number, at least 1 or auto",
        ),
        (
            "env: {num_envs: 2.5}",
            "config.yaml:1 env.num_envs: 2.5; must be a whole number, at least 1 or auto",
        ),
        (
            "ppo: {target_kl: 0}",
            "config.yaml:1 ppo.target_kl: 0; must be a number above 0 or null or auto",
        ),
        (
            "ppo: {normalize_returns: yes}",
            "config.yaml:1 ppo.normalize_returns: 'yes'; must be true or false; write true",
        ),
        (
            "ppo: {normalize_returns: 1}",
            "config.yaml:1 ppo.normalize_returns: 1; must be true or false",
        ),
        (
            "ppo: {value_clip: sigam}",
            "config.yaml:1 ppo.value_clip: 'sigam'; must be one of auto, relative, sigma, absolute,"
            " none or package.module:Class; did you mean sigma?",
        ),
        (
            "network:\n  hidden_sizes:\n  - 3\n  - -1",
            "config.yaml:2 network.hidden_sizes: [3, -1]; must be a list of whole numbers (each at"
            " least 1) with at least 1 of them or auto",
        ),
        ("ppo: 3", "config.yaml:1 ppo: 3; must be a section of `key: value` lines"),
        ("ppo: {gamma: .nan}", "config.yaml:1 ppo.gamma: .nan is not a finite number"),
        (
            "env: {kwargs: {a: [1e999]}}",
            "config.yaml:1 env.kwargs.a[0]: .inf is not a finite number",
        ),
        (
            "ppo:\n  gamma: 1\n  gamma: 1",
            "config.yaml:3 ppo.gamma: given twice; first at config.yaml:2",
        ),
        ("ppo: &a {gamma: 1}", "config.yaml:1 ppo: anchor &a is not allowed; leave it out"),
        (
            "ppo: {num_steps: 010}",
            "config.yaml:1 ppo.num_steps: 010 may mean octal or decimal; write it without leading"
            " zeros",
        ),
        (
            "ppo: {num_minibatches: 7, num_steps: 60}\nenv: {num_envs: 256}",
            "config.yaml:1 ppo.num_minibatches: env.num_envs 256 x ppo.num_steps 60 = 15,360"
            " samples cannot be cut into ppo.num_minibatches 7 equal parts; nearest that fit:"
            " 6 and 8",
        ),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_write(
    tmp_path: Path, text: str, expected: str
) -> None:
    found = [line.replace("first at /", "first at ") for line in mistakes(tmp_path, text)]
    assert expected in found


def test_all_mistakes_come_at_once_from_top_to_bottom(tmp_path: Path) -> None:
    text = "system: {seed: -1}\nppo:\n  gama: 1\n  gamma: 2\nenv: {num_envs: x}\n"
    found = mistakes(tmp_path, text, "ppo.num_epochs=0", "nonsense", "ppo.gae_lambda=[1")
    assert [line.split()[0] for line in found[:4]] == [f"config.yaml:{n}" for n in (1, 3, 4, 5)]
    assert [line.split(":")[0] for line in found[4:]] == [
        "--set nonsense",
        "--set ppo.gae_lambda=[1",
        "--set ppo.num_epochs=0",
    ]


def test_what_does_not_fit_comes_with_what_is_wrong_alone(tmp_path: Path) -> None:
    text = "ppo:\n  gamma: 2\n  gama: 1\n  num_minibatches: 7\n  num_steps: 60\n"
    text += "network: {hidden_sizes: [0]}\nenv: {num_envs: 256}\n"
    found = mistakes(tmp_path, text)
    assert [line.split()[1].rstrip(":") for line in found] == [
        "ppo.gamma", "ppo.gama", "ppo.num_minibatches", "network.hidden_sizes",
    ]  # fmt: skip
    assert "cannot be cut into ppo.num_minibatches 7 equal parts" in found[2]


@pytest.mark.parametrize("wrong", ["num_steps: x", "num_steps: 010", "num_steps: 0"])
def test_nothing_is_computed_from_a_value_that_is_wrong(tmp_path: Path, wrong: str) -> None:
    (line,) = mistakes(tmp_path, f"ppo: {{num_minibatches: 7, {wrong}}}")
    assert line.startswith("config.yaml:1 ppo.num_steps: ")
    (line,) = mistakes(tmp_path, "ppo: {num_minibatches: 7}", f"ppo.{wrong.replace(': ', '=')}")
    assert line.startswith("--set ppo.num_steps=")


def test_overrides_win_over_the_file_and_the_last_one_wins(tmp_path: Path) -> None:
    config = load(tmp_path, "ppo: {gamma: 0.1}", "ppo.gamma=0.2", "ppo.gamma=0.3")
    assert config.ppo.gamma == 0.3
    config = load(tmp_path, "env: {kwargs: {a: 1, b: 2}}", "env.kwargs.a=[x]", "env.kwargs.c.d=~")
    assert config.env.kwargs == {"a": ["x"], "b": 2, "c": {"d": None}}
    config = load(tmp_path, "env: {kwargs: {a: 1}}", "env.kwargs.a.b=2")
    assert config.env.kwargs == {"a": {"b": 2}}


def test_an_override_in_a_section_that_is_none_does_not_hide_it(tmp_path: Path) -> None:
    found = mistakes(tmp_path, "ppo: 3", "ppo.gamma=0.5")
    assert found == ["config.yaml:1 ppo: 3; must be a section of `key: value` lines"]


def test_a_setting_that_is_written_beside_its_section_is_told_its_place(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "env.id: CartPole-v1\nppo.gama: 1") == [
        "config.yaml:1 env.id: unknown; write env: {id: 'CartPole-v1'}",
        "config.yaml:2 ppo.gama: unknown; did you mean ppo.gamma?",
    ]
    with pytest.raises(UserError, match=r"ppo.gamma: unknown; write ppo: \{gamma: 0.5\}"):
        Config.from_dict({"ppo.gamma": 0.5})


def test_loading_leaves_the_given_dictionary_alone() -> None:
    values = {"env": {"kwargs": {"a": [1]}}, "ppo": None}
    config = Config.from_dict(values, ["env.kwargs.b=2", "ppo.gamma=0.5"])
    assert config.env.kwargs == {"a": [1], "b": 2} and config.ppo.gamma == 0.5
    assert values == {"env": {"kwargs": {"a": [1]}}, "ppo": None}


def test_a_file_of_thousands_of_mistakes_is_answered_at_once(tmp_path: Path) -> None:
    text = "ppo:\n" + "".join(f"  key{n}: 1\n" for n in range(9_000))
    began = time.process_time()
    found = mistakes(tmp_path, text)
    assert time.process_time() - began < 2.0
    assert len(found) == 21 and found[-1] == "and 8980 more mistakes"


def test_an_override_repairs_a_bad_value_in_the_file(tmp_path: Path) -> None:
    for wrong in ("7", ".nan", "1e999", "x", "[1]"):
        assert load(tmp_path, f"ppo: {{gamma: {wrong}}}", "ppo.gamma=0.5").ppo.gamma == 0.5


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("ppo.gamma=2", "--set ppo.gamma=2: must be a number from 0 to 1"),
        ("ppo.gama=1", "--set ppo.gama=1: unknown; did you mean ppo.gamma?"),
        ("PPO.Gamma=1", "--set PPO.Gamma=1: unknown; did you mean ppo?"),
        ("ppo.Gamma=1", "--set ppo.Gamma=1: unknown; did you mean ppo.gamma?"),
        ("ppo={}", "--set ppo={}: is a section; set one of its keys, ppo.KEY=VALUE"),
        ("ppo.gamma", "--set ppo.gamma: write KEY=VALUE, such as ppo.learning_rate=1e-3"),
        ("ppo.gamma=!!python/name:os.system x", "--set ppo.gamma=!!python/name:os.system x: tag"),
        ("ppo.foo.bar=1", "--set ppo.foo.bar=1: unknown; settings of ppo have two parts, ppo.KEY"),
        ("ppo.optim.lr=1", "--set ppo.optim.lr=1: unknown; did you mean ppo.learning_rate?"),
        ("ppo.x.gamma=1", "--set ppo.x.gamma=1: unknown; did you mean ppo.gamma?"),
        ("foo.bar.baz=1", "--set foo.bar.baz=1: unknown"),
        # torch dies of so many, without a word
        (
            "system.threads=99999",
            "--set system.threads=99999: must be a whole number from 0 to 1024",
        ),
        (
            "network.hidden_sizes=64,64",
            "--set network.hidden_sizes=64,64: must be a list of whole numbers (each at least 1) "
            "with at least 1 of them or auto; write [64,64]",
        ),
        (
            "network.hidden_sizes=64",
            "--set network.hidden_sizes=64: must be a list of whole numbers (each at least 1) "
            "with at least 1 of them or auto; write [64]",
        ),
        (
            "train.callbacks_kwargs.Mine.n=1",
            "--set train.callbacks_kwargs.Mine.n=1: train.callbacks_kwargs: Mine is none of"
            " train.callbacks (there: none)",
        ),
        (
            "train.callbacks=my_parts:Mine",
            "--set train.callbacks=my_parts:Mine: must be a list of package.module:Class; write"
            " ['my_parts:Mine']",
        ),
        (
            "env.id=my_envs:",
            "--set env.id=my_envs:: must be text; a name belongs behind the colon: my_envs:Name",
        ),
        ("ppo.gamma.x=1", "--set ppo.gamma.x=1: must be a number from 0 to 1"),
        ("env.id=\udcff", "--set env.id=\\udcff: "),
        ("env.id=a\x1b[31m\nb", "--set env.id=a\\x1b[31m\\nb: "),
    ],
)
def test_overrides_are_reported_as_they_were_typed(override: str, expected: str) -> None:
    with pytest.raises(UserError) as caught:
        Config.load(None, [override])
    assert caught.value.messages[0].startswith(expected)
    assert caught.value.messages[0].isprintable()


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        (
            "logging.wandb",
            "known here: doctor, episodes, info, tensorboard, trackers",
        ),  # not env.backend
        ("ppo.optimizer", ""),  # not system.compile
        ("env.recorders", ""),  # not env.workers
        ("ppo.epochs", "did you mean ppo.num_epochs?"),  # not imitation.epochs
        ("ppo.kl_target", "did you mean ppo.target_kl?"),
        ("env.seed", "did you mean system.seed?"),
        ("train.learning_rat", "did you mean ppo.learning_rate?"),
    ],
)
def test_a_hint_is_near_or_there_is_none(key: str, hint: str) -> None:
    with pytest.raises(UserError) as caught:
        Config.load(None, [f"{key}=1"])
    assert caught.value.messages[0] == f"--set {key}=1: unknown" + (f"; {hint}" if hint else "")


def test_the_minibatch_mistake_points_at_what_was_typed(tmp_path: Path) -> None:
    found = mistakes(tmp_path, "ppo: {num_minibatches: 4}", "env.num_envs=9", "ppo.num_steps=9")
    assert found[0].startswith("--set ppo.num_steps=9: env.num_envs 9 x ppo.num_steps 9 = 81")
    assert found[0].endswith("nearest that fit: 3 and 9")
