"""The typed tree of settings. Each part receives its own section and nothing else.

The descriptions below are the comments of config.yaml, which `Config().to_yaml()` writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ppo.config import file as settings_file
from ppo.config.consistency import check_together

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Section(BaseModel):
    """A group of settings: unknown keys are refused, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


def setting(default: Any, description: str) -> Any:
    """A field with its one-line comment."""
    return Field(default, description=description)


class EnvConfig(Section):
    id: str = setting(
        "DoubleIntegrator-v0", "Gymnasium id, or package.module:EnvId (imports that module)"
    )
    num_envs: Count = setting(256, "environments stepped side by side")
    backend: Literal["auto", "sync", "async", "vector", "torch"] = setting(
        "auto", "auto picks the fastest that gives the same data; torch: on the training device"
    )
    kwargs: dict[str, Any] = setting({}, "arguments of the environment's constructor")
    reward_scale: Positive = setting(
        1.0, "multiplies the rewards, for experiments; reports stay unscaled"
    )
    normalize_observations: bool = setting(
        True, "running mean and deviation of observations, saved with the policy"
    )
    observation_clip: Positive = setting(
        10.0, "normalized observations are clipped to this many deviations"
    )
    observation_scale: Literal["deviation", "tails"] = setting(
        "deviation", "what normalizing divides by; tails: more where rare values are large"
    )
    squash_observations: Literal["none", "symlog"] = setting(
        "none", "symlog: tame heavy tails before normalizing"
    )
    calibration_steps: Annotated[int, Field(ge=0)] = setting(
        64, "steps per environment that set the first observation statistics, before batch 0"
    )
    action_masks: Literal["auto", "never"] = setting(
        "auto", "auto: never take an action that the environment's action mask rules out"
    )
    frame_stack: Annotated[int, Field(ge=1, le=64)] = setting(
        1, "the last so many observations as one; 1: as the environment gives them"
    )
    workers: Annotated[int, Field(ge=0)] = setting(
        0, "processes of the async backend; 0: one per core"
    )
    step_timeout: Positive = setting(
        60.0, "seconds before an environment that does not answer is replaced"
    )
    reset_timeout: Positive = setting(300.0, "the same for the first reset")
    on_error: Literal["stop", "restart"] = setting(
        "stop", "an exception in an environment: stop, or cut the episode"
    )
    on_nonfinite: Literal["stop", "reset"] = setting(
        "stop", "NaN or infinity from an environment: stop, or cut the episode"
    )


class NetworkConfig(Section):
    shared_encoder: bool = setting(True, "actor and critic share their encoder")
    hidden_sizes: Annotated[list[Count], Field(min_length=1)] = setting(
        [64, 64], "width of each hidden layer"
    )
    activation: Literal["tanh", "relu", "elu", "silu", "gelu"] = setting("tanh", "between layers")
    layer_norm: bool = setting(False, "layer normalization after each hidden layer")
    encoder: Literal["auto", "mlp", "nature_cnn", "impala_cnn"] = setting(
        "auto", "auto: nature_cnn for images of at least 36 pixels on a side, else mlp"
    )
    image_features: Count = setting(512, "units of the last layer of a convolutional encoder")
    image_channels: Count = setting(1, "multiplies the widths of impala_cnn: 16, 32, 32")
    memory: Literal["none", "lstm", "gru"] = setting(
        "none", "what actor and critic remember of an episode; a minibatch is whole environments"
    )
    memory_size: Count = setting(64, "units of the memory")
    action_squash: Literal["clip", "tanh"] = setting(
        "clip", "how Gaussian actions are brought into their bounds"
    )
    initial_log_std: Finite = setting(
        0.0, "log deviation of the policy at the start, in normalized action units"
    )
    state_dependent_std: bool = setting(
        False, "the network adds to the log deviation of each action, as the state asks for"
    )


