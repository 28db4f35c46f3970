"""The typed tree of settings. Each part receives its own section and nothing else.

The descriptions below are the comments of config.yaml and the text of docs/options.md. Both are
generated: `python -m ppo.config > config.yaml` writes the settings that are marked as common,
`python -m ppo.config --all` every setting, `python -m ppo.config --markdown > docs/options.md`
the reference. A new setting is for experts unless it is marked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, model_validator
from pydantic_core import PydanticCustomError

from ppo.config import automatic
from ppo.config.automatic import AutoConfig
from ppo.config.consistency import mismatches
from ppo.config.file import build, plain, to_yaml
from ppo.config.learning import AuxiliaryConfig, BalancingConfig, NetworkConfig, PPOConfig
from ppo.config.removed import complete, drop
from ppo.config.section import (
    Count,
    NonNegative,
    Options,
    OwnPart,
    Positive,
    Section,
    setting,
)
from ppo.config.shipped import find
from ppo.config.source import Source, read_file
from ppo.config.words import show
from ppo.core.errors import UserError


class EnvConfig(Section):
    id: str = setting(
        "DoubleIntegrator-v0",
        "Gymnasium id, or package.module:name of a registered id, a class or a factory",
        common=True,
        imports=True,
    )
    num_envs: Count = setting(256, "environments stepped side by side", common=True, auto=True)
    backend: Literal["auto", "sync", "async", "vector", "torch"] = setting(
        "auto",
        "sync, async, vector, torch; auto: the fastest that gives the same data",
        common=True,
    )
    kwargs: dict[str, Any] = setting(
        {}, 'arguments of the environment\'s constructor; "{index}" is its number', common=True
    )
    wrappers: list[OwnPart] = setting(
        [], "around each environment, as package.module:Class, the innermost first", imports=True
    )
    wrappers_kwargs: dict[str, Options] = setting(
        {}, "arguments of the wrappers, by the name of the class"
    )
    reward_scale: Positive = setting(
        1.0, "factor on the rewards, for experiments; reports stay unscaled", common=True
    )
    normalize_observations: bool = setting(
        True, "observations to running mean 0, standard deviation 1", common=True
    )
    observation_clip: Positive = setting(
        10.0, "largest normalized observation, in standard deviations"
    )
    observation_scale: Literal["deviation", "tails"] = setting(
        "deviation",
        "what normalization divides by: the standard deviation, or more where rare values"
        " are large (tails)",
        auto=True,
    )
    squash_observations: Literal["none", "symlog"] = setting(
        "none", "symlog: tame heavy tails before normalization", source="Hafner et al. 2023"
    )
    double_precision: Literal["auto"] | list[str] = setting(
        "auto",
        "entries of observations that are normalized before they are rounded to float32, such as"
        " time stamps; auto: those beyond 2^24 by their bounds, or in the first observation",
    )
    calibration_steps: Annotated[int, Field(ge=0)] = setting(
        64, "steps per environment before batch 0 that set the first observation statistics"
    )
    action_masks: Literal["auto", "never"] = setting(
        "auto", "auto: never take an action that the environment's action mask rules out"
    )
    frame_stack: Annotated[int, Field(ge=1, le=64)] = setting(
        1, "number of stacked frames (1 = off)", common=True
    )
    workers: Annotated[int, Field(ge=0)] = setting(
        0, "processes that step environments: async, and auto with slow steps (0 = one per core)"
    )
    step_timeout: Positive = setting(
        60.0, "seconds before an environment that does not answer is replaced"
    )
    reset_timeout: Positive = setting(
        300.0, "seconds before an environment whose first reset does not end is replaced"
    )
    on_error: Literal["stop", "restart"] = setting(
        "stop", "an exception in an environment: stop the run, or cut the episode"
    )
    on_nonfinite: Literal["stop", "reset"] = setting(
        "stop", "NaN or infinity from an environment: stop the run, or cut the episode"
    )


class TrainConfig(Section):
    total_timesteps: Count = setting(600_000, "environment steps of --mode train", common=True)
    checkpoint_interval: Count = setting(10, "batches between checkpoints", common=True, auto=True)
    keep_checkpoints: Annotated[int, Field(ge=2)] = setting(
        3, "newest checkpoints kept, beside the best"
    )
    initial_policy: str | None = setting(
        None, "run to start the policy from (null = none)", common=True
    )
    initial_parts: Literal["actor", "all"] = setting(
        "actor",
        "actor: with a new critic; all: the critic and the statistics of its training too",
    )
    callbacks: list[OwnPart] = setting(
        [], "callbacks of the run, as package.module:Class (imports that module)", imports=True
    )
    callbacks_kwargs: dict[str, Options] = setting(
        {}, "arguments of the callbacks, by the name of the class"
    )
    mirror: str | None = setting(
        None, "fsspec address that keeps a copy of the run, such as s3://bucket/prefix"
    )
    grace_seconds: NonNegative = setting(
        10.0, "seconds that a batch may still take after a stop signal"
    )


class ImitationConfig(Section):
    epochs: Count = setting(100, "passes of --mode pretrain over the demonstrations")
    batch_size: Count = setting(512, "steps of the demonstrations in each gradient step")
    learning_rate: Positive = setting(2e-3, "Adam step size at the start; falls to a tenth")
    max_grad_norm: Positive = setting(1.0, "largest gradient norm")
    trajectory_weight: NonNegative = setting(
        0.0, "weight of errors of trajectories through the environment's own dynamics"
    )
    trajectory_horizon: Count = setting(15, "steps of a trajectory")
    unit: Literal["deviation", "raw"] = setting(
        "deviation",
        "unit of errors: standard deviations of the demonstrations, or the environment's"
        " units (raw)",
    )
    validation_share: Annotated[float, Field(ge=0, lt=1)] = setting(
        0.1, "share of the episodes that is held out"
    )


class EvaluationConfig(Section):
    interval: Annotated[int, Field(ge=0)] = setting(
        10, "batches between evaluations (0 = only at the end)", common=True, auto=True
    )
    episodes: Count = setting(20, "episodes of an evaluation", common=True)
    deterministic: bool = setting(True, "evaluate the mode of the policy in place of samples")
    env: Literal["separate", "same", "off"] = setting(
        "separate",
        "where the policy is evaluated: in environments of its own, in those of the training (same:"
        " for a simulator that exists once), or nowhere (off)",
    )
    max_steps: Count = setting(
        100_000,
        "steps after which an episode of an evaluation is not waited for any longer",
        auto=True,
    )


class LoggingConfig(Section):
    tensorboard: bool = setting(True, "write TensorBoard files", common=True)
    trackers: list[str] = setting(
        [], "tensorboard, wandb, mlflow, trackio, or your own as package.module:Class", imports=True
    )
    episodes: bool = setting(True, "write episodes.csv")
    info: bool = setting(
        True, "record the numbers that environments report in info at the end of episodes"
    )
    doctor: bool = setting(True, "run the rules of --mode diagnose during training")


class SystemConfig(Section):
    device: str = setting(
        "auto", "auto (a GPU where it is the faster one), cpu, cuda, cuda:0", common=True
    )
    seed: Annotated[int, Field(ge=0, lt=2**63)] = setting(
        1, "seed of everything random in the run", common=True
    )
    compile: Literal["auto", "never", "always"] = setting(
        "auto",
        "auto (where the run is long enough to repay it), never, always",
        common=True,
    )
    precision: Literal["float32", "bfloat16"] = setting(
        "float32",
        "numbers in which the encoders compute during training; bfloat16 pays on a GPU with wide "
        "layers",
    )
    threads: Annotated[int, Field(ge=0, le=1024)] = setting(
        1, "CPU threads of torch (0 = torch's default)", common=True
    )


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
    auto: AutoConfig = AutoConfig()
    _open: frozenset[str] = PrivateAttr(frozenset())

    def model_post_init(self, context: Any, /) -> None:
        """Whatever nobody gave a value is open."""
        self._open = automatic.unset(self)

    @property
    def open(self) -> frozenset[str]:
        """The settings that are `auto` and not chosen yet; their fields hold a fallback."""
        return self._open

    @model_validator(mode="after")
    def _fits_together(self) -> Config:
        found = mismatches(self)
        if found:
            text = "; ".join(mismatch.text for mismatch in found)
            raise PydanticCustomError("does_not_fit", "{text}", {"text": text, "found": found})
        return self

    @classmethod
    def load(cls, path: str | Path | None = None, overrides: Iterable[str] = ()) -> Config:
        """The configuration in a YAML file (None: the shipped one), with `key=value` overrides.

        Args:
            path: or the name of a ready configuration, such as `cartpole`.

        Raises:
            UserError: one line for each mistake, naming file and line or the override.
        """
        return build(cls, Source() if path is None else read_file(find(path)), overrides)

    @classmethod
    def load_run(cls, path: str | Path, overrides: Iterable[str] = ()) -> tuple[Config, list[str]]:
        """The configuration of a run folder, and a line for each setting that it no longer holds.

        Settings that were removed since the run are dropped; those that did something are named.
        Those that came since have the value that the run was trained with.
        """
        source = read_file(path)
        notes = drop(source.values)
        complete(source.values)
        return build(cls, source, overrides), notes

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], overrides: Iterable[str] = ()) -> Config:
        """The configuration in nested dictionaries, such as `to_dict` gives.

        Raises:
            UserError: one line for each mistake, naming the key.
        """
        if not isinstance(values, Mapping):
            form = "nested dictionaries, such as {'ppo': {'gamma': 0.99}}"
            raise UserError(f"settings: {show(values)}; must be {form}")
        return build(cls, Source(dict(values)), overrides)

    def with_overrides(self, overrides: Iterable[str]) -> Config:
        """A copy with `key=value` settings replaced.

        Raises:
            UserError: one line for each mistake, naming the override.
        """
        return self.from_dict(self.to_dict(), overrides)

    def chosen(self, values: Mapping[str, Any], steps: int) -> Config:
        """A copy with values for open settings, which lists them as chosen.

        Args:
            values: by dotted name. steps: environment steps of the look they were chosen from.

        Raises:
            UserError: they do not fit together.
        """
        tree = self.to_dict()
        for name, value in values.items():
            section, _, key = name.partition(".")
            tree[section][key] = value
        was = [name for name in automatic.names(type(self)) if name in values]
        tree["auto"] = {"settings": [*self.auto.settings, *was], "steps": steps}
        return self.from_dict(tree)

    def showing(self, taken: Mapping[str, str]) -> Config:
        """A copy to be written: what `auto` is in this run stands in its place, and in a list.

        Args:
            taken: by dotted name, of settings that are `auto`.
        """
        update: dict[str, Any] = {"auto": self.auto.model_copy(update={"taken": dict(taken)})}
        for name, value in taken.items():
            section, _, key = name.partition(".")
            part = update.get(section, getattr(self, section))
            update[section] = part.model_copy(update={key: value})
        return self.model_copy(update=update)

    def to_dict(self) -> dict[str, Any]:
        """Every setting as plain nested values, those that are open as `auto`.

        Raises:
            UserError: one cannot be written, such as a function in env.kwargs.
        """
        return plain(self)

    def to_yaml(self, common_only: bool = False) -> str:
        """The text of a config.yaml: every key or the common ones, each with its comment."""
        return to_yaml(self, common_only)
