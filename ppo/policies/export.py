"""A policy as a file that needs none of this package: normalization baked in, mode of the policy.

Rows of raw observations [N, ...] go in, as ppo/core/layout.py lays them out, and actions in the
environment's units come out. A policy with memory takes its states [N, S] too, zeros where an
episode begins, and gives those after. Every file is checked against the policy it was made from.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
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
from ppo.envs.observations import ActionDecoder
from ppo.policies.policy import Policy, load_policy
from ppo.runs import files

FORMATS = {"onnx": ".onnx", "torch_export": ".pt2"}
INTEGERS = {name: getattr(torch, name) for name in ("uint8", "int8", "int16", "int32", "int64")}
CHECKED = 256  # random observations
TOLERANCE = 1e-4  # relative to the size of the actions
TIES = 0.01  # share of choices that rounding may turn


class Exported(NamedTuple):
    """A written file and how it was checked."""

    path: Path
    largest_difference: float  # largest difference of actions, or share of choices that differ
    runtime: str  # what ran it for the check; "" where nothing here can
    inputs: tuple[int, ...]  # shape of one observation


class Deployed(nn.Module):
    """What is exported: observations to the policy's mode, with the statistics as constants."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.agent = policy.agent
        self._dtype = _dtype_of(policy.action_space)

    def forward(self, obs: Tensor) -> Tensor:
        return self._mode(self.agent.policy_params(obs))

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

    def forward(self, obs: Tensor, states: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        params, after = self.agent.act(obs, states)
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
    if kind == "onnx" and policy.agent.layout.is_packed:
        raise UserError(
            "--format onnx: observations of images beside numbers or masks are rows of bytes, "
            "which ONNX cannot read as numbers; write --format torch_export"
        )
    _need(("onnx", "onnxscript") if kind == "onnx" else ())
    path = path or _default_path(run, results, kind)
    if path.suffix != FORMATS[kind]:
        raise UserError(f"--data {path}: --format {kind} writes files that end in {FORMATS[kind]}")
    if not path.absolute().parent.is_dir():
        raise UserError(f"--data {path}: there is no folder {path.absolute().parent}")
    inputs = (obs := random_observations(policy, CHECKED), *random_states(policy, CHECKED))
    module = (DeployedWithMemory if len(inputs) > 1 else Deployed)(policy).eval()
    with torch.no_grad(), _quietly(), tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / f"policy{FORMATS[kind]}"  # exporters die of names that are no text
        (_write_onnx if kind == "onnx" else _write_program)(module, inputs, draft)
        found = (_run_onnx if kind == "onnx" else _run_program)(draft, *inputs)
        data = draft.read_bytes()
    difference = 0.0 if found is None else _checked(path, _expected(policy, *inputs), found)
    with files.reporting(path.parent, f"write {path.name}"):
        files.atomic_write(path, data)
    runtime = {"onnx": "onnxruntime", "torch_export": "torch.export"}[kind]
    if found is None:
        return Exported(path, float("nan"), "", tuple(obs.shape[1:]))
    return Exported(path, difference, runtime, tuple(obs.shape[1:]))


@torch.no_grad()
def _expected(policy: Policy, obs: Tensor, *states: Tensor) -> tuple[np.ndarray, ...]:
    """What the environment gets from the policy itself, and its states after."""
    policy.states = states
    actions = policy.act(obs).numpy()
    decoded = ActionDecoder(policy.action_space, policy.config.env.id).array(actions)
    after = tuple(state.numpy() for state in policy.states)
    policy.reset()
    return (decoded, *after)


def _checked(path: Path, expected: tuple[np.ndarray, ...], found: Any) -> float:
    """The largest difference.

    Raises:
        RunError: it is more than rounding.
    """
    largest = 0.0
    for one, other in zip(expected, _several(found), strict=True):
        difference = _difference(one, other)
        if not difference <= (TIES if one.dtype.kind in "iu" else TOLERANCE):
            raise RunError(
                f"{files.shown(path)}: its actions differ from the policy's by {difference:.3g}; "
                "it is not kept"
            )
        largest = max(largest, difference)
    return largest


def _several(found: Any) -> tuple[np.ndarray, ...]:
    """One output or several, as arrays."""
    return (
        tuple(map(np.asarray, found)) if isinstance(found, tuple | list) else (np.asarray(found),)
    )


def _default_path(run: str, results: Path, kind: str) -> Path:
    from ppo.runs.folder import RunFolder

    return RunFolder.open(results, run).path / f"policy{FORMATS[kind]}"


def _need(packages: tuple[str, ...]) -> None:
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"--format onnx needs the package {' and '.join(missing)}, which is not installed; "
            f"run: {install('export')}"
        )


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


