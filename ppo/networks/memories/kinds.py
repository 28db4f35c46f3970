"""No memory, long short-term memory, gated recurrent units."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ppo.networks.initialization import orthogonal_linear
from ppo.networks.memories import REGISTRY
from ppo.networks.memories.base import Memory


@REGISTRY.register("none")
class NoMemory(Memory):
    """Features are what they are."""

    num_states = 0

    def __init__(self, num_features: int, size: int, source: torch.Generator) -> None:
        super().__init__()
        self.num_features = num_features

    def sequence(
        self, features: Tensor, states: Tensor | None, starts: Tensor | None, length: int
    ) -> Tensor:
        return features


class Gated(Memory):
    """Gates from features and state, orthogonal per gate, as in rows of one matrix."""

    num_gates: int

    def __init__(self, num_features: int, size: int, source: torch.Generator) -> None:
        super().__init__()
        self.size = self.num_features = size
        self.inputs = self._gates(num_features, source)
        self.recurrent = self._gates(size, source)

    def _gates(self, inputs: int, source: torch.Generator) -> nn.Linear:
        parts = [orthogonal_linear(inputs, self.size, 1.0, source) for _ in range(self.num_gates)]
        whole = nn.Linear(inputs, self.num_gates * self.size)
        with torch.no_grad():
            whole.weight.copy_(torch.cat([part.weight for part in parts]))
            whole.bias.zero_()
        return whole

    def project(self, features: Tensor) -> Tensor:
        return self.inputs(features)

    def read(self, state: Tensor) -> Tensor:
        return state[..., : self.size]


@REGISTRY.register("lstm")
class LSTM(Gated):
    """Hochreiter and Schmidhuber 1997 with forget gates (Gers et al. 2000); state [h, c].

    The forget gate starts with bias 1 (Jozefowicz et al. 2015).
    """

    num_gates = 4  # input, forget, cell, output: the order of torch.nn.LSTM

    def __init__(self, num_features: int, size: int, source: torch.Generator) -> None:
        super().__init__(num_features, size, source)
        self.num_states = 2 * size
        with torch.no_grad():
            self.inputs.bias[size : 2 * size] = 1.0

    def cell(self, projected: Tensor, state: Tensor) -> Tensor:
        hidden, kept = state.chunk(2, -1)
        enter, forget, fresh, leave = (projected + self.recurrent(hidden)).chunk(4, -1)
        kept = forget.sigmoid() * kept + enter.sigmoid() * fresh.tanh()
        return torch.cat([leave.sigmoid() * kept.tanh(), kept], -1)


@REGISTRY.register("gru")
class GRU(Gated):
    """Cho et al. 2014 (arXiv 1406.1078), with the reset gate after the product, as torch.nn.GRU."""

    num_gates = 3  # reset, update, new

    def __init__(self, num_features: int, size: int, source: torch.Generator) -> None:
        super().__init__(num_features, size, source)
        self.num_states = size

    def cell(self, projected: Tensor, state: Tensor) -> Tensor:
        from_features, from_state = projected.chunk(3, -1), self.recurrent(state).chunk(3, -1)
        reset = (from_features[0] + from_state[0]).sigmoid()
        update = (from_features[1] + from_state[1]).sigmoid()
        new = (from_features[2] + reset * from_state[2]).tanh()
        return new + update * (state - new)
