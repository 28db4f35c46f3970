"""config.yaml: round trip, comments, values, and files that no reader should trust."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from config_texts import load, mistakes
from pydantic import BaseModel

from ppo.config import Config
from ppo.config.file import plain, to_yaml
from ppo.config.section import setting
from ppo.config.words import known_paths
from ppo.core.errors import UserError

ROOT = Path(__file__).parents[2]
READY = sorted([*ROOT.glob("configs/*.yaml"), *ROOT.glob("benchmarks/configs/*.yaml")])


# ---- written and read back


def test_the_defaults_survive_the_round_trip(tmp_path: Path) -> None:
    assert load(tmp_path, Config().to_yaml()) == Config()


@pytest.mark.parametrize(
    "override",
    [
        "env.id=some.package:Env-v0",
        "env.id='true'",
        "env.id='1e-3'",
        "env.id='a: b # c'",
        'env.id="tab\\t, newline\\n, \\x85, \\u2028, \\U0001F600, quote \\""',
        "env.kwargs={map: [a, {b: null}], 'yes': 1e-3, '1': false, 'a b': '{}'}",
        "network.hidden_sizes=[1, 2, 3]",
        "ppo.target_kl=1e-30",
        "ppo.learning_rate=1e+300",
        "system.seed=9223372036854775807",
    ],
)
def test_any_value_survives_the_round_trip(tmp_path: Path, override: str) -> None:
    config = Config().with_overrides([override])
    assert config != Config()
    assert load(tmp_path, config.to_yaml()) == config
    assert Config.from_dict(config.to_dict()) == config


def test_every_key_is_written_once_with_a_one_line_comment() -> None:
    lines = Config().to_yaml().splitlines()
    for path, field in known_paths(Config).items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            continue
        assert field.description and "\n" not in field.description, f"{path} has no description"
        key = path.rpartition(".")[2]
        written = [line for line in lines if line.strip().startswith(f"{key}: ")]
        assert any(line.endswith(f"# {field.description}") for line in written), path


def test_other_yaml_readers_agree_on_the_written_defaults() -> None:
    # PyYAML reads `1e-05` as text, which is why this project does not use its rules.
    found = yaml.safe_load(Config().to_yaml().replace("1e-05", "0.00001"))
    assert found == Config().to_dict()


# Fixed by the contract: users and scripts rely on finding them in config.yaml.
FIXED = """
env.id env.num_envs env.backend env.kwargs env.reward_scale env.normalize_observations
ppo.learning_rate ppo.num_steps ppo.num_epochs ppo.num_minibatches ppo.gamma ppo.gae_lambda
ppo.clip_epsilon ppo.entropy_coefficient ppo.max_grad_norm ppo.target_kl ppo.value_clip_epsilon
ppo.use_relative_value_clip ppo.normalize_returns ppo.return_scale ppo.value_loss_weight
train.total_timesteps train.checkpoint_interval train.initial_policy evaluation.interval
evaluation.episodes system.device system.seed system.compile system.threads
""".split()


def test_the_config_yaml_of_the_project_is_the_common_defaults() -> None:
    text = (ROOT / "config.yaml").read_text()
    assert text == Config().to_yaml(common_only=True), "run: python -m ppo.config > config.yaml"
    assert Config.load(ROOT / "config.yaml") == Config()


def test_the_config_yaml_of_the_project_fits_a_screen_and_a_half() -> None:
    text = (ROOT / "config.yaml").read_text()
    keys = [f"{name}.{key}" for name, section in yaml.safe_load(text).items() for key in section]
    assert len(keys) <= 45 and len(text.splitlines()) <= 70
    assert max(map(len, text.splitlines())) <= 120
    assert not set(FIXED) - set(keys)


def test_a_new_setting_is_for_experts_unless_it_is_marked() -> None:
    class Part(BaseModel):
        old: int = setting(1, "shown", common=True)
        new: int = setting(2, "not shown")

    class Tree(BaseModel):
        part: Part = Part()

    assert [line.split(":")[0] for line in to_yaml(Tree(), True).splitlines()[4:]] == [
        "part",
        "  old",
    ]
    assert "  new: 2" in to_yaml(Tree())


@pytest.mark.parametrize("file", READY, ids=lambda f: f.stem)
def test_ready_configurations_load_and_hold_only_what_differs(file: Path) -> None:
    config, defaults = Config.load(file).to_dict(), Config().to_dict()
    for section, values in yaml.safe_load(file.read_text()).items():
        for key in values:
            assert config[section][key] != defaults[section][key], f"{section}.{key} is the default"


def test_numbers_of_numpy_are_written_as_numbers(tmp_path: Path) -> None:
    config = Config.from_dict(
        {"ppo": {"gamma": np.float64(0.5)}, "env": {"kwargs": {"a": np.float64(2)}}}
    )
    assert load(tmp_path, config.to_yaml()) == config


def test_unwritable_values_are_refused_by_name() -> None:
    config = Config.model_validate({"env": {"kwargs": {"callback": print}}})
    with pytest.raises(UserError, match=r"env\.kwargs\.callback"):
        config.to_yaml()
    with pytest.raises(UserError, match=r"env\.kwargs\.callback"):
        Config.from_dict({"env": {"kwargs": {"callback": print}}})
    with pytest.raises(UserError, match=r"ppo\.gamma: \.nan"):
        Config.from_dict({"ppo": {"gamma": float("nan")}})


def test_neither_loading_nor_writing_imports_torch() -> None:
    code = "import sys; from ppo.config import Config; Config().to_yaml(); print(*sys.modules)"
    output = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert output.returncode == 0, output.stderr
    assert "ppo.config" in output.stdout.split()
    assert not {"torch", "numpy", "gymnasium"} & set(output.stdout.split())


# ---- values


@pytest.mark.parametrize(
    ("written", "key", "value"),
    [
        ("ppo: {learning_rate: 1e-3}", "learning_rate", 1e-3),
        ("ppo: {gamma: 1}", "gamma", 1.0),
        ("ppo: {num_steps: 1e2}", "num_steps", 100),
        ("ppo: {num_steps: 64.0}", "num_steps", 64),
        ("ppo: {num_steps: 1_000}", "num_steps", 1000),
        ("ppo: {entropy_coefficient: -0}", "entropy_coefficient", 0.0),
        ("ppo: {target_kl: ~}", "target_kl", None),
        ("ppo: {value_clip: none}", "value_clip", "none"),
    ],
)
def test_numbers_are_read_as_people_write_them(
    tmp_path: Path, written: str, key: str, value: object
) -> None:
    found = getattr(load(tmp_path, written).ppo, key)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize("text", ["", "# only a comment\n", "ppo:\n", "---\n", "{}", "\ufeff"])
def test_nothing_means_the_defaults(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, text) == Config()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le-bom"])
def test_byte_order_marks_are_understood(tmp_path: Path, encoding: str) -> None:
    text = "env: {id: Ümlaut-v0}\n"
    data = (
        text.encode(encoding) if "bom" not in encoding else b"\xff\xfe" + text.encode("utf-16-le")
    )
    assert load(tmp_path, data).env.id == "Ümlaut-v0"


# ---- seeds that break readers


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"[" * 10_000, "config.yaml:1: nested more than 32 levels deep"),
        (b"a: " + b"{b: " * 40 + b"}" * 40, "config.yaml:1: nested more than 32 levels deep"),
        (b"a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]", "config.yaml:1 a: anchor &a is not allowed"),
        (b"ppo: {gamma: \x00}", "config.yaml:1: holds a NUL character"),
        ("ppo:\n gamma: 1\n".encode("utf-16-le"), "config.yaml:1: holds a NUL character"),
        (b"# \xff\nppo: \xff", "config.yaml:1: not UTF-8 text"),
        (b"ppo:\n  gamma: \x07", "config.yaml:2: holds a control character"),
        (b"ppo:\n\tgamma: 1", "config.yaml:2:1: not valid YAML: a tab"),
        (b"ppo: {gamma: 1", "config.yaml:2:1: not valid YAML: "),
        (b"env:\n---\nb: 2", "config.yaml:2: a second document"),
        (b"- a\n- b", "config.yaml:1: must be sections of `key: value` lines, not a list"),
        (b"hello", "config.yaml:1: must be sections of `key: value` lines, not a single value"),
        (b"? [a]\n: b", "config.yaml:1: a key must be a word"),
        (b"a" * 1_000_001, "config.yaml: larger than 1,000,000 bytes"),
        (b"a: [" + b"1," * 400_000 + b"]", "config.yaml:1: more than 20,000 entries"),
        (
            b"system: {seed: 1" + b"0" * 400 + b"}",
            "config.yaml:1 system.seed: a number of 401 digits",
        ),
        (b"system: {seed: 1" + b"0" * 200 + b"}", "config.yaml:1 system.seed: an integer of"),
        (b"ppo: {gamma: 1:30}", "config.yaml:1 ppo.gamma: '1:30'; must be a number"),
        (b"ppo: {gamma: [1]}", "config.yaml:1 ppo.gamma: [1]; must be a number"),
        (b"ppo: {gamma: -.inf}", "config.yaml:1 ppo.gamma: -.inf is not a finite number"),
        (
            b"ppo: {learning_rate: -0}",
            "config.yaml:1 ppo.learning_rate: 0; must be a number above 0",
        ),
        (b"ppo: {num_steps: }", "config.yaml:1 ppo.num_steps: null; must be a whole number"),
        (b'a: "\\ud800"', "config.yaml:1:7: not valid YAML: "),
        (b"<<: {ppo: 1}", "config.yaml:1 <<: unknown"),
        (
            b"ppo: {num_minibatches: 1000000000000000000, num_steps: 6}\nenv: {num_envs: 2}",
            "config.yaml:1 ppo.num_minibatches: ",
        ),
        (
            b"env: {num_envs: 999999999999999989}\n"
            b"ppo: {num_minibatches: 999999999999999, num_steps: 60}",
            "config.yaml:2 ppo.num_minibatches: env.num_envs 999,999,999,999,999,989",
        ),
        (b"? x\n" * 9_000, "config.yaml:1 x: unknown"),
        (b"%s: 1\n" % (b"k" * 900), "config.yaml:1 kkkkkkkkkk"),
    ],
    ids=range(28),
)
def test_nasty_files_are_refused_in_one_printable_line(
    tmp_path: Path, data: bytes, expected: str
) -> None:
    found = mistakes(tmp_path, data)
    assert found[0].startswith(expected), found[0][:300]
    assert len(found) <= 21
    assert all(line.isprintable() and len(line) < 400 for line in found)


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.mkdir [marker]",
        "!!python/object/new:os.mkdir [marker]",
        "!!python/object:os.mkdir {}",
        "!!python/name:os.mkdir",
        "!!python/module:os",
        "!!python/tuple [1]",
        "!!binary aGVsbG8=",
        "!!timestamp 2020-01-01",
        "!custom x",
        "!<tag:example.com,2000:x> y",
    ],
)
def test_no_tag_is_acted_upon(tmp_path: Path, tag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for text in (f"env:\n  kwargs:\n    a: {tag}\n", f"{tag}\n"):
        assert "not allowed" in mistakes(tmp_path, text)[0]
    assert sorted(os.listdir(tmp_path)) == ["config.yaml"]


def test_folders_pipes_and_missing_files_are_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "other.yaml").write_text("")
    (tmp_path / ".pre-commit-config.yaml").write_text("")
    for name, reason in [
        (".", "is a folder"),
        ("pipe", "is not a regular file"),
        ("missing", "no such file (in that folder: other.yaml)"),
        ("a\0b", "cannot be read"),
        ("n" * 5000, "cannot be read"),
        ("other.yaml/x", "cannot be read"),
    ]:
        with pytest.raises(UserError, match=".") as caught:
            Config.load(f"{tmp_path}/{name}")
        assert reason in caught.value.messages[0]
        assert caught.value.messages[0].isprintable()


@pytest.mark.parametrize(
    "name", ["a b.yaml", "ü.yaml", 'it\'s "quoted".yaml', "100%.yaml", "new\nline.yaml", "x" * 200]
)
def test_any_file_name_is_read_and_reported(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("ppo: {gamma: 0.5}")
    assert Config.load(tmp_path / name).ppo.gamma == 0.5
    (tmp_path / name).write_text("ppo: {gamma: 5}")
    with pytest.raises(UserError) as caught:
        Config.load(tmp_path / name)
    assert ":1 ppo.gamma: 5; must be" in caught.value.messages[0]
    assert caught.value.messages[0].isprintable()


def test_plain_values_are_lists_and_numbers_only() -> None:
    config = Config.load(None, ["network.hidden_sizes=[3, 4]"])
    assert plain(config)["network"]["hidden_sizes"] == [3, 4]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"env.id": "CartPole-v1"}, "overrides: a dict; write a list of KEY=VALUE, such as "
         "['ppo.gamma=0.99'] (nested dictionaries: Config.from_dict)"),
        (None, "overrides: None; write a list of KEY=VALUE, such as ['ppo.gamma=0.99']"),
        (3, "overrides: 3; write a list of KEY=VALUE, such as ['ppo.gamma=0.99']"),
        ([("ppo.gamma", 0.9)],
         "overrides: ('ppo.gamma', 0.9); write a list of KEY=VALUE, such as ['ppo.gamma=0.99']"),
    ],
)  # fmt: skip
def test_overrides_of_another_form_are_refused_in_one_line(overrides: Any, message: str) -> None:
    for read in (Config().with_overrides, lambda given: Config.load(overrides=given)):
        with pytest.raises(UserError) as found:
            read(overrides)
        assert found.value.messages == [message]


@pytest.mark.parametrize("values", [None, [1], "ppo.gamma=0.5", 3])
def test_settings_that_are_no_dictionary_are_refused(values: Any) -> None:
    with pytest.raises(UserError, match="^settings: .*; must be nested dictionaries, such as"):
        Config.from_dict(values)


@pytest.mark.parametrize("path", [{"ppo": {"gamma": 0.5}}, 5, b"config.yaml"])
def test_what_is_no_path_of_a_file_is_refused(path: Any) -> None:
    with pytest.raises(UserError, match=f"type {type(path).__name__} is no path.*from_dict"):
        Config.load(path)


def test_one_override_needs_no_list() -> None:
    assert Config.load(overrides="ppo.gamma=0.9").ppo.gamma == 0.9
    assert Config().with_overrides("ppo.gamma=0.9").ppo.gamma == 0.9


def test_a_setting_that_is_assigned_to_is_told_how_to_change() -> None:
    config = Config()
    for section in Config.model_fields:
        name = next(iter(type(getattr(config, section)).model_fields))
        with pytest.raises(UserError, match=rf"^{section}\.{name}: .*\['{section}\.{name}="):
            setattr(getattr(config, section), name, 1)
    with pytest.raises(UserError) as found:
        config.ppo.learning_rate = 1e-3
    assert found.value.messages == [
        "ppo.learning_rate: a configuration does not change; make another one: "
        "config = config.with_overrides(['ppo.learning_rate=0.001'])"
    ]
    with pytest.raises(UserError, match=r"^network\.hidden_sizes: .*hidden_sizes=\[64, 64\]'"):
        config.network.hidden_sizes = (64, 64)
    with pytest.raises(UserError, match="^ppo: a configuration does not change; make another one"):
        config.ppo = {}
    assert config == Config()