def random_observations(policy: Policy, count: int) -> Tensor:
    """Rows [N, ...] as spread as those that the policy was trained on, and some far ones."""
    layout = policy.agent.layout
    source = torch.Generator().manual_seed(0)
    parts = []
    if layout.images:
        # Rows of numbers are as the normalizer knows them; here they are bytes.
        size = 4 * layout.num_floats
        numbers = torch.randn(count, layout.num_floats, generator=source)
        parts.append(numbers.view(torch.uint8).reshape(count, size))
        pixels = (count, layout.num_pixels)
        parts.append(torch.randint(0, 256, pixels, dtype=torch.uint8, generator=source))
    else:
        parts.append(_random_numbers(policy, count, source))
    if layout.num_mask:
        mask = torch.rand(count, layout.num_mask, generator=source) < 0.5
        parts.append((mask | (mask.sum(-1, keepdim=True) == 0)).to(parts[0].dtype))
    rows = torch.cat(parts, -1)
    missing = 0 if layout.is_plain_image else layout.shape[0] - rows.shape[-1]
    return nn.functional.pad(rows, (0, missing)).reshape(count, *layout.shape)


def _random_numbers(policy: Policy, count: int, source: torch.Generator) -> Tensor:
    known: Any = policy.agent.normalizer
    noise = torch.randn(count, policy.agent.observation_size, generator=source)
    noise[: count // 8] *= 20.0
    std = known.exact_variance.sqrt().float()
    rows = known.exact_mean.float() + std * noise
    if known.squash == "symlog":
        rows = rows.sign() * rows.abs().expm1()
    return rows


def random_states(policy: Policy, count: int) -> tuple[Tensor, ...]:
    """States [N, S] in the range that memories stay in; nothing without memory."""
    source = torch.Generator().manual_seed(1)
    return tuple(
        2.0 * torch.rand(state.shape, generator=source) - 1.0
        for state in policy.agent.initial_states(count)
    )


def _difference(expected: np.ndarray, found: np.ndarray) -> float:
    if expected.shape != found.shape:
        return float("inf")
    gap = np.abs(expected.astype(np.float64) - found.astype(np.float64))
    size = max(float(np.abs(expected.astype(np.float64)).max()), 1e-12)
    if expected.dtype.kind in "iu":  # a range of billions is wider than the steps of float32
        return float((gap > TOLERANCE * size).mean())
    return float(gap.max()) / size


def _dynamic(inputs: tuple[Tensor, ...]) -> Any:
    batch = torch.export.Dim("batch", min=1)
    return tuple({0: batch} for _ in inputs)


def _write_onnx(module: nn.Module, inputs: tuple[Tensor, ...], path: Path) -> None:
    torch.onnx.export(
        module,
        tuple(rows[:2] for rows in inputs),
        path,
        input_names=["observations", "states"][: len(inputs)],
        output_names=["actions", "next_states"][: len(inputs)],
        dynamic_shapes=_dynamic(inputs),
        dynamo=True,
        external_data=False,
        verbose=False,
    )


def _run_onnx(path: Path, *inputs: Tensor) -> Any:
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_inputs()]
    feeds = {name: rows.numpy() for name, rows in zip(names, inputs, strict=True)}
    found = session.run(None, feeds)
    return found[0] if len(found) == 1 else tuple(found)


def _write_program(module: nn.Module, inputs: tuple[Tensor, ...], path: Path) -> None:
    few = tuple(rows[:2] for rows in inputs)
    program = torch.export.export(module, few, dynamic_shapes=_dynamic(inputs))
    torch.export.save(program, path)


def _run_program(path: Path, *inputs: Tensor) -> Any:
    """Of a file that this process has just written, so reading it back is safe."""
    with torch.no_grad():
        found = torch.export.load(path).module()(*inputs)
    return found.numpy() if isinstance(found, Tensor) else tuple(part.numpy() for part in found)