class PPOConfig(Section):
    learning_rate: Positive = setting(1e-3, "of Adam")
    learning_rate_schedule: Literal["constant", "linear", "kl"] = setting(
        "constant", "linear: falls to 0 at train.total_timesteps; kl: follows ppo.target_kl"
    )
    critic_learning_rate: Positive | None = setting(
        None, "of what only the critic has; null: ppo.learning_rate"
    )
    adam_epsilon: NonNegative = setting(1e-5, "of Adam; gradients are unit-free, so it is too")
    num_steps: Count = setting(60, "steps per environment in a batch")
    num_epochs: Count = setting(10, "passes over a batch")
    num_minibatches: Count = setting(16, "parts of a batch, one gradient step each")
    gamma: Fraction = setting(0.99, "discount; the least one of a schedule")
    gamma_schedule: Literal["constant", "critic", "episode_length"] = setting(
        "constant",
        "critic: the horizon 1 / (1 - gamma) grows while the critic explains the returns, as far as"
        " episodes are long; episode_length: as far as these",
    )
    max_gamma: Fraction = setting(0.999, "largest discount of a schedule")
    episode_horizon: Positive = setting(
        1.0, "longest horizon of a schedule, in mean lengths of the last episodes"
    )
    horizon_explained_variance: Finite = setting(
        0.9, "explained variance above which the critic's horizon grows; below it shrinks"
    )
    gae_lambda: Fraction = setting(0.95, "of generalized advantage estimation")
    critic_gae_lambda: Fraction | None = setting(
        None, "the same for the critic's targets; null: ppo.gae_lambda"
    )
    recompute_advantages: bool = setting(
        False, "advantages anew before each epoch, with the critic as it is then"
    )
    value_epochs: Annotated[int, Field(ge=0)] = setting(
        0, "further passes that train the critic alone"
    )
    component_gammas: dict[str, Fraction] = setting(
        {}, "discounts of named reward components; else ppo.gamma"
    )
    component_weights: dict[str, Finite] = setting(
        {}, "weights of named reward components in the advantage; else 1"
    )
    component_mixing: Literal["sum", "normalized"] = setting(
        "normalized",
        "normalized: each component's advantage to deviation 1, then weighted; sum: as one reward",
    )
    reward_scaling: Literal["none", "return_std"] = setting(
        "none",
        "return_std: divide rewards by the deviation of their discounted sum, as VecNormalize",
    )
    clip_epsilon: Positive = setting(0.2, "of the policy's probability ratio")
    clip_schedule: Literal["constant", "linear"] = setting(
        "constant", "linear: falls to 0 at train.total_timesteps"
    )
    entropy_coefficient: Finite = setting(0.0, "weight of the entropy bonus")
    noise_color: Annotated[float, Field(ge=0, le=4)] = setting(
        0.0, "of continuous actions' noise, power 1 / frequency^color: 0 white, 1 pink, 2 red"
    )
    noise_color_share: Fraction = setting(
        1.0, "share of the environments whose noise has that color; the others' is white"
    )
    noise_color_schedule: Literal["constant", "linear", "contest"] = setting(
        "constant",
        "linear: that share falls to 0 at train.total_timesteps; contest: it begins at a half and"
        " follows whose episodes reach higher",
    )
    noise_color_when: Literal["always", "survived"] = setting(
        "always", "survived: white unless most of the last episodes reached their time limit"
    )
    max_grad_norm: Positive = setting(0.5, "gradients are scaled down to this norm")
    clip_gradients: Literal["joint", "separate"] = setting(
        "joint", "separate: what only the critic has is clipped on its own"
    )
    critic_weight_decay: NonNegative = setting(
        0.0, "decoupled decay of what only the critic has, but its output layer"
    )
    feature_regularization: NonNegative = setting(
        0.0, "weight of the features' movement within a batch (PFO)"
    )
    target_kl: Annotated[float, Field(gt=0)] | None = setting(
        None, "stop a batch's updates above 1.5 times this, or what the rate follows; null: never"
    )
    normalize_advantages: Literal["minibatch", "batch", "percentile", "none"] = setting(
        "minibatch",
        "over what advantages get mean 0, deviation 1; percentile: divided by a range of returns",
    )
    advantage_floor: NonNegative = setting(
        0.0, "least deviation of advantages, in deviations of the return"
    )
    reward_outlier: Literal["report", "clip"] = setting(
        "report", "what to do about a reward far outside the others"
    )
    reward_outlier_limit: Positive = setting(
        1000.0, "robust deviations from the median that make an outlier"
    )
    value_clip_epsilon: NonNegative = setting(
        0.2, "width of the value clip, in the unit of its kind"
    )
    use_relative_value_clip: bool = setting(
        True, "clip the critic's change as a share of its old value"
    )
    value_clip: Literal["auto", "relative", "sigma", "absolute", "none"] = setting(
        "auto", "auto: relative or absolute by use_relative_value_clip"
    )
    value_clip_form: Literal["pessimistic", "plain"] = setting(
        "pessimistic",
        "pessimistic: the larger of clipped and unclipped loss; plain: the clipped one",
    )
    value_clip_floor: NonNegative = setting(
        1.0, "least |old value| of the relative clip, in deviations of the return; 0: literal"
    )
    normalize_returns: bool = setting(True, "train the critic on standardized returns")
    return_normalizer: Literal[
        "popart", "running", "batch", "symlog", "naive_batch_zscore_without_carrying_back"
    ] = setting(
        "popart", "how the return's frame moves; the naive kind is for the experiment alone"
    )
    return_horizon: Annotated[float, Field(ge=1)] = setting(
        10.0, "batches that the return's statistics remember"
    )
    return_scale: Positive = setting(10.0, "standard deviation given to the standardized returns")
    value_loss_weight: NonNegative = setting(0.25, "weight of the value loss")
    value_loss_unit: Literal["variance", "network"] = setting(
        "variance",
        "variance: loss in variances of its targets; network: times return_scale squared",
    )
    value_loss: Literal["squared", "huber", "hl_gauss", "two_hot"] = setting(
        "squared", "what the critic's output means and how its error is measured"
    )
    value_bins: Annotated[int, Field(ge=3, le=1001)] = setting(101, "bins of hl_gauss and two_hot")
    huber_delta: Positive = setting(
        1.0, "deviations of the target where the Huber loss turns linear"
    )


