"""What a mode does not use is refused; a policy is evaluated on the variant that is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ppo.cli import main, modes
from ppo.cli.flags import COMMON
from ppo.config import Config

TAKES_VALUE = {"--config": "c.yaml", "--set": "env.id=CartPole-v1", "--results": "r", "--seed": "3"}
AXIS = "ppo.gamma=0.9,0.8"
NEEDED = {
    "diagnose": ["run0001"], "compare": ["run0001"], "ablate": ["--toggle", AXIS],
    "sweep": ["--vary", AXIS], "tune": ["--vary", AXIS],
}  # fmt: skip
KEYS = [
    f"{section}.{key}"
    for section, field in Config.model_fields.items()
    for key in field.annotation.model_fields
]
SMALL = [
    "env.id=CartPole-v1", "env.num_envs=2", "ppo.num_steps=8", "ppo.num_minibatches=1",
    "network.hidden_sizes=[8]", "system.compile=never",
]  # fmt: skip


def used_by(mode: str) -> tuple[str, ...]:
    return getattr(modes.load(mode), "COMMON", tuple(COMMON))


@pytest.mark.parametrize("mode", modes.names())
def test_every_common_flag_that_a_mode_does_not_use_is_refused_in_one_line(
    mode: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert set(used_by(mode)) <= set(COMMON)
    for flag in set(COMMON) - set(used_by(mode)):
        words = [flag, TAKES_VALUE[flag]] if flag in TAKES_VALUE else [flag]
        assert main(["--mode", mode, *NEEDED.get(mode, []), *words]) == 2
        out, err = capsys.readouterr()
        assert not out and err.startswith(f"error: {flag}: --mode {mode} does not use it")
        assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [mode for mode in modes.names() if "--set" in used_by(mode)])
def test_a_setting_that_a_mode_does_not_read_is_refused(
    mode: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    used = getattr(modes.load(mode), "SETTINGS", ())
    assert set(used) <= {*Config.model_fields, *KEYS}
    unused = [key for key in KEYS if not {key, key.partition(".")[0]} & set(used)]
    assert unused, "a mode that reads every section"
    dicts = [f"{key}.size" for key in unused if key.endswith("_kwargs")]
    for key in (*unused, *dicts):
        assert main(["--mode", mode, *NEEDED.get(mode, []), "--set", f"{key}=1"]) == 2
        out, err = capsys.readouterr()
        assert err.startswith(f"error: --set {key}=1: --mode {mode} does not use it")
        assert not out and err.count("\n") == 1


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("variants") / "results"
    words = [word for setting in SMALL for word in ("--set", setting)]
    assert main(["--mode", "single_batch", "--quiet", "--results", str(folder), *words]) == 0
    return str(folder)


VARIANT = ["--set", "env.kwargs.sutton_barto_reward=true"]  # 0 a step, and -1 at the end


def test_a_policy_is_evaluated_on_the_variant_that_set_describes(
    results: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--mode", "evaluate", "--results", results, "--episodes", "3", "--seed", "5"]
    assert main(words) == 0
    plain = " ".join(capsys.readouterr().out.split())
    assert "run0001, latest checkpoint, batch 1, CartPole-v1, the policy's mode, seed 5" in plain
    assert "return -1" not in plain and "variant" not in plain
    assert main([*words, *VARIANT]) == 0
    varied = capsys.readouterr().out
    assert "variant  env.kwargs {} -> {sutton_barto_reward: true}" in varied
    assert "return   -1 " in varied


def test_json_of_a_variant_stands_alone_and_the_variant_beside_it(
    results: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--mode", "evaluate", "--results", results, "--episodes", "3", "--json", *VARIANT]
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["mean_return"] == -1.0
    assert "played   run0001" in err and "variant  env.kwargs" in err
    assert main([*words, "--quiet"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("mode", ["evaluate", "demonstrate"])
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("env.num_envs=3", "up to 16 environments"),
        ("env.observation_clip=5", "belongs to the policy"),
        ("env.kwarg.x=1", "unknown; did you mean env.kwargs"),
        ("env.id=Acrobot-v1", "observation space differs"),
    ],
)
def test_a_variant_that_cannot_be_played_is_refused(
    results: str, capsys: pytest.CaptureFixture[str], mode: str, text: str, reason: str,
    tmp_path: Path,
) -> None:  # fmt: skip
    data = ["--data", str(tmp_path / "d.npz")] if mode == "demonstrate" else []
    words = ["--mode", mode, "--run", "run0001", "--results", results, "--set", text, *data]
    assert main(words) == 2
    err = capsys.readouterr().err
    assert reason in err and err.count("\n") == 1


@pytest.mark.parametrize(("flag", "least"), [("--jobs", "0 (as many as"), ("--restarts", "0 or")])
def test_a_count_of_jobs_is_not_negative(flag, least, tmp_path, capsys) -> None:
    grid = ["--mode", "sweep", "--vary", "ppo.gamma=0.9,0.99", "--results", str(tmp_path)]
    assert main([*grid, f"{flag}=-1"]) == 2
    assert f"error: {flag}: -1; allowed: {least}" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
