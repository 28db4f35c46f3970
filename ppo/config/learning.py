"""The settings of learning: the network, PPO, the balance of several losses, auxiliary losses."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ppo.config.section import (
    Count,
    Finite,
    Fraction,
    NonNegative,
    Options,
    OwnPart,
    Positive,
    Section,
    setting,
)


class NetworkConfig(Section):
    shared_encoder: bool = setting(True, "one encoder for actor and critic", common=True, auto=True)
    hidden_sizes: Annotated[list[Count], Field(min_length=1)] = setting(
        [64, 64], "width of each hidden layer", common=True, auto=True
    )
    critic_hidden_sizes: Annotated[list[Count], Field(min_length=1)] | None = setting(
        None, "width of each hidden layer of the critic (null = hidden_sizes)"
    )
    activation: Literal["tanh", "relu", "elu", "silu", "gelu"] = setting(
        "tanh", "nonlinearity between layers: tanh, relu, elu, silu, gelu", common=True
    )
    layer_norm: bool = setting(
        False, "layer normalization after each hidden layer", common=True, auto=True
    )
    encoder: Literal["auto", "mlp", "nature_cnn", "impala_cnn"] | OwnPart = setting(
        "auto",
        "mlp, nature_cnn, impala_cnn; auto: nature_cnn for images, else mlp",
        common=True,
        source="nature_cnn: Mnih et al. 2015; impala_cnn: Espeholt et al. 2018",
        imports=True,
    )
    encoder_kwargs: Options = setting({}, "options of an encoder of your own")
    image_features: Count = setting(512, "units of the last layer of a convolutional encoder")
    images: Literal["any", "uint8"] = setting(
        "any", "images that a convolutional encoder sees: of any type (floats, depth), or of uint8"
    )
    actor_keys: Annotated[list[str], Field(min_length=1)] | None = setting(
        None, "entries of a Dict observation that the actor sees (null = all)"
    )
    critic_keys: Annotated[list[str], Field(min_length=1)] | None = setting(
        None, "entries of a Dict observation that the critic sees (null = all)"
    )
    memory: Literal["none", "lstm", "gru"] | OwnPart = setting(
        "none",
        "none, lstm, gru; with memory a minibatch is whole environments",
        common=True,
        imports=True,
    )
    memory_kwargs: Options = setting({}, "options of a memory of your own")
    memory_size: Count = setting(64, "units of the memory")
    action_squash: Literal["clip", "tanh"] = setting(
        "clip", "how Gaussian actions are brought into their bounds"
    )
    initial_log_std: Finite = setting(
        0.0,
        "log standard deviation of the policy at the start, in normalized action units",
        auto=True,
    )


class PPOConfig(Section):
    learning_rate: Positive = setting(
        1e-3, "Adam step size", common=True, source="Kingma & Ba 2015", auto=True
    )
    learning_rate_schedule: Literal["constant", "linear", "kl"] = setting(
        "constant",
        "constant, linear (to 0 at the end), kl (follows ppo.target_kl)",
        common=True,
        source="kl: rsl_rl",
        auto=True,
    )
    critic_learning_rate: Positive | None = setting(
        None, "Adam step size of the parameters that only the critic has (null = ppo.learning_rate)"
    )
    num_steps: Count = setting(60, "steps per environment in a batch", common=True, auto=True)
    num_epochs: Count = setting(10, "passes over a batch", common=True, auto=True)
    num_minibatches: Count = setting(
        16, "equal parts of a batch, one gradient step each", common=True, auto=True
    )
    gamma: Fraction = setting(0.99, "discount factor", common=True)
    gamma_schedule: Literal["constant", "critic"] = setting(
        "constant",
        "critic: the horizon 1 / (1 - gamma) grows while the critic explains the returns, up to the"
        " length of the episodes, and while a contest of noises goes on",
        auto=True,
    )
    max_gamma: Fraction = setting(0.999, "largest discount factor of a schedule", auto=True)
    max_gamma_contest: Fraction = setting(
        0.999,
        "the same while a contest of noises goes on (ppo.noise: contest), where it is larger",
    )
    gae_lambda: Fraction = setting(
        0.95,
        "lambda of generalized advantage estimation",
        common=True,
        source="Schulman et al. 2016",
    )
    component_gammas: dict[str, Fraction] = setting(
        {}, "discount factors of named reward components (default: ppo.gamma)"
    )
    component_weights: dict[str, Finite] = setting(
        {}, "weights of named reward components in the advantage (default: 1)"
    )
    component_mixing: Literal["sum", "normalized"] = setting(
        "normalized",
        "normalized: each component's advantages get standard deviation 1 and are"
        " weighted; sum: components are added like one reward",
    )
    reward_scaling: Literal["none", "return_std"] = setting(
        "none",
        "return_std: divide rewards by the standard deviation of their discounted sum,"
        " like VecNormalize",
        source="Stable-Baselines3 VecNormalize",
    )
    clip_epsilon: Positive = setting(
        0.2,
        "clip range of the policy's probability ratio",
        common=True,
        auto=True,
        source="Schulman et al. 2017",
    )
    clip_schedule: Literal["constant", "linear"] = setting(
        "constant", "linear: the clip range falls to 0 at train.total_timesteps"
    )
    entropy_coefficient: Finite = setting(
        0.0, "weight of the entropy bonus", common=True, auto=True
    )
    noise: Literal["white", "pink", "contest"] = setting(
        "white",
        "noise of continuous actions: white, pink (lasts for several steps), contest of both once"
        " episodes reach their time limit",
        source="Eberhard et al. 2023; Hollenstein et al. 2024",
        auto=True,
    )
    max_grad_norm: Positive = setting(0.5, "largest gradient norm", common=True)
    clip_gradients: Literal["joint", "separate"] = setting(
        "joint", "separate: the parameters that only the critic has are clipped on their own"
    )
    target_kl: Annotated[float, Field(gt=0)] | None = setting(
        None,
        "target KL divergence; at 1.5 times its value a batch ends early (null = off)",
        common=True,
        source="Stable-Baselines3",
        auto=True,
    )
    normalize_advantages: Literal["minibatch", "batch", "global", "none"] = setting(
        "minibatch",
        "part whose advantages get standard deviation 1: minibatch, batch, global, none",
        common=True,
    )
    reward_outlier: Literal["report", "clip"] = setting(
        "report",
        "what to do about a reward far outside the others: report, or clip to the farthest"
        " other reward",
    )
    value_clip_epsilon: NonNegative = setting(
        0.2, "clip range of the critic's change, in the unit of its kind", common=True
    )
    use_relative_value_clip: bool = setting(
        True, "clip the critic's change as a share of its old value", common=True
    )
    value_clip: Literal["auto", "relative", "sigma", "absolute", "none"] | OwnPart = setting(
        "auto",
        "unit of the value clip; auto: relative or absolute, by ppo.use_relative_value_clip",
        imports=True,
    )
    value_clip_kwargs: Options = setting({}, "options of a value clip of your own")
    value_clip_form: Literal["pessimistic", "plain"] = setting(
        "pessimistic",
        "pessimistic: the larger of clipped and unclipped loss; plain: the clipped loss",
    )
    value_clip_floor: NonNegative = setting(
        1.0,
        "smallest |old value| of the relative clip, in standard deviations of the return"
        " (0 = no floor)",
    )
    normalize_returns: bool = setting(True, "train the critic on standardized returns", common=True)
    return_normalizer: (
        Literal["popart", "running", "batch", "symlog", "naive_batch_zscore_without_carrying_back"]
        | OwnPart
    ) = setting(
        "popart",
        "how the statistics of returns move; the naive kind is for experiments only",
        source="popart: van Hasselt et al. 2016; symlog: Hafner et al. 2023",
        imports=True,
    )
    return_normalizer_kwargs: Options = setting({}, "options of a return normalizer of your own")
    return_horizon: Annotated[float, Field(ge=1)] = setting(
        10.0, "batches that the statistics of returns remember"
    )
    return_scale: Positive = setting(
        10.0, "standard deviation given to the standardized returns", common=True
    )
    value_loss_weight: NonNegative = setting(0.25, "weight of the value loss", common=True)
    value_loss_unit: Literal["variance", "network"] = setting(
        "variance",
        "variance: value loss in variances of its targets; network: times return_scale squared",
    )
    value_loss: Literal["squared", "huber", "hl_gauss", "two_hot"] | OwnPart = setting(
        "squared",
        "meaning of the critic's output and measure of its error",
        source="huber: Huber 1964; hl_gauss: Farebrother et al. 2024; two_hot: Hafner et al. 2023",
        imports=True,
    )
    value_loss_kwargs: Options = setting({}, "options of a value loss of your own")

    @property
    def value_clip_kind(self) -> str:
        """The clip that `value_clip` and `use_relative_value_clip` together ask for."""
        if self.value_clip != "auto":
            return self.value_clip
        return "relative" if self.use_relative_value_clip else "absolute"

    @property
    def value_scale_kind(self) -> str:
        """The frame that `normalize_returns` and `return_normalizer` together ask for."""
        return self.return_normalizer if self.normalize_returns else "identity"


class BalancingConfig(Section):
    kind: (
        Literal[
            "fixed",
            "uncertainty",
            "running_mean",
            "running_mean_uncorrected",
            "batch_statistics",
            "target_variance",
            "curriculum",
            "adaptive",
            "gradient_norm",
        ]
        | OwnPart
    ) = setting(
        "fixed",
        "fixed, or how value and auxiliary losses are weighed automatically",
        common=True,
        source="uncertainty: Kendall et al. 2018; gradient_norm: Lin et al. 2023",
        imports=True,
    )
    kind_kwargs: Options = setting({}, "options of a balancer of your own")
    momentum: Fraction = setting(
        0.95, "momentum of moving means: running_mean, adaptive, gradient_norm"
    )
    warmup: Annotated[int, Field(ge=0)] = setting(
        10, "batches of plain means at the start: running_mean"
    )
    delay: NonNegative = setting(
        50.0, "batches before losses other than the first count: curriculum"
    )
    ramp: Positive = setting(100.0, "batches until those losses count in full: curriculum")


class AuxiliaryConfig(Section):
    trajectory_weight: NonNegative = setting(
        0.0,
        "weight of a loss that predicts the next observations from the features and the"
        " actions taken",
    )
    trajectory_horizon: Count = setting(5, "observations ahead that the trajectory loss predicts")
    time_to_end_weight: NonNegative = setting(
        0.0, "weight of a loss that predicts when the episode ends"
    )
    time_to_end_horizon: Count = setting(100, "steps ahead beyond which an end counts as far")
    time_to_end_outputs: Literal["scalar", "per_step"] = setting(
        "scalar", "one number, or one output per step ahead"
    )
    success_weight: NonNegative = setting(
        0.0, "weight of a loss that predicts whether the episode ends in success"
    )
    losses: list[OwnPart] = setting(
        [], "losses of your own, as package.module:Class (imports that module)", imports=True
    )
    losses_kwargs: dict[str, Options] = setting(
        {}, "weight and options of your own losses, by the name of the class"
    )
