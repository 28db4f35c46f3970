"""What other libraries call our settings: for advice on their logs, and for habits of users.

One table, read both ways: the doctor advises in the words of the library that wrote a log, readers
of logs take its settings from their words, and a misspelled key of ours may be one of theirs.
"""

from __future__ import annotations

import re

# Ours -> theirs, as one would type it. A key that is missing has no counterpart there.
ELSEWHERE: dict[str, dict[str, str]] = {
    "stable-baselines3": {
        "ppo.learning_rate": "learning_rate",
        "ppo.num_epochs": "n_epochs",
        "ppo.num_steps": "n_steps",
        "ppo.target_kl": "target_kl",
        "ppo.entropy_coefficient": "ent_coef",
        "ppo.value_loss_weight": "vf_coef",
        "ppo.max_grad_norm": "max_grad_norm",
        "ppo.gamma": "gamma",
        "ppo.normalize_returns": "VecNormalize(norm_reward=...)",
        "env.normalize_observations": "VecNormalize(norm_obs=...)",
        "ppo.value_clip": "clip_range_vf",
        "network.initial_log_std": "policy_kwargs log_std_init",
        "network.hidden_sizes": "policy_kwargs net_arch",
        "network.critic_hidden_sizes": "policy_kwargs net_arch vf",
        "network.shared_encoder": "policy_kwargs share_features_extractor",
        "ppo.normalize_advantages": "normalize_advantage",
        "ppo.num_minibatches": "n_steps * n_envs / batch_size",
        "env.num_envs": "n_envs",
        "env.wrappers": "env_wrapper",
        "ppo.clip_epsilon": "clip_range",
        "ppo.gae_lambda": "gae_lambda",
        "train.total_timesteps": "total_timesteps",
    },
    "cleanrl": {
        "ppo.learning_rate": "learning-rate",
        "ppo.num_epochs": "update-epochs",
        "ppo.num_steps": "num-steps",
        "ppo.target_kl": "target-kl",
        "ppo.entropy_coefficient": "ent-coef",
        "ppo.value_loss_weight": "vf-coef",
        "ppo.max_grad_norm": "max-grad-norm",
        "ppo.gamma": "gamma",
        "ppo.normalize_returns": "gym.wrappers.NormalizeReward",
        "env.normalize_observations": "gym.wrappers.NormalizeObservation",
        "ppo.value_clip": "clip-vloss",
        "env.num_envs": "num-envs",
        "env.id": "env-id",
        "ppo.gae_lambda": "gae-lambda",
        "ppo.num_minibatches": "num-minibatches",
        "ppo.clip_epsilon": "clip-coef",
        "ppo.normalize_advantages": "norm-adv",
        "network.initial_log_std": "actor_logstd",
        "train.total_timesteps": "total-timesteps",
        "system.seed": "seed",
    },
    "rsl_rl": {
        "ppo.learning_rate": "learning_rate",
        "ppo.num_epochs": "num_learning_epochs",
        "ppo.num_steps": "num_steps_per_env",
        "ppo.target_kl": "desired_kl",
        "ppo.entropy_coefficient": "entropy_coef",
        "ppo.value_loss_weight": "value_loss_coef",
        "ppo.max_grad_norm": "max_grad_norm",
        "ppo.gamma": "gamma",
        "ppo.value_clip": "use_clipped_value_loss",
        "env.normalize_observations": "empirical_normalization",
        "network.initial_log_std": "init_noise_std",
    },
    "rl_games": {
        "ppo.learning_rate": "learning_rate",
        "ppo.num_epochs": "mini_epochs",
        "ppo.num_steps": "horizon_length",
        "ppo.target_kl": "kl_threshold",
        "ppo.entropy_coefficient": "entropy_coef",
        "ppo.value_loss_weight": "critic_coef",
        "ppo.max_grad_norm": "grad_norm",
        "ppo.gamma": "gamma",
        "ppo.normalize_returns": "normalize_value",
        "ppo.value_clip": "clip_value",
        "env.normalize_observations": "normalize_input",
    },
    "ml-agents": {
        "ppo.learning_rate": "learning_rate",
        "ppo.num_epochs": "num_epoch",
        "ppo.num_steps": "buffer_size",
        "ppo.entropy_coefficient": "beta",
        "ppo.clip_epsilon": "epsilon",
        "ppo.gamma": "reward_signals extrinsic gamma",
        "ppo.learning_rate_schedule": "learning_rate_schedule",
        "ppo.normalize_returns": "smaller rewards in the scene, of size 1",
        "env.reward_scale": "reward_signals extrinsic strength",
        "env.normalize_observations": "network_settings normalize",
        "network.hidden_sizes": "hidden_units",
        "env.num_envs": "num_envs",
        "ppo.gae_lambda": "lambd",
    },
    "skrl": {
        "ppo.learning_rate": "learning_rate",
        "ppo.num_epochs": "learning_epochs",
        "ppo.num_minibatches": "mini_batches",
        "ppo.num_steps": "rollouts",
        "ppo.target_kl": "kl_threshold",
        "ppo.entropy_coefficient": "entropy_loss_scale",
        "ppo.value_loss_weight": "value_loss_scale",
        "ppo.max_grad_norm": "grad_norm_clip",
        "ppo.gamma": "discount_factor",
        "ppo.normalize_returns": "value_preprocessor=RunningStandardScaler",
        "env.normalize_observations": "state_preprocessor=RunningStandardScaler",
        "ppo.value_clip": "clip_predicted_values",
        "network.initial_log_std": "initial_log_std",
    },
    "rllib": {
        "ppo.learning_rate": "lr",
        "ppo.num_epochs": "num_epochs",
        "ppo.num_steps": "train_batch_size",
        "ppo.target_kl": "kl_target",
        "ppo.entropy_coefficient": "entropy_coeff",
        "ppo.value_loss_weight": "vf_loss_coeff",
        "ppo.max_grad_norm": "grad_clip",
        "ppo.gamma": "gamma",
        "ppo.value_clip": "vf_clip_param",
        "env.normalize_observations": "observation_filter=MeanStdFilter",
        "network.hidden_sizes": "fcnet_hiddens",
    },
    "tianshou": {
        "ppo.learning_rate": "lr",
        "ppo.num_epochs": "repeat_per_collect",
        "ppo.num_steps": "step_per_collect",
        "ppo.entropy_coefficient": "ent_coef",
        "ppo.value_loss_weight": "vf_coef",
        "ppo.max_grad_norm": "max_grad_norm",
        "ppo.gamma": "discount_factor",
        "ppo.normalize_returns": "reward_normalization",
        "ppo.value_clip": "value_clip",
        "env.normalize_observations": "VectorEnvNormObs",
    },
    "spinning-up": {
        "ppo.learning_rate": "pi_lr",
        "ppo.num_epochs": "train_pi_iters",
        "ppo.num_steps": "steps_per_epoch",
        "ppo.target_kl": "target_kl",
        "ppo.gamma": "gamma",
        "network.hidden_sizes": "ac_kwargs hidden_sizes",
    },
    "brax": {
        "ppo.learning_rate": "learning_rate",
        "ppo.num_epochs": "num_updates_per_batch",
        "ppo.num_minibatches": "num_minibatches",
        "ppo.num_steps": "unroll_length",
        "ppo.entropy_coefficient": "entropy_cost",
        "ppo.max_grad_norm": "max_grad_norm",
        "ppo.gamma": "discounting",
        "ppo.gae_lambda": "gae_lambda",
        "ppo.clip_epsilon": "clipping_epsilon",
        "env.num_envs": "num_envs",
        "env.reward_scale": "reward_scaling",
        "env.normalize_observations": "normalize_observations",
        "network.hidden_sizes": "network_factory policy_hidden_layer_sizes",
        "train.total_timesteps": "num_timesteps",
    },
    "torchrl": {
        "ppo.learning_rate": "optim.lr",
        "ppo.num_epochs": "loss.ppo_epochs",
        "ppo.num_steps": "collector.frames_per_batch",
        "ppo.entropy_coefficient": "loss.entropy_coeff",
        "ppo.value_loss_weight": "loss.critic_coeff",
        "ppo.max_grad_norm": "optim.max_grad_norm",
        "ppo.gamma": "loss.gamma",
        "ppo.gae_lambda": "loss.gae_lambda",
        "ppo.clip_epsilon": "loss.clip_epsilon",
        "env.normalize_observations": "VecNorm of the observations",
        "train.total_timesteps": "collector.total_frames",
    },
    "sample-factory": {
        "ppo.learning_rate": "learning_rate",
        "ppo.num_epochs": "num_epochs",
        "ppo.num_steps": "rollout",
        "ppo.entropy_coefficient": "exploration_loss_coeff",
        "ppo.value_loss_weight": "value_loss_coeff",
        "ppo.max_grad_norm": "max_grad_norm",
        "ppo.gamma": "gamma",
        "ppo.gae_lambda": "gae_lambda",
        "ppo.clip_epsilon": "ppo_clip_ratio",
        "ppo.normalize_returns": "normalize_returns",
        "env.reward_scale": "reward_scale",
        "env.normalize_observations": "normalize_input",
        "train.total_timesteps": "train_for_env_steps",
    },
    "pufferlib": {
        "ppo.learning_rate": "learning_rate",
        "ppo.num_epochs": "update_epochs",
        "ppo.num_steps": "bptt_horizon",
        "ppo.entropy_coefficient": "ent_coef",
        "ppo.value_loss_weight": "vf_coef",
        "ppo.max_grad_norm": "max_grad_norm",
        "ppo.gamma": "gamma",
        "ppo.gae_lambda": "gae_lambda",
        "ppo.clip_epsilon": "clip_coef",
        "train.total_timesteps": "total_timesteps",
    },
    "ppo-pytorch": {
        "ppo.learning_rate": "lr_actor",
        "ppo.num_epochs": "K_epochs",
        "ppo.num_steps": "update_timestep",
        "ppo.gamma": "gamma",
        "network.initial_log_std": "action_std",
    },
}

