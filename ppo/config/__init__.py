"""Options: the typed tree, its file, and what does not fit together."""

from ppo.config.options import (
    AuxiliaryConfig,
    BalancingConfig,
    Config,
    EnvConfig,
    EvaluationConfig,
    ImitationConfig,
    LoggingConfig,
    NetworkConfig,
    PPOConfig,
    Section,
    SystemConfig,
    TrainConfig,
)

__all__ = [
    "AuxiliaryConfig",
    "BalancingConfig",
    "Config",
    "EnvConfig",
    "EvaluationConfig",
    "ImitationConfig",
    "LoggingConfig",
    "NetworkConfig",
    "PPOConfig",
    "Section",
    "SystemConfig",
    "TrainConfig",
]
