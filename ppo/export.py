"""A policy as a file that needs none of this package: normalization baked in, mode of the policy.

Raw flat observations [N, D] go in, actions in the environment's units come out. Every file is
checked against the policy that it was made from.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ppo.errors import RunError, UserError
from ppo.policy import Policy, load_policy

FORMATS = {"onnx": ".onnx", "torch_export": ".pt2"}
EXTRA = 'pip install -e ".[export]"'
CHECKED = 256  # random observations
TOLERANCE = 1e-4  # relative to the size of the actions
TIES = 0.01  # share of choices that rounding may turn


class Exported(NamedTuple):
    """A written file and how it was checked."""

    path: Path
    largest_difference: float  # of actions, or the share of choices that differ
    runtime: str  # what ran it for the check; "" where nothing here can
    inputs: tuple[int, ...]  # of one observation


class Deployed(nn.Module):
    """What is exported: observations to the policy's mode, with the statistics as constants."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.agent = policy.agent

    def forward(self, obs: Tensor) -> Tensor:
        distribution = self.agent.distribution
        return distribution.to_env(distribution.mode(self.agent.policy_params(obs)))


def export(
    run: str,
    results: Path,
    kind: str,
    path: Path | None = None,
    which: str = "best",
) -> Exported:
    """Writes the policy of a run and checks the file.

    Args:
        kind: onnx or torch_export.
        path: default: policy.onnx or policy.pt2 in the run's folder.

    Raises:
        UserError: no such run or format, or a package is missing.
        RunError: the file does not act as the policy does; it is deleted.
    """
    if kind not in FORMATS:
        raise UserError(f"--format {kind}: unknown; allowed: {', '.join(FORMATS)}")
    _need(("onnx", "onnxscript") if kind == "onnx" else ())
    policy = load_policy(run, results, which)
    path = path or _default_path(run, results, kind)
    if path.suffix != FORMATS[kind]:
        raise UserError(f"--data {path}: --format {kind} writes files that end in {FORMATS[kind]}")
    if not path.absolute().parent.is_dir():
        raise UserError(f"--data {path}: there is no folder {path.absolute().parent}")
    obs = random_observations(policy, CHECKED)
    module = Deployed(policy).eval()
    with torch.no_grad(), _quietly():
        (_write_onnx if kind == "onnx" else _write_program)(module, obs, path)
        expected = module(obs).numpy()
        found = (_run_onnx if kind == "onnx" else _run_program)(path, obs)
    runtime = {"onnx": "onnxruntime", "torch_export": "torch.export"}[kind]
    if found is None:
        return Exported(path, float("nan"), "", tuple(obs.shape[1:]))
    difference = _difference(expected, found)
    if not difference <= (TIES if expected.dtype.kind == "i" else TOLERANCE):
        path.unlink()
        raise RunError(f"{path}: its actions differ from the policy's by {difference:.3g}; deleted")
    return Exported(path, difference, runtime, tuple(obs.shape[1:]))


def _default_path(run: str, results: Path, kind: str) -> Path:
    from ppo.run_folder import RunFolder

    return RunFolder.open(results, run).path / f"policy{FORMATS[kind]}"


def _need(packages: tuple[str, ...]) -> None:
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"--format onnx needs the package {' and '.join(missing)}, which is not installed; "
            f"run: {EXTRA}"
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
    """Observations [N, D] as spread as those that the policy was trained on, and some far ones."""
    agent = policy.agent
    source = torch.Generator().manual_seed(0)
    known = agent.normalizer
    noise = torch.randn(count, agent.observation_size, generator=source)
    noise[: count // 8] *= 20.0
    std = known.exact_variance.sqrt().float()
    rows = known.exact_mean.float() + std * noise
    if known.squash == "symlog":
        rows = rows.sign() * rows.abs().expm1()
    return rows


def _difference(expected: np.ndarray, found: np.ndarray) -> float:
    if expected.shape != found.shape:
        return float("inf")
    if expected.dtype.kind == "i":
        return float((expected != found).mean())
    size = max(float(np.abs(expected).max()), 1e-12)
    return float(np.abs(expected - found).max()) / size


def _dynamic() -> Any:
    return ({0: torch.export.Dim("batch", min=1)},)


def _write_onnx(module: nn.Module, obs: Tensor, path: Path) -> None:
    torch.onnx.export(
        module,
        (obs[:2],),
        path,
        input_names=["observations"],
        output_names=["actions"],
        dynamic_shapes=_dynamic(),
        dynamo=True,
        external_data=False,
        verbose=False,
    )


def _run_onnx(path: Path, obs: Tensor) -> np.ndarray | None:
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"observations": obs.numpy()})[0]


def _write_program(module: nn.Module, obs: Tensor, path: Path) -> None:
    program = torch.export.export(module, (obs[:2],), dynamic_shapes=_dynamic())
    torch.export.save(program, path)


def _run_program(path: Path, obs: Tensor) -> np.ndarray:
    """Of a file that this process has just written, so reading it back is safe."""
    with torch.no_grad():
        return torch.export.load(path).module()(obs).numpy()
