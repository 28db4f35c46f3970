"""Exported policies act as the ones they were made from."""

import importlib.util
import os

import numpy as np
import pytest
import torch

from ppo.cli import main
from ppo.core.errors import RunError, UserError
from ppo.policies import export as exporting
from ppo.policies.export import export
from ppo.policies.policy import load_policy

TINY = ["env.num_envs=4", "ppo.num_steps=16", "ppo.num_minibatches=2", "env.calibration_steps=8"]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Runs with bounded and with discrete actions."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("runs")
    for env, more in (
        ("DoubleIntegrator-v0", ["network.action_squash=tanh"]),
        ("CartPole-v1", ["env.squash_observations=symlog"]),
        ("DoubleIntegrator-v0", ["network.shared_encoder=false"]),
    ):
        overrides = [f"--set={o}" for o in [*TINY, f"env.id={env}", *more]]
        flags = ["--mode", "single_batch", "--quiet", "--results", str(folder), *overrides]
        assert main(flags) == 0
    return folder


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("run", "kind"),
    [
        pytest.param("run0001", "onnx", marks=SLOW),
        ("run0001", "torch_export"),
        ("run0002", "torch_export"),
        pytest.param("run0003", "torch_export", marks=SLOW),
        pytest.param("run0002", "onnx", marks=SLOW),
        pytest.param("run0003", "onnx", marks=SLOW),
    ],
)
def test_the_file_acts_as_the_policy(results, run, kind):
    done = export(run, results, kind)
    assert done.runtime and done.largest_difference <= 1e-4
    policy = load_policy(run, results)
    obs = policy.agent.normalizer.exact_mean.float() + torch.randn(7, *done.inputs[0].shape)
    if kind == "onnx":
        (found,) = exporting._run_onnx(done.path, obs)
    else:
        (found,) = exporting._run_program(done.path, obs)
    expected = policy.act(obs).numpy()
    assert found.shape == expected.shape and found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_file_that_acts_otherwise_is_deleted(results, monkeypatch):
    monkeypatch.setattr(exporting, "_run_program", lambda path, obs: (obs.numpy()[:, :1] + 1e3,))
    with pytest.raises(RuntimeError, match="differ from the policy"):
        export("run0001", results, "torch_export", results / "wrong.pt2")
    assert not (results / "wrong.pt2").exists()


WHOLE = [
    "{dtype: int64}",
    "{dtype: int8, low: -1, high: 1}",
    "{dtype: uint8, low: 0, high: 255}",
    "{dtype: int32, low: -2147483648, high: 2147483647}",
    "{dtype: uint16, low: 0, high: 65535}",
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Runs whose actions are whole numbers of a Box."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("whole")
    for kwargs in WHOLE:
        overrides = [*TINY, "env.id=whole_env:Whole-v0", f"env.kwargs={kwargs}"]
        overrides += [
            "system.compile=never",
            "network.initial_log_std=1.0",
            "ppo.learning_rate=0.1",
        ]
        overrides += ["ppo.target_kl=null"]
        flags = ["--mode", "single_batch", "--quiet", "--results", str(folder)]
        assert main([*flags, *(f"--set={word}" for word in overrides)]) == 0
    return folder


@pytest.mark.parametrize("number", range(len(WHOLE)))
@pytest.mark.parametrize("kind", ["torch_export", pytest.param("onnx", marks=SLOW)])
def test_whole_numbers_are_those_that_predict_gives(whole, kind, number):
    """Of the type that the environment takes, where a tensor has it."""
    if kind == "onnx":
        pytest.importorskip("onnxscript")
        pytest.importorskip("onnxruntime")
    run = f"run{number + 1:04d}"
    done = export(run, whole, kind)
    assert done.largest_difference == 0
    policy = load_policy(run, whole)
    obs = 3 * torch.randn(50, 3, generator=torch.Generator().manual_seed(number))
    read = exporting._run_onnx if kind == "onnx" else exporting._run_program
    (found,) = read(done.path, obs)
    expected = np.stack([policy.predict(row) for row in obs.numpy()])
    if "int32" in WHOLE[number]:  # a number of it has more digits than float32
        np.testing.assert_allclose(found.astype(float), expected, atol=2.0**31 * 1e-6)
    else:  # half way between two numbers the last bit of float32 decides
        apart = np.abs(found.astype(np.int64) - expected.astype(np.int64))
        assert apart.max() <= 1 and apart.mean() <= exporting.TIES
    assert len(np.unique(expected)) > 1
    assert found.dtype == (expected.dtype if expected.dtype != np.uint16 else np.int64)


def test_an_export_that_does_not_round_is_refused(whole, monkeypatch):
    """As once: 0.12 where the policy plays 0."""

    def forward(self, observations):
        params = self.agent.policy_params(observations)
        distribution = self.agent.distribution
        return distribution.center + distribution.half_range * params.clamp(-1, 1)

    monkeypatch.setattr(exporting.Deployed, "forward", forward)
    with pytest.raises(RunError, match="differ from the policy"):
        export("run0001", whole, "torch_export", whole / "wrong.pt2")
    assert not (whole / "wrong.pt2").exists()


def test_a_name_that_is_no_text_is_written_to(results):
    path = results / os.fsdecode(b"r\xff\xe9.pt2")
    export("run0002", results, "torch_export", path)
    assert path.stat().st_size > 0


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        (("onnx",), "the package onnx, which is not installed"),
        (("onnx", "onnxscript"), "the packages onnx and onnxscript, which are not installed"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(results, monkeypatch, missing, words):
    real = importlib.util.find_spec

    def found(name, *more):
        return name not in missing if name.startswith("onnx") else real(name, *more)

    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: found(name, *a) or None)
    with pytest.raises(UserError, match=rf"needs {words}.*\.\[export\]"):
        export("run0001", results, "onnx")


@pytest.mark.slow
def test_without_a_runtime_the_file_is_written_and_said_to_be_unchecked(
    results, monkeypatch, capsys
):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *a: None if name == "onnxruntime" else real(name, *a),
    )
    path = results / "unchecked.onnx"
    flags = ["--mode", "export", "--run", "run0001", "--data", str(path)]
    assert main([*flags, "--results", str(results)]) == 0
    assert path.exists() and "not checked" in capsys.readouterr().out


@pytest.mark.parametrize(
    "flags",
    [
        ["--run", "run0099"],
        ["--run", "run0001", "--format", "onx"],
        ["--run", "run0001", "--data", "policy.pt2"],
        ["--run", "run0001", "--data", "nowhere/policy.onnx"],
    ],
)
def test_wrong_flags_end_with_2_and_one_line(results, capsys, flags):
    assert main(["--mode", "export", "--results", str(results), *flags]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ")
