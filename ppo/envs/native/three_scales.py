"""ThreeScales-v0 on tensors: DoubleIntegrator with three reward components of any sizes."""

from __future__ import annotations

import torch
from torch import Tensor

from ppo.envs.native import REGISTRY
from ppo.envs.native.double_integrator import DoubleIntegrator
from ppo.envs.tasks.raw_inputs import EQUAL_SIZES, SCALED_COMPONENTS


@REGISTRY.register("ThreeScales-v0")
class ThreeScales(DoubleIntegrator):
    """The components terminal, progress and control_effort, each times its scale."""

    component_names = SCALED_COMPONENTS

    def __init__(self, scales: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> None:
        super().__init__()
        if len(scales) != 3:
            raise TypeError(f"scales: three numbers are needed, not {scales}")
        self.factors = [size * scale for size, scale in zip(EQUAL_SIZES, scales, strict=True)]

    def rewards(self, state: Tensor, actions: Tensor, next_state: Tensor, ends: Tensor) -> Tensor:
        progress, effort, precision, bonus = (
            super().rewards(state, actions, next_state, ends).unbind(1)
        )
        parts = (precision + bonus, progress, effort)
        return torch.stack([f * p for f, p in zip(self.factors, parts, strict=True)], 1)
