"""A policy as a file that needs none of this package: normalization baked in, mode of the policy.

Raw observations go in (see ppo/policies/inputs.py), those that the actor sees, and actions in the
environment's units come out. A policy with memory takes its states [N, S] too, zeros where an
episode begins, and gives those after. The file describes its inputs and outputs. Every file is
checked against the policy it was made from.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn

from ppo.core.errors import RunError, UserError
from ppo.core.program import install
from ppo.envs.actions import ActionDecoder
from ppo.policies.inputs import Decoded, Input, Inputs, random_samples
from ppo.policies.policy import Policy, load_policy
from ppo.runs import files
from ppo.runs.folder import RunFolder

FORMATS = {"onnx": ".onnx", "torch_export": ".pt2"}
INTEGERS = {name: getattr(torch, name) for name in ("uint8", "int8", "int16", "int32", "int64")}
CHECKED = 256  # random observations
TOLERANCE = 1e-4  # relative to the size of the actions
TIES = 0.01  # share of choices that rounding may turn
Given = tuple[Any, ...]  # observations, a tensor or a dict of them by name; and states


class Exported(NamedTuple):
    """A written file and how it was checked."""

    path: Path
    largest_difference: float  # largest difference of actions, or share of choices that differ
    runtime: str  # what ran it for the check; "" where nothing here can
    inputs: tuple[Input, ...]


class Deployed(nn.Module):
    """What is exported: observations to the policy's mode, with the statistics as constants."""

    def __init__(self, policy: Policy, inputs: Inputs) -> None:
        super().__init__()
        self.agent = policy.agent
        self.decoded = Decoded(inputs) if inputs.named else nn.Identity()
        self._dtype = _dtype_of(policy.action_space)

    def forward(self, observations: Any) -> Tensor:
        return self._mode(self.agent.policy_params(self.decoded(observations)))

    def _mode(self, params: Tensor) -> Tensor:
        distribution = self.agent.distribution
        return distribution.to_env(distribution.mode(params)).to(self._dtype)


def _dtype_of(space: gym.Space) -> torch.dtype:
    """Of the actions that are given out: the environment's own where they are whole numbers."""
    if not isinstance(space, gym.spaces.Box):
        return torch.int64
    if space.dtype.kind == "f" or space.dtype == np.uint64:  # beyond every tensor of whole numbers
        return torch.float32
    return INTEGERS.get(space.dtype.name, torch.int64)