class BalancingConfig(Section):
    kind: Literal[
        "fixed",
        "uncertainty",
        "running_mean",
        "running_mean_uncorrected",
        "batch_statistics",
        "target_variance",
        "curriculum",
        "adaptive",
        "gradient_norm",
    ] = setting("fixed", "how value and auxiliary losses are weighed; the policy loss never is")
    momentum: Fraction = setting(0.95, "of moving means: running_mean, adaptive, gradient_norm")
    warmup: Annotated[int, Field(ge=0)] = setting(10, "batches of plain means before: running_mean")
    delay: NonNegative = setting(
        50.0, "batches before other losses than the first count: curriculum"
    )
    ramp: Positive = setting(100.0, "batches until they count in full: curriculum")
    bound: Annotated[float, Field(ge=1)] = setting(
        100.0, "largest ratio of weights: adaptive, gradient_norm"
    )


class AuxiliaryConfig(Section):
    trajectory_weight: NonNegative = setting(
        0.0, "predict the next observations from the features and the actions taken"
    )
    trajectory_horizon: Count = setting(5, "observations ahead")
    time_to_end_weight: NonNegative = setting(0.0, "predict when the episode ends")
    time_to_end_horizon: Count = setting(100, "steps ahead that count as far")
    time_to_end_outputs: Literal["scalar", "per_step"] = setting(
        "scalar", "one number, or one output per step ahead"
    )
    success_weight: NonNegative = setting(0.0, "predict whether the episode ends in success")


