"""Which device a run computes on."""

from __future__ import annotations

import os
from itertools import pairwise

import torch
from torch import nn

from ppo.algorithm.eyes import encoder_parts
from ppo.config import Config
from ppo.core.errors import UserError
from ppo.envs.base import Environments
from ppo.envs.simulator import SimulatorEnvironments

# From here on a gradient step should be faster on a GPU. Estimated: on an H200 the kernels of a
# small network's step take 0.6 ms one after the other, and a core takes 1.5 ms for so many.
LARGE = 2**21  # samples of a minibatch times weights between hidden layers
FEW_WEIGHTS = 2**20  # of a network that plays a few environments as fast on the CPU


def device_for(name: str) -> torch.device:
    """The device that `system.device` names; of `auto` the GPU where there is one.

    Raises:
        UserError: it is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type == "cuda" and not torch.cuda.is_available():
            raise RuntimeError("no CUDA device is available")
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        if reason.startswith("Expected one of"):  # all device types that torch has a name for
            reason = "no such kind of device"
        raise UserError(
            f"system.device: {name!r} cannot be used ({reason}); allowed: auto, cpu, "
            "cuda, cuda:0, ..."
        ) from None
    return device


def take_gpu(name: str) -> torch.device:
    """The device that `system.device` names, from here on torch's own where it is a GPU.

    What is captured as a CUDA graph is what runs on torch's own GPU. Of several processes on a
    machine each takes another one, by the number that torchrun gives it. Convolutions are made
    as exact as products, and repeatable: by torch's defaults they round to TF32, each by the shape
    of its batch, so that rollout and update see different policies.

    Raises:
        UserError: it is not there.
    """
    number = os.environ.get("LOCAL_RANK")
    if number is not None and name in ("auto", "cuda") and torch.cuda.is_available():
        torch.cuda.set_device(int(number) % torch.cuda.device_count())
    device = device_for(name)
    if device.type == "cuda":
        if device.index is not None:
            torch.cuda.set_device(device)
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.deterministic = True
    return device


def minibatch(config: Config) -> int:
    """Samples of a gradient step."""
    return config.env.num_envs * config.ppo.num_steps // config.ppo.num_minibatches


def multiplications(config: Config) -> int:
    """Of a gradient step: its samples times weights between hidden layers."""
    sizes = config.network.hidden_sizes
    return minibatch(config) * sum(a * b for a, b in pairwise([sizes[0], *sizes]))


def is_large(config: Config) -> bool:
    """Whether a gradient step has enough to do for a GPU."""
    return multiplications(config) >= LARGE


def for_few(
    config: Config, agent: nn.Module, envs: Environments, device: torch.device
) -> torch.device:
    """Where the policy of a run on `device` plays a few environments.

    A step of twenty waits for a GPU as long as one of thousands, so a small network plays on the
    CPU. Environments that chose their device themselves stay there.
    """
    seen = encoder_parts(config.network, [envs.layout])
    weights = sum(parameter.numel() for parameter in agent.parameters())
    stays = isinstance(envs, SimulatorEnvironments) or any(part.kind.sees_images for part in seen)
    return device if stays or weights > FEW_WEIGHTS else torch.device("cpu")
