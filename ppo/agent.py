"""The network: observation normalizer, encoders, policy head and one value head per component."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ppo.config import NetworkConfig
from ppo.data import Prediction


class Tanh(nn.Tanh):
    """The hyperbolic tangent; compiled for a CPU, `1 - 2 / (exp(2x) + 1)`.

    There it costs a third of the library's tanh, which takes longer than the matrix products of a
    64 wide network. The absolute error is that of float32 rounding; beyond 15 all of it is 1.
    """

    def forward(self, input: Tensor) -> Tensor:
        if torch.compiler.is_dynamo_compiling() and input.device.type == "cpu":
            return 1.0 - 2.0 / ((2.0 * input.clamp(-15.0, 15.0)).exp() + 1.0)
        return input.tanh()


ACTIVATIONS = {"tanh": Tanh, "relu": nn.ReLU, "elu": nn.ELU, "silu": nn.SiLU, "gelu": nn.GELU}


def orthogonal_linear(inputs: int, outputs: int, gain: float, source: torch.Generator) -> nn.Linear:
    """A linear layer with orthogonal weights of this gain and zero bias."""
    layer = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(layer.weight, gain, generator=source)
    nn.init.zeros_(layer.bias)
    return layer


def encoder(inputs: int, config: NetworkConfig, source: torch.Generator) -> nn.Sequential:
    """Hidden layers with orthogonal initialization of gain sqrt(2)."""
    layers: list[nn.Module] = []
    for width in config.hidden_sizes:
        layers.append(orthogonal_linear(inputs, width, math.sqrt(2.0), source))
        if config.layer_norm:
            layers.append(nn.LayerNorm(width))
        layers.append(ACTIVATIONS[config.activation]())
        inputs = width
    return nn.Sequential(*layers)


class Agent(nn.Module):
    """Raw observations in, `Prediction` out.

    Args:
        observation_size: D, entries of a flat observation.
        num_components: K, one value head each.
        normalizer: maps raw observations to network inputs.
        value_head: decodes the critic's raw output, with `num_outputs` entries per component.
    """

    def __init__(
        self,
        observation_size: int,
        distribution: Any,
        num_components: int,
        normalizer: Any,
        value_head: Any,
        config: NetworkConfig,
        source: torch.Generator,
    ) -> None:
        super().__init__()
        width = config.hidden_sizes[-1]
        self.normalizer = normalizer
        self.distribution = distribution
        self.value_head = value_head
        self.num_components = num_components
        self.shared = config.shared_encoder
        self.num_features, self.observation_size = width, observation_size
        self.bounded_features = config.activation == "tanh"
        # The order of these lines fixes which random numbers each layer gets.
        if self.shared:
            self.encoder = encoder(observation_size, config, source)
        else:
            self.actor_encoder = encoder(observation_size, config, source)
            self.critic_encoder = encoder(observation_size, config, source)
        # A small gain starts the policy near uniform (Andrychowicz et al. 2021, decision C57).
        self.actor = orthogonal_linear(width, distribution.num_params, 0.01, source)
        # A zero head predicts 0 for every reward scale, which exactness needs.
        self.critic = nn.Linear(width, num_components * value_head.num_outputs)
        nn.init.zeros_(self.critic.weight)
        nn.init.zeros_(self.critic.bias)

    def encode(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Features [B, F] for the actor and for the critic."""
        inputs = self.normalizer(obs)
        if self.shared:
            features = self.encoder(inputs)
            return features, features
        return self.actor_encoder(inputs), self.critic_encoder(inputs)

    def forward(self, obs: Tensor) -> Prediction:
        for_actor, for_critic = self.encode(obs)
        output = self.critic(for_critic)
        output = output.view(output.shape[0], self.num_components, self.value_head.num_outputs)
        return Prediction(self.actor(for_actor), output, self.value_head.decode(output), for_critic)

    def values_norm(self, obs: Tensor) -> Tensor:
        """Values in network units, [B, K]."""
        inputs = self.normalizer(obs)
        features = self.encoder(inputs) if self.shared else self.critic_encoder(inputs)
        output = self.critic(features)
        return self.value_head.decode(
            output.view(output.shape[0], self.num_components, self.value_head.num_outputs)
        )

    def policy_params(self, obs: Tensor) -> Tensor:
        """Parameters of the action distribution, [B, P]: all that acting needs."""
        inputs = self.normalizer(obs)
        return self.actor(self.encoder(inputs) if self.shared else self.actor_encoder(inputs))

    def shared_names(self) -> set[str]:
        """Names of the parameters that actor and critic share."""
        return (
            {f"encoder.{name}" for name, _ in self.encoder.named_parameters()}
            if self.shared
            else set()
        )
