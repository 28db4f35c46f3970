"""What an agent carries from one observation of an episode to the next: none, LSTM, GRU."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ppo.networks import MEMORIES
from ppo.networks.initialization import orthogonal_linear


class Memory(nn.Module):
    """A state [B, S], updated by each observation's features [B, F]; zero starts an episode.

    Args:
        num_features: F.
        size: `network.memory_size`.
        source: generator of the random numbers that layers start from.

    Attributes:
        num_states: S; 0 without memory.
        num_features: entries of the output.
    """

    num_states: int
    num_features: int

    def project(self, features: Tensor) -> Tensor:
        """The features' contribution [..., G]; needs no state, so all steps take one pass."""
        raise NotImplementedError

    def cell(self, projected: Tensor, state: Tensor) -> Tensor:
        """The next state [B, S] from `project`'s [B, G] and the state [B, S]."""
        raise NotImplementedError

    def read(self, state: Tensor) -> Tensor:
        """Output [..., H] of a state."""
        raise NotImplementedError

    def advance(self, features: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One observation: the output [B, H] and the next state [B, S]."""
        after = self.cell(self.project(features), state)
        return self.read(after), after

    def sequence(
        self, features: Tensor, states: Tensor | None, starts: Tensor | None, length: int
    ) -> Tensor:
        """Outputs [L * C, H] of C sequences of L observations, time-major.

        Args:
            features: [L * C, F].
            states: [L * C, S] before each observation, of which the first C are used; None: zero.
            starts: [L * C] bool, the observation begins an episode; not read in the first row,
                which `states` covers.
            length: L.
        """
        projected = self.project(features).unflatten(0, (length, -1))
        count = projected.shape[1]
        if states is None:
            states = torch.zeros(count, self.num_states, device=features.device)
        state, outputs = states[:count], []
        for step, part in enumerate(projected.unbind(0)):
            if step:
                assert starts is not None
                fresh = starts[step * count : (step + 1) * count].unsqueeze(-1)
                state = state.masked_fill(fresh, 0.0)
            state = self.cell(part, state)
            outputs.append(self.read(state))
        return torch.cat(outputs)


@MEMORIES.register("none")
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


@MEMORIES.register("lstm")
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


@MEMORIES.register("gru")
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
