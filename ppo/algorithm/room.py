"""Whether a batch can fit into the machine at all, before the memory is gone."""

from __future__ import annotations

import math
from itertools import pairwise

from ppo.algorithm.eyes import encoder_kind
from ppo.config import Config, NetworkConfig
from ppo.core.errors import UserError
from ppo.core.figures import compact
from ppo.core.layout import Layout
from ppo.core.memory import most_memory

ENVIRONMENT = 1000  # bytes, at least, of one that is an object of Python (Pendulum-v1: 1,900)
CONVOLUTION = 8192  # bytes, at least, that the first layer makes of an image
NUMBER = 4  # bytes


def refuse_too_large(
    config: Config,
    num_envs: int,
    in_python: bool,
    layout: Layout | None = None,
    components: int = 1,
) -> None:
    """Ends what cannot fit; what might is left to try, for this counts no more than must be there.

    All of a rollout are held at once: observations, the policy's noise, parameters and actions,
    rewards and successes; beside them what one layer of the critic makes of all observations, and
    later log-probabilities, and per component scaled rewards, values, next values, advantages and
    returns.

    Args:
        num_envs: of this process.
        in_python: whether each environment is an object of Python.
        layout: of an observation; None: nobody knows yet.
        components: of the reward, at least.

    Raises:
        UserError: the machine has less memory than that.
    """
    steps, row = config.ppo.num_steps, NUMBER
    if layout is not None:
        row = math.prod(layout.shape) * (1 if layout.is_bytes else NUMBER)
    played = steps * (row + NUMBER * (4 + components))
    learned = steps * NUMBER * (1 + 5 * components)
    passed = (steps + 1) * _of_layers(config.network, layout)
    if config.system.precision == "bfloat16":
        passed //= 2
    each = played + max(learned, passed) + 2 * row + ENVIRONMENT * in_python
    have = most_memory()
    if num_envs * each <= have:
        return
    fit = int(have / each)
    most = (
        f"at most {fit:,} environments of so many steps could fit" if fit else "write fewer steps"
    )
    needed, plural = compact(num_envs * each), "s" * (steps != 1)
    raise UserError(
        f"env.num_envs: {num_envs:,} environments x {steps:,} step{plural} (ppo.num_steps) take "
        f"{needed} bytes of memory at least, and this machine has {compact(have)}; {most}"
    )


def _of_layers(network: NetworkConfig, layout: Layout | None) -> int:
    """Bytes of a row within the critic, at least: what one hidden layer takes and gives."""
    sizes = network.critic_hidden_sizes or network.hidden_sizes
    dense = NUMBER * max([sizes[0], *(first + second for first, second in pairwise(sizes))])
    if layout is None:
        return {"mlp": dense, "auto": min(dense, CONVOLUTION)}.get(network.encoder, 0)
    return dense if encoder_kind(network, layout) == "mlp" else 0
