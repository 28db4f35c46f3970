"""Interface of every memory."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Memory(nn.Module):
    """A state [B, S], updated by each observation's features [B, F]; zero starts an episode.

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
