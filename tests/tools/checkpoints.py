"""Content of checkpoints, for the tests of their files."""

from __future__ import annotations

import torch


def tensors(seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {"agent.weight": torch.randn(8, 5, generator=generator), "step": torch.tensor(seed)}