class TrainConfig(Section):
    total_timesteps: Count = setting(600_000, "environment steps of --mode train")
    checkpoint_interval: Count = setting(10, "batches between checkpoints")
    keep_checkpoints: Annotated[int, Field(ge=2)] = setting(
        3, "newest checkpoints kept, beside the best"
    )
    initial_policy: str | None = setting(
        None, "run whose actor, encoder and observation statistics to start from; the critic is new"
    )
    grace_seconds: NonNegative = setting(
        10.0, "on a signal, finish the batch if it takes no longer than this"
    )


class ImitationConfig(Section):
    epochs: Count = setting(100, "passes of --mode pretrain over the demonstrations")
    batch_size: Count = setting(512, "steps in each gradient step")
    learning_rate: Positive = setting(2e-3, "of Adam at the start; falls to a tenth")
    max_grad_norm: Positive = setting(1.0, "gradients are scaled down to this norm")
    trajectory_weight: NonNegative = setting(
        0.0, "of errors of trajectories through the environment's own dynamics"
    )
    trajectory_horizon: Count = setting(15, "steps of a trajectory")
    unit: Literal["deviation", "raw"] = setting(
        "deviation", "errors in deviations of the demonstrations, or in the environment's units"
    )
    validation_share: Annotated[float, Field(ge=0, lt=1)] = setting(
        0.1, "share of the episodes that is not learned from"
    )
    min_policy_std: Positive = setting(
        0.1, "least deviation of the policy afterwards, in normalized action units"
    )


class EvaluationConfig(Section):
    interval: Annotated[int, Field(ge=0)] = setting(
        10, "batches between evaluations; 0: only at the end"
    )
    episodes: Count = setting(20, "episodes of an evaluation")
    deterministic: bool = setting(True, "evaluate the mode of the policy")


class LoggingConfig(Section):
    tensorboard: bool = setting(True, "write event files")
    episodes: bool = setting(True, "write episodes.csv")
    doctor: bool = setting(True, "run the rules of --mode diagnose during training")


class SystemConfig(Section):
    device: str = setting("auto", "auto, cpu, cuda, cuda:0, ...")
    seed: Annotated[int, Field(ge=0, lt=2**63)] = setting(1, "of everything random in the run")
    compile: Literal["auto", "never", "always"] = setting(
        "auto", "auto: compile where the run is long enough to repay it"
    )
    threads: Annotated[int, Field(ge=0)] = setting(1, "of torch on the CPU; 0: torch's default")


class Config(Section):
    """Everything a run depends on."""

    env: EnvConfig = EnvConfig()
    network: NetworkConfig = NetworkConfig()
    ppo: PPOConfig = PPOConfig()
    balancing: BalancingConfig = BalancingConfig()
    auxiliary: AuxiliaryConfig = AuxiliaryConfig()
    train: TrainConfig = TrainConfig()
    imitation: ImitationConfig = ImitationConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    logging: LoggingConfig = LoggingConfig()
    system: SystemConfig = SystemConfig()

    @model_validator(mode="after")
    def _fits_together(self) -> Config:
        check_together(self)
        return self

    @classmethod
    def load(cls, path: str | Path | None, overrides: Iterable[str] = ()) -> Config:
        """The configuration in a YAML file (None: the defaults), with `key=value` overrides.

        Raises:
            UserError: one line for each mistake, naming file and line or the override.
        """
        return settings_file.load(cls, path, overrides)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], overrides: Iterable[str] = ()) -> Config:
        """The configuration in nested dictionaries, such as `to_dict` gives."""
        return settings_file.from_dict(cls, values, overrides)

    def with_overrides(self, overrides: Iterable[str]) -> Config:
        """A copy with `key=value` settings replaced."""
        return settings_file.with_overrides(self, overrides)

    def to_dict(self) -> dict[str, Any]:
        """Every setting as plain nested values."""
        return settings_file.plain(self)

    def to_yaml(self) -> str:
        """The text of a config.yaml: every key, each with its comment."""
        return settings_file.to_yaml(self)
