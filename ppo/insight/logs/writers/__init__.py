"""The libraries whose logs are known, one file each; a new one is a file and a line here.

Their own code as of 2026 is the source.
"""

from ppo.insight.logs.writers import (
    brax,
    cleanrl,
    ml_agents,
    monitor,
    ppo_pytorch,
    rl_games,
    rllib,
    rsl_rl,
    sample_factory,
    skrl,
    spinning_up,
    stable_baselines3,
    tianshou,
    torchrl,
)

_MODULES = (  # the first that knows a log reads it
    stable_baselines3,
    cleanrl,
    rl_games,
    rsl_rl,
    ml_agents,
    skrl,
    rllib,
    tianshou,
    spinning_up,
    monitor,
    ppo_pytorch,
    brax,
    torchrl,
    sample_factory,
)
WRITERS = tuple(module.WRITER for module in _MODULES)