# What a flag of theirs is set to, where it is not a number that ours could be, too.
VALUES = {
    ("stable-baselines3", "ppo.value_clip", "none"): "None",
    ("cleanrl", "ppo.value_clip", "none"): "False",
    ("rsl_rl", "ppo.value_clip", "none"): "False",
    ("rl_games", "ppo.value_clip", "none"): "False",
    ("skrl", "ppo.value_clip", "none"): "False",
    ("tianshou", "ppo.value_clip", "none"): "False",
    ("rllib", "ppo.value_clip", "none"): "inf",
    ("rsl_rl", "network.initial_log_std", "0.0"): "1.0",  # a std, not its logarithm
    ("rsl_rl", "network.initial_log_std", "-1.0"): "0.37",
    ("ppo-pytorch", "network.initial_log_std", "0.0"): "1.0",
    ("ppo-pytorch", "network.initial_log_std", "-1.0"): "0.37",
    ("ml-agents", "network.hidden_sizes", "[64]"): "64",
    ("ml-agents", "network.hidden_sizes", "[256, 256]"): "256",
}

# Words that come with another unit, or from a program around a library.
HABITS = {
    "batch_size": "ppo.num_minibatches",
    "minibatch_size": "ppo.num_minibatches",
    "clip_range_vf": "ppo.value_clip_epsilon",
    "n_timesteps": "train.total_timesteps",
    "anneal_lr": "ppo.learning_rate_schedule",
    "clip": "ppo.clip_epsilon",
    "gae": "ppo.gae_lambda",
    "value_coef": "ppo.value_loss_weight",
    "lstm": "network.memory",
    "gru": "network.memory",
    "layers": "network.hidden_sizes",
    "cuda": "system.device",
    "save_freq": "train.checkpoint_interval",
    "eval_freq": "evaluation.interval",
    "env": "env.id",
    "epochs": "ppo.num_epochs",
}

