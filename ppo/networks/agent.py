"""The network: normalizer, encoders, memories, policy head and one value head per component."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ppo.core.data import Prediction
from ppo.core.layout import Layout
from ppo.networks import packing
from ppo.networks.encoders.base import Encoder
from ppo.networks.initialization import orthogonal_linear
from ppo.networks.memory import Memory
from ppo.networks.normalizer import ObservationNormalizer

RULED_OUT = -1e8  # logit of an action that the mask rules out; its probability is exactly 0


class Agent(nn.Module):
    """Raw observations in, `Prediction` out.

    With memory, the state [B, S] holds what came before an observation: zero at the start of an
    episode, updated by `act` or `advance`. Without memory, S is 0 and states are None.

    Args:
        layout: layout of an observation's row.
        num_components: K, one value head each.
        normalizer: maps raw observations to network inputs [B, D].
        value_head: decodes the critic's raw output, with `num_outputs` entries per component; a
            ValueHead, of a room that this one does not import.
        shared: whether actor and critic share encoder and memory.
        make_encoder: () -> an encoder. make_memory: number of features -> a memory.
        source: generator of the heads' random numbers.
    """

    def __init__(
        self,
        layout: Layout,
        distribution: Any,
        num_components: int,
        normalizer: ObservationNormalizer,
        value_head: Any,
        shared: bool,
        make_encoder: Callable[[], Encoder],
        make_memory: Callable[[int], Memory],
        source: torch.Generator,
    ) -> None:
        super().__init__()
        self.layout, self.shared = layout, shared
        self.normalizer = normalizer
        self.distribution = distribution
        self.value_head = value_head
        self.num_components = num_components
        # The order of these lines fixes which random numbers each layer gets.
        if shared:
            self.encoder = encoder = make_encoder()
            self.memory = memory = make_memory(encoder.num_features)
        else:
            self.actor_encoder = encoder = make_encoder()
            self.critic_encoder = make_encoder()
            self.actor_memory = memory = make_memory(encoder.num_features)
            self.critic_memory = make_memory(encoder.num_features)
        width = memory.num_features
        self.num_states = memory.num_states * (1 if shared else 2)  # S
        self.num_features, self.observation_size = width, normalizer.mean.shape[0]
        self.bounded_features = encoder.bounded and not self.num_states
        # A small gain starts the policy near uniform (Andrychowicz et al. 2021, decision C57).
        self.actor = orthogonal_linear(width, distribution.num_params, 0.01, source)
        # A zero head predicts 0 for every reward scale, which exactness needs.
        self.critic = nn.Linear(width, num_components * value_head.num_outputs)
        nn.init.zeros_(self.critic.weight)
        nn.init.zeros_(self.critic.bias)

    def forward(
        self,
        obs: Tensor,
        states: Tensor | None = None,
        starts: Tensor | None = None,
        length: int = 1,
    ) -> Prediction:
        """Prediction for B observations.

        Args:
            obs: [B, ...], sequences of `length` in time-major order.
            states: [B, S] before each observation; None: all begin an episode.
            starts: [B] bool, the observation begins an episode (needed where length > 1).
        """
        inputs = self.normalizer(obs)
        if self.shared:
            features = self.encoder(inputs, obs)
            for_actor = for_critic = self.memory.sequence(features, states, starts, length)
        else:
            for_actor, for_critic = (
                memory.sequence(encoder(inputs, obs), part, starts, length)
                for encoder, memory, part in zip(
                    (self.actor_encoder, self.critic_encoder),
                    (self.actor_memory, self.critic_memory),
                    self._parts(states),
                    strict=True,
                )
            )
        output = self._values(for_critic)
        policy = self._masked(self.actor(for_actor), obs)
        return Prediction(policy, output, self.value_head.decode(output), for_critic)

    def values_norm(self, obs: Tensor, states: Tensor | None = None) -> Tensor:
        """Values in network units, [B, K], of observations on their own."""
        inputs = self.normalizer(obs)
        if self.shared:
            features = self.memory.sequence(self.encoder(inputs, obs), states, None, 1)
        else:
            features = self.critic_encoder(inputs, obs)
            features = self.critic_memory.sequence(features, self._parts(states)[1], None, 1)
        return self.value_head.decode(self._values(features))

    def policy_params(self, obs: Tensor, states: Tensor | None = None) -> Tensor:
        """Parameters of the action distribution, [B, P]: all that acting needs."""
        inputs = self.normalizer(obs)
        if self.shared:
            features = self.memory.sequence(self.encoder(inputs, obs), states, None, 1)
        else:
            features = self.actor_encoder(inputs, obs)
            features = self.actor_memory.sequence(features, self._parts(states)[0], None, 1)
        return self._masked(self.actor(features), obs)

    def act(self, obs: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Parameters of the action distribution [B, P], and with memory the states [B, S] after.

        Args:
            states: nothing without memory, else one tensor [B, S].
        """
        if not states:
            return (self.policy_params(obs),)
        inputs = self.normalizer(obs)
        if self.shared:
            output, after = self.memory.advance(self.encoder(inputs, obs), states[0])
            return self._masked(self.actor(output), obs), after
        own, critics = self._parts(states[0])
        output, own = self.actor_memory.advance(self.actor_encoder(inputs, obs), own)
        _, critics = self.critic_memory.advance(self.critic_encoder(inputs, obs), critics)
        return self._masked(self.actor(output), obs), torch.cat([own, critics], -1)

    def initial_states(self, count: int) -> tuple[Tensor, ...]:
        """What `act` takes at the start of episodes."""
        if not self.num_states:
            return ()
        return (torch.zeros(count, self.num_states, device=self.actor.weight.device),)

    def _parts(self, states: Tensor | None) -> tuple[Any, Any]:
        """The actor's and the critic's share of states."""
        if states is None:
            return None, None
        own, critics = states.chunk(2, -1)
        return own, critics

    def _values(self, features: Tensor) -> Tensor:
        output = self.critic(features)
        return output.view(output.shape[0], self.num_components, self.value_head.num_outputs)

    def _masked(self, params: Tensor, obs: Tensor) -> Tensor:
        """Logits without those that the rows' masks rule out."""
        valid = packing.mask(obs, self.layout)
        return params if valid is None else params.masked_fill(~valid, RULED_OUT)

    def shared_names(self) -> set[str]:
        """Names of the parameters that actor and critic share."""
        if not self.shared:
            return set()
        parts = {"encoder": self.encoder, "memory": self.memory}
        return {
            f"{part}.{name}" for part, module in parts.items()
            for name, _ in module.named_parameters()
        }  # fmt: skip