class DeployedWithMemory(Deployed):
    """The same, with the states before and after."""

    def forward(self, observations: Any, states: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        params, after = self.agent.act_alone(self.decoded(observations), states)
        return self._mode(params), after


def export(
    run: str,
    results: Path,
    kind: str,
    path: Path | None = None,
    which: str = "best",
    trust: bool = False,
) -> Exported:
    """Writes the policy of a run and checks the file.

    Args:
        kind: onnx or torch_export.
        path: default: policy.onnx or policy.pt2 in the run's folder.
        trust: import what the run's config.yaml names.

    Raises:
        UserError: no such run or format, or a package is missing.
        RunError: the file does not act as the policy does; it is not kept.
    """
    if kind not in FORMATS:
        raise UserError(f"--format {kind}: unknown; allowed: {', '.join(FORMATS)}")
    policy = load_policy(run, results, which, trust=trust)
    _need(("onnx", "onnxscript") if kind == "onnx" else ())
    path = path or RunFolder.open(results, run).path / f"policy{FORMATS[kind]}"
    if path.suffix != FORMATS[kind]:
        raise UserError(f"--data {path}: --format {kind} writes files that end in {FORMATS[kind]}")
    if not path.absolute().parent.is_dir():
        raise UserError(f"--data {path}: there is no folder {path.absolute().parent}")
    inputs = Inputs(policy)
    samples = random_samples(inputs, CHECKED)
    states = random_states(policy, CHECKED)
    given = (samples if inputs.named else samples["observations"], *states)
    module = (DeployedWithMemory if len(given) > 1 else Deployed)(policy, inputs).eval()
    with torch.no_grad(), _quietly(), tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / f"policy{FORMATS[kind]}"  # exporters die of names that are no text
        (_write_onnx if kind == "onnx" else _write_program)(module, inputs, given, draft)
        found = (_run_onnx if kind == "onnx" else _run_program)(draft, *given)
        data = draft.read_bytes()
    difference = float("nan")
    if found is not None:
        expected = _expected(policy, inputs.rows(samples), *states)
        difference = _checked(path, expected, found)
    with files.reporting(path.parent, f"write {path.name}"):
        files.atomic_write(path, data)
    runtime = {"onnx": "onnxruntime", "torch_export": "torch.export"}[kind]
    return Exported(path, difference, "" if found is None else runtime, inputs.all)


@torch.no_grad()
def _expected(policy: Policy, obs: Tensor, *states: Tensor) -> tuple[np.ndarray, ...]:
    """What the environment gets from the policy itself, and the actor's states after."""
    rest = policy.agent.num_states - policy.agent.state_sizes[0]  # of the critic, which may be any
    policy.states = tuple(nn.functional.pad(state, (0, rest)) for state in states)
    actions = policy.act(obs).numpy()
    decoded = ActionDecoder(policy.action_space, policy.config.env.id).array(actions)
    after = tuple(
        state[:, : policy.agent.state_sizes[0]].numpy() for state in policy.states if states
    )
    policy.reset()
    return (decoded, *after)


def _checked(path: Path, expected: tuple[np.ndarray, ...], found: tuple[np.ndarray, ...]) -> float:
    """The largest difference.

    Raises:
        RunError: it is more than rounding.
    """
    largest = 0.0
    for one, other in zip(expected, found, strict=True):
        difference = _difference(one, other)
        if not difference <= (TIES if one.dtype.kind in "iu" else TOLERANCE):
            raise RunError(
                f"{files.shown(path)}: its actions differ from the policy's by {difference:.3g}; "
                "it is not kept"
            )
        largest = max(largest, difference)
    return largest


def _need(needed: tuple[str, ...]) -> None:
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        packages = "the package {}, which is" if len(missing) == 1 else "the packages {}, which are"
        named = packages.format(" and ".join(missing))
        raise UserError(f"--format onnx needs {named} not installed; run: {install('export')}")


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Exporters tell their every step; a failure still raises."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def random_states(policy: Policy, count: int) -> tuple[Tensor, ...]:
    """The actor's states [N, S] in the range that memories stay in; nothing without memory."""
    source, size = torch.Generator().manual_seed(1), policy.agent.state_sizes[0]
    return (2.0 * torch.rand(count, size, generator=source) - 1.0,) if size else ()


def _difference(expected: np.ndarray, found: np.ndarray) -> float:
    if expected.shape != found.shape:
        return float("inf")
    gap = np.abs(expected.astype(np.float64) - found.astype(np.float64))
    size = max(float(np.abs(expected.astype(np.float64)).max()), 1e-12)
    if expected.dtype.kind in "iu":  # a range of billions is wider than the steps of float32
        return float((gap > TOLERANCE * size).mean())
    return float(gap.max()) / size


def _program(module: nn.Module, given: Given) -> Any:
    batch, few, shapes = {0: torch.export.Dim("batch", min=1)}, [], []
    for part in given:
        named = isinstance(part, dict)
        few.append({name: rows[:2] for name, rows in part.items()} if named else part[:2])
        shapes.append(dict.fromkeys(part, batch) if named else batch)
    return torch.export.export(module, tuple(few), dynamic_shapes=tuple(shapes))


def _write_onnx(module: nn.Module, inputs: Inputs, given: Given, path: Path) -> None:
    names = [one.name for one in inputs.all]
    count = len(given) - 1  # states
    outputs = [inputs.free("actions"), inputs.free("next_states")][: 1 + count]
    program = torch.onnx.export(
        _program(module, given),  # torch.onnx itself takes a dict at the end for named arguments
        input_names=[*names, inputs.free("states")][: len(names) + count],
        output_names=outputs,
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    program.model.metadata_props.update(_described(inputs))
    program.save(path, external_data=False)


def _described(inputs: Inputs) -> dict[str, str]:
    """What stands in the file about it: the inputs in their order, without the states."""
    space = inputs.policy.action_space
    actions = Input(inputs.free("actions"), str(space.dtype), tuple(space.shape or ()))
    return {
        "environment": inputs.policy.config.env.id,
        "observations": json.dumps([one._asdict() for one in inputs.all]),
        "actions": json.dumps([actions._asdict()]),
    }


def _run_onnx(path: Path, *given: Any) -> tuple[np.ndarray, ...] | None:
    """Actions, and with memory the states after; None where nothing here can run it."""
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    flat = [p for part in given for p in (part.values() if isinstance(part, dict) else [part])]
    names = [item.name for item in session.get_inputs()]
    feeds = {name: rows.numpy() for name, rows in zip(names, flat, strict=True)}
    return tuple(session.run(None, feeds))


def _write_program(module: nn.Module, inputs: Inputs, given: Given, path: Path) -> None:
    torch.export.save(_program(module, given), path, extra_files=_described(inputs))


def _run_program(path: Path, *given: Any) -> tuple[np.ndarray, ...]:
    """Of a file that this process has just written, so reading it back is safe."""
    with torch.no_grad():
        found = torch.export.load(path).module()(*given)
    return tuple(part.numpy() for part in ([found] if isinstance(found, Tensor) else found))