# Words whose value means something else here: another unit, or a switch where we have a choice.
OTHER_VALUES = frozenset(
    "batch_size minibatch_size mini_batches clip_range_vf anneal_lr lstm gru layers cuda "
    "buffer_size train_batch_size steps_per_epoch update_timestep step_per_collect "
    "clip_vloss use_clipped_value_loss clip_value clip_predicted_values vf_clip_param "
    "hidden_units init_noise_std action_std value_preprocessor state_preprocessor "
    "observation_filter save_freq eval_freq".split()
)


def _word(phrase: str) -> str:
    """The name of the setting in a phrase: VecNormalize(norm_obs=...) -> norm_obs; or nothing."""
    if named := re.search(r"(\w+)=", phrase):
        return named[1]
    return phrase.split()[-1].replace("-", "_") if re.fullmatch(r"[\w -]+", phrase) else ""


def settings_of(library: str) -> dict[str, str]:
    """Their word -> our key, of one library."""
    found = {_word(theirs): ours for ours, theirs in ELSEWHERE[library].items()}
    return {theirs: ours for theirs, ours in found.items() if theirs}


def synonyms() -> dict[str, str]:
    """Their word -> our key, of all libraries, where it is another word than ours."""
    found: dict[str, str] = {}
    for library in ELSEWHERE:
        for theirs, ours in settings_of(library).items():
            if theirs != ours.rpartition(".")[2]:
                found.setdefault(theirs, ours)
    return found | HABITS
