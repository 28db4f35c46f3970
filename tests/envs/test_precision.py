"""Observations that float32 cannot hold are normalized before they are rounded."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from clock_env import FIRST, NUMBERS, PARTS, START, TICK, Clock
from clock_simulator import Clocks
from env_tools import HOST, make
from generated_spaces import any_space, boxes
from gymnasium import spaces
from hypothesis import given
from hypothesis import settings as tried
from hypothesis import strategies as st
from learner_tools import learner, records, settings

from ppo import Trainer, load_policy
from ppo.config import EnvConfig
from ppo.core.errors import UserError
from ppo.core.layout import Layout
from ppo.envs import make_environments
from ppo.envs.entries import name_of
from ppo.envs.observations import ObservationEncoder, entry_at
from ppo.envs.precision import decide, of_both_halves
from ppo.envs.simulator_rows import RowMaker
from ppo.networks import packing
from ppo.networks.normalizer import ObservationNormalizer
from ppo.policies.demonstrate import record
from ppo.policies.demonstrations import read, write
from ppo.policies.export import export

CLOCK = "clock_env:Clock-v0"
WIDE = (np.float64, np.int32, np.int64, np.uint32, np.uint64)
SHARE = 2.0**-47  # of a number, which two halves of 24 bits may miss


def open_names(encoder: ObservationEncoder) -> list[str]:
    """Every entry that may be kept in double precision."""
    wide = [leaf for leaf in encoder.leaves if leaf.space.dtype in WIDE and leaf.path]
    return [name_of(leaf) for leaf in wide if isinstance(leaf.space, spaces.Box)]


def sampled(space: spaces.Space, source: np.random.Generator) -> Any:
    """Of every size that the dtype holds; Gymnasium draws none of integers without an end."""
    if isinstance(space, spaces.Dict):
        return {key: sampled(part, source) for key, part in space.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(sampled(part, source) for part in space)
    if not isinstance(space, spaces.Box) or space.dtype == np.uint8:
        return space.sample()
    if space.dtype.kind == "f":
        sizes = 10.0 ** source.uniform(-4, 4 if space.dtype == np.float16 else 30, space.shape)
        return (source.normal(size=space.shape) * sizes).astype(space.dtype)
    limits, bits = np.iinfo(space.dtype), source.integers(1, 8 * space.dtype.itemsize)
    least = max(int(limits.min), -(2 ** int(bits)))
    return source.integers(least, min(int(limits.max), 2 ** int(bits)), space.shape, space.dtype)


@tried(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from("abc"), st.one_of(boxes(WIDE), any_space()), min_size=1),
       st.booleans(), st.integers(0, 3), st.integers(0, 2**31))  # fmt: skip
def test_what_goes_in_comes_out_to_48_bits(parts, has_image, num_mask, seed):
    if has_image:
        parts["image"] = spaces.Box(0, 255, (36, 36, 3), np.uint8)
    space = spaces.Dict(parts)
    space.seed(seed)
    plain = ObservationEncoder(space, "generated", num_mask)
    names = open_names(plain)
    encoder = ObservationEncoder(space, "generated", num_mask, precise=names)
    observation = sampled(space, np.random.default_rng(seed))
    row, usual = encoder.encode(observation), plain.encode(observation)
    rows = torch.from_numpy(row)[None]
    entries = packing.everything(rows, encoder.layout)
    whole = torch.from_numpy(usual)[None]
    read_usual = packing.everything(whole, plain.layout)
    mask = packing.mask(rows, encoder.layout)
    assert (mask is None) == (num_mask == 0) and (mask is None or mask.all())
    for before, now in zip(
        packing.images(whole, plain.layout), packing.images(rows, encoder.layout), strict=True
    ):
        assert torch.equal(before, now)
    exact = packing.exact(entries, rows, encoder.layout)
    for leaf in plain.leaves:
        part = slice(leaf.start, leaf.stop)
        if name_of(leaf) not in names:
            assert torch.equal(exact[:, part], read_usual[:, part].double())
            continue
        value = np.asarray(entry_at(observation, leaf.path), np.float64).reshape(-1)
        found = exact[0, part].numpy()
        assert (np.abs(found - value) <= SHARE * np.abs(value)).all()
        assert np.array_equal(entries[0, part].numpy(), value.astype(np.float32))


@tried(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from("abc"), boxes((np.float64, np.int32, np.int64)), min_size=1),
       st.booleans(), st.integers(0, 2**31))  # fmt: skip
def test_a_simulator_s_rows_are_those_of_the_host(parts, has_image, seed):
    if has_image:
        parts["image"] = spaces.Box(0, 255, (36, 36, 3), np.uint8)
    space = spaces.Dict(parts)
    space.seed(seed)
    names = open_names(ObservationEncoder(space, "generated"))
    encoder = ObservationEncoder(space, "generated", precise=names)
    source = np.random.default_rng(seed)
    samples = [sampled(space, source) for _ in range(2)]
    expected = np.stack([encoder.encode(one) for one in samples])
    tensors = {k: torch.from_numpy(np.stack([one[k] for one in samples])) for k in space.keys()}
    found = RowMaker(space, "generated", 2, HOST, precise=names)(tensors).numpy()
    assert found.tobytes() == expected.tobytes()


CHOICES = {
    "without bounds and large": (spaces.Box(-np.inf, np.inf, (2,), np.float64), [1.0, 1.7e9], True),
    "without bounds and small": (spaces.Box(-np.inf, np.inf, (2,), np.float64), [1.0, 1e7], False),
    "bounds that stand for none": (spaces.Box(-1e308, 1e308, (1,), np.float64), [3.0], False),
    "narrow bounds": (spaces.Box(-1e3, 1e3, (1,), np.float64), [3.0], False),
    "wide bounds": (spaces.Box(0, 2e9, (1,), np.float64), [3.0], True),
    "counts": (spaces.Box(0, np.inf, (1,), np.int64), [3], True),
    "counts of 32 bits": (spaces.Box(0, 2**31 - 1, (1,), np.int32), [3], True),
    "few counts": (spaces.Box(0, 2**24, (1,), np.int64), [3], False),
    "counts of 16 bits": (spaces.Box(0, 2**15 - 1, (1,), np.int16), [3], False),
    "of float32": (spaces.Box(-np.inf, np.inf, (1,), np.float32), [1.7e9], False),
    "an image": (spaces.Box(0, 2**31 - 1, (40, 40), np.int32), np.zeros((40, 40)), False),
}


@pytest.mark.parametrize("name", CHOICES)
def test_bounds_decide_and_without_bounds_the_first_observation(name):
    space, first, expected = CHOICES[name]
    encoder = ObservationEncoder(spaces.Dict(part=space), "x")
    shown = {"part": np.asarray(first, space.dtype)}
    names, notes = decide(encoder.leaves, None, "x", lambda: encoder.parts(shown), always=True)
    assert names == (("part",) if expected else ())
    assert len(notes) == (expected or name == "of float32")
    chosen = [note for note in notes if note.startswith("env.double_precision: [part]")]
    assert len(chosen) == expected


@pytest.mark.parametrize("names", [["time"], ["x"], ["image"], [""]])
def test_a_name_that_means_nothing_is_refused_with_those_that_do(names):
    with pytest.raises(UserError, match=r"env.double_precision: .*allowed: observations$"):
        make(CLOCK, kwargs={"several": False}, double_precision=names)
    with pytest.raises(UserError, match=r"env.double_precision: .*allowed: none$"):
        make("Pendulum-v1", "torch", double_precision=names)


def clocks(backend: str, several: bool = True, **more):
    if backend == "simulator":
        return make_environments(EnvConfig(**more), env=Clocks(2), run_seed=7, device=HOST)
    if backend == "vector":
        env = gym.vector.SyncVectorEnv([lambda: Clock(several)] * 2)
        return make_environments(EnvConfig(**more), env=env, run_seed=7, device=HOST)
    return make(CLOCK, backend, 2, kwargs={"several": several}, **more)


@pytest.mark.parametrize("backend", ["sync", "async", "vector", "simulator"])
def test_every_backend_hands_both_halves_on(backend):
    with clocks(backend) as envs:
        assert [name for name, _ in envs.layout.precise] == ["count", "time"]
        rows = [envs.reset().clone(), envs.step(torch.zeros(2, dtype=torch.int64)).obs]
    for t, row in enumerate(rows):
        numbers = of_both_halves(row.numpy(), envs.layout)
        assert (numbers[:, 0] == FIRST + t).all()
        np.testing.assert_allclose(numbers[:, 1], START + TICK * t, rtol=0, atol=1e-5)
    note = next(note for note in envs.notes if note.startswith("env.double_precision"))
    assert "entry count.0 (8589934592)" in note and "entry time.0 (1700000000)" in note


def test_one_box_is_an_entry_of_its_own_and_numbers_of_mujoco_stay_as_they_are():
    for backend in ("sync", "vector"):
        with clocks(backend, several=False) as envs:
            assert [name for name, _ in envs.layout.precise] == ["observations"]
            row = envs.reset()
            assert row.shape == (2, 4)
            assert of_both_halves(row.numpy(), envs.layout)[:, 0].tolist() == [START] * 2
    with make(CLOCK, kwargs={"several": False, "start": 5.0}) as envs:
        assert not envs.layout.precise and envs.reset().shape == (3, 2)


def test_without_normalization_they_go_rounded_with_a_note():
    with make(CLOCK, normalize_observations=False) as envs:
        assert not envs.layout.precise and envs.reset().shape == (3, 3)
        assert "let the environment give what matters" in envs.notes[0]


def normalizer(layout: Layout) -> ObservationNormalizer:
    def both(rows: torch.Tensor) -> torch.Tensor:
        return packing.exact(packing.everything(rows, layout), rows, layout)

    precise = torch.tensor([True, True, False])
    return ObservationNormalizer(3, True, 10.0, "none", False, both, precise=precise)


def test_what_varies_is_normalized_and_rounding_is_not():
    encoder = ObservationEncoder(PARTS, "x", precise=["count", "time"])
    noise = 1.0 + 1e-7 * np.random.default_rng(0).uniform(-1, 1, 100)
    shown = [{"count": [FIRST + t], "time": [START + TICK * t], "x": [np.float32(noise[t])]}
             for t in range(100)]  # fmt: skip
    rows = torch.from_numpy(np.stack([encoder.encode(one) for one in shown]))
    made = normalizer(encoder.layout)
    made.update(rows, torch.ones(100))
    t = torch.arange(100.0)
    expected = (t - t.mean()) / t.std(correction=0)
    found = made(rows)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[:, 0], expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(found[:, 1], expected, rtol=0, atol=1e-4)
    assert not found[:, 2].any(), "float32 noise about a constant"


FORMS = {
    "sync": {},
    "async": {"env__backend": "async", "env__workers": 1},
    "memory": {"network__memory": "lstm", "env__frame_stack": 2},
    "groups": {"network__shared_encoder": "false", "network__actor_keys": "[time]"},
}


@pytest.mark.parametrize("form", FORMS)
def test_they_reach_the_network_and_a_resumed_run_is_the_same(form, tmp_path):
    config = settings(CLOCK, **FORMS[form])
    whole = Trainer(config, tmp_path / "whole")
    whole.train(batches=4)
    agent = whole.learner.objective.agent
    inputs = agent.normalizer(whole.envs.reset())
    assert torch.equal(inputs[0, :2], inputs[1, :2]) and (inputs[:, :2].abs() > 0.5).all()
    Trainer(config, tmp_path / "cut").train(batches=2)
    again = Trainer(config, tmp_path / "cut", resume="latest")
    again.train(batches=2)
    assert records(tmp_path / "whole/run0001") == records(tmp_path / "cut/run0001")
    text = (tmp_path / "cut/run0001/config.yaml").read_text()
    assert "double_precision: [count, time]" in text.replace("\n  - ", ", ").replace(":, ", ": [")


def test_a_policy_acts_by_the_clock(tmp_path):
    config = settings(CLOCK, ppo__learning_rate=0.02, ppo__gamma=0.5, env__num_envs=16)
    with Trainer(config, tmp_path) as trainer:
        trainer.train(batches=25)
    policy = load_policy("run0001", tmp_path)
    x = np.zeros(1, np.float32)
    shown = [
        {"count": np.array([FIRST + t]), "time": np.array([START + TICK * t]), "x": x}
        for t in range(10)
    ]
    assert [policy.predict(one) for one in shown] == [1] * 5 + [0] * 5


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("several", "kind"),
    [
        (True, "torch_export"),
        pytest.param(True, "onnx", marks=SLOW),
        pytest.param(False, "onnx", marks=SLOW),
    ],
)
def test_an_exported_policy_takes_the_raw_numbers(several, kind, tmp_path):
    """The export compares them with the policy itself, on numbers as those it was trained on."""
    if kind == "onnx":
        pytest.importorskip("onnxruntime")
    config = settings(CLOCK, env__kwargs=f"{{several: {several}}}".lower())
    Trainer(config, tmp_path).train(batches=2)
    done = export("run0001", tmp_path, kind)
    dtypes = {one.name: one.dtype for one in done.inputs}
    assert done.runtime
    if several:
        assert dtypes == {"count": "int64", "time": "float64", "x": "float32"}
    else:
        assert dtypes == {"observations": "float64"}


def test_demonstrations_keep_them(tmp_path):
    with clocks("sync", several=False) as envs:
        steps = record(envs, lambda obs: torch.zeros(2, dtype=torch.int64), 2).steps
        names = [name for name, _ in envs.layout.precise]
    write(tmp_path / "demo.npz", steps)
    again = read(tmp_path / "demo.npz", NUMBERS, Clock.action_space, names)
    numbers = of_both_halves(again.obs, envs.layout)
    expected = START + TICK * np.tile(np.arange(10), 2)
    np.testing.assert_allclose(numbers[:, 0], expected, rtol=0, atol=1e-5)


def test_numbers_of_an_observation_are_learned_from_as_they_are():
    """Shapes of statistics are those of entries, so that older runs fit."""
    made = learner(CLOCK)
    assert made.objective.agent.normalizer.exact_mean.shape == (3,)
