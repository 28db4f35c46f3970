"""The network: normalizer, encoders, memories, policy head and one value head per component."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ppo.core.data import Prediction
from ppo.core.errors import UserError
from ppo.core.layout import Layout
from ppo.networks import packing
from ppo.networks.encoders.base import Encoder
from ppo.networks.groups import Group
from ppo.networks.initialization import orthogonal_linear
from ppo.networks.memory import Memory
from ppo.networks.normalizer import ObservationNormalizer

RULED_OUT = -1e8  # logit of an action that the mask rules out; its probability is exactly 0


class Eye(NamedTuple):
    """What the actor or the critic sees, and how the encoder of that is made."""

    group: Group
    make_encoder: Callable[[], Encoder]


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
        eyes: the actor's and the critic's; of a shared encoder they are equal.
        make_memory: number of features -> a memory.
        source: generator of the heads' random numbers.

    Raises:
        UserError: torch's default dtype is not float32, that of observations and statistics.
    """

    def __init__(
        self,
        layout: Layout,
        distribution: Any,
        num_components: int,
        normalizer: ObservationNormalizer,
        value_head: Any,
        shared: bool,
        eyes: tuple[Eye, Eye],
        make_memory: Callable[[int], Memory],
        source: torch.Generator,
    ) -> None:
        super().__init__()
        if torch.get_default_dtype() != torch.float32:
            raise UserError(
                f"torch.set_default_dtype: {torch.get_default_dtype()} is in force, set by the "
                "environment or the script; networks are made in float32: set it back before"
            )
        if torch.get_default_device().type != "cpu":
            raise UserError(
                f"torch.set_default_device: {torch.get_default_device()} is in force, set by the "
                "environment or the script; set it back to cpu, and write system.device"
            )
        self.layout, self.shared = layout, shared
        self.precision = torch.float32  # of the encoders
        self.normalizer = normalizer
        self.distribution = distribution
        self.value_head = value_head
        self.num_components = num_components
        self.actor_group, self.critic_group = (eye.group for eye in eyes)
        # The order of these lines fixes which random numbers each layer gets.
        if shared:
            self.encoder = encoder = eyes[0].make_encoder()
            self.memory = own = memory = make_memory(encoder.num_features)
        else:
            self.actor_encoder = eyes[0].make_encoder()
            self.critic_encoder = encoder = eyes[1].make_encoder()
            self.actor_memory = own = make_memory(self.actor_encoder.num_features)
            self.critic_memory = memory = make_memory(encoder.num_features)
        self.state_sizes = [own.num_states] if shared else [own.num_states, memory.num_states]
        self.num_states = sum(self.state_sizes)  # S
        # Features and observations of the critic are those that auxiliary losses read and predict.
        self.num_features = memory.num_features
        seen = self.critic_group.layout
        self.predicts_vectors = encoder.sees_images
        self.observation_size = seen.num_vector if encoder.sees_images else encoder.numbers(seen)[0]
        self.bounded_features = encoder.bounded and not self.num_states
        # A small gain starts the policy near uniform (Andrychowicz et al. 2021, decision C57).
        self.actor = orthogonal_linear(own.num_features, distribution.num_params, 0.01, source)
        # A zero head predicts 0 for every reward scale, which exactness needs.
        self.critic = nn.Linear(self.num_features, num_components * value_head.num_outputs)
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
        own, critics = self._parts(states)
        for_actor = self._actors_memory.sequence(self._for_actor(inputs, obs), own, starts, length)
        for_critic = for_actor
        if not self.shared:
            features = self._for_critic(inputs, obs)
            for_critic = self.critic_memory.sequence(features, critics, starts, length)
        output = self._values(for_critic)
        policy = self._masked(self.actor(for_actor), obs)
        return Prediction(policy, output, self.value_head.decode(output), for_critic)

    def values_norm(self, obs: Tensor, states: Tensor | None = None) -> Tensor:
        """Values in network units, [B, K], of observations on their own."""
        own, critics = self._parts(states)
        features = self._for_critic(self.normalizer(obs), obs)
        memory, part = (self.memory, own) if self.shared else (self.critic_memory, critics)
        return self.value_head.decode(self._values(memory.sequence(features, part, None, 1)))

    def policy_params(self, obs: Tensor, states: Tensor | None = None) -> Tensor:
        """Parameters of the action distribution, [B, P]: all that acting needs."""
        own, _ = self._parts(states)
        features = self._for_actor(self.normalizer(obs), obs)
        features = self._actors_memory.sequence(features, own, None, 1)
        return self._masked(self.actor(features), obs)

    def act(self, obs: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Parameters of the action distribution [B, P], and with memory the states [B, S] after.

        Args:
            states: nothing without memory, else one tensor [B, S].
        """
        if not states:
            return (self.policy_params(obs),)
        inputs = self.normalizer(obs)
        own, critics = self._parts(states[0])
        params, own = self._advance(inputs, obs, own)
        if self.shared:
            return params, own
        _, critics = self.critic_memory.advance(self._for_critic(inputs, obs), critics)
        return params, torch.cat([own, critics], -1)

    def act_alone(self, obs: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
        """As `act`, with the actor's states [B, state_sizes[0]] and without the critic."""
        return self._advance(self.normalizer(obs), obs, own)

    def _advance(self, inputs: Tensor, obs: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
        output, after = self._actors_memory.advance(self._for_actor(inputs, obs), own)
        return self._masked(self.actor(output), obs), after

    def predicted(self, obs: Tensor) -> Tensor:
        """[B, observation_size]: what the critic sees, normalized, without images seen as such."""
        entries = self.critic_group(self.normalizer(obs))
        if not self.predicts_vectors:
            return entries
        return packing.vectors(entries, self.critic_group.layout)

    @property
    def _actors_memory(self) -> Memory:
        return self.memory if self.shared else self.actor_memory

    def _for_actor(self, inputs: Tensor, obs: Tensor) -> Tensor:
        encoder = self.encoder if self.shared else self.actor_encoder
        return self._encoded(encoder, self.actor_group(inputs), obs)

    def _for_critic(self, inputs: Tensor, obs: Tensor) -> Tensor:
        encoder = self.encoder if self.shared else self.critic_encoder
        return self._encoded(encoder, self.critic_group(inputs), obs)

    def _encoded(self, encoder: Encoder, numbers: Tensor, obs: Tensor) -> Tensor:
        """Features in float32, whatever the encoder computes in: heads and memories stay exact."""
        if self.precision == torch.float32:
            return encoder(numbers, obs)
        # Casts are not cached: the compiled gradient step differentiates a function of the weights.
        with torch.autocast(numbers.device.type, self.precision, cache_enabled=False):
            return encoder(numbers, obs).float()

    def initial_states(self, count: int) -> tuple[Tensor, ...]:
        """What `act` takes at the start of episodes."""
        if not self.num_states:
            return ()
        return (torch.zeros(count, self.num_states, device=self.actor.weight.device),)

    def _parts(self, states: Tensor | None) -> tuple[Any, Any]:
        """The actor's and the critic's share of states."""
        if states is None or self.shared:
            return states, None
        own, critics = states.split(self.state_sizes, -1)
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
