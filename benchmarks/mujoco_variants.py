"""Variants in the search for the MuJoCo recipe: changes to its first configuration."""

from __future__ import annotations

START = [
    "network.initial_log_std=-0.5",
    "env.observation_scale=deviation",
    "ppo.target_kl=null",
    "ppo.gamma_schedule=constant",
    "ppo.max_gamma=0.999",
    "network.hidden_sizes=[64, 64]",
    "network.layer_norm=false",
    "ppo.noise=white",
]
LONG = "ppo.return_horizon=1000"
TAILS, STOP = "env.observation_scale=tails", "ppo.target_kl=0.02"
STOP_LATER, CRITIC = "ppo.target_kl=0.03", "ppo.gamma_schedule=critic"
MANY = ["env.num_envs=64", "ppo.num_steps=32"]
LOW_STD = "network.initial_log_std=-1.0"
NORM = "network.layer_norm=true"
WIDE, HL_GAUSS = "network.hidden_sizes=[256, 256]", "ppo.value_loss=hl_gauss"
PINK = "ppo.noise=pink"
UNDISCOUNTED = ["ppo.gamma=0.9999", "ppo.gamma_schedule=constant"]
ENTROPY, WEIGHTS = "ppo.entropy_coefficient=", ("-0.003", "-0.005", "-0.01")
VARIANTS: dict[str, list[str]] = {
    "start": [],
    "log_std_-1": [LOW_STD],
    "learning_rate_1e-3": ["ppo.learning_rate=1e-3"],
    "kl_rate": ["ppo.learning_rate_schedule=kl", "ppo.target_kl=0.02"],
    "value_clip": ["ppo.value_clip=auto"],
    "hl_gauss": [HL_GAUSS],
    "layer_norm": [NORM],
    "relu": ["network.activation=relu"],
    "width_256": [WIDE],
    "separate_clipping": ["ppo.clip_gradients=separate"],
    "max_grad_norm_1": ["ppo.max_grad_norm=1.0"],
    "gamma_0.98": ["ppo.gamma=0.98"],
    "lambda_0.9": ["ppo.gae_lambda=0.9"],
    **{
        f"log_std_-1+{name}": [LOW_STD, *changes]
        for name, changes in {
            "gamma_0.995": ["ppo.gamma=0.995"],
            "gamma_0.999": ["ppo.gamma=0.999"],
            "gamma_0.9999": ["ppo.gamma=0.9999"],
            "lambda_0.9": ["ppo.gae_lambda=0.9"],
            "64_environments": MANY,
            "symlog": ["env.squash_observations=symlog"],
            "observation_clip_1": ["env.observation_clip=1"],
            "observation_clip_2": ["env.observation_clip=2"],
            "observation_clip_3": ["env.observation_clip=3"],
            "no_contact_forces": ["env.kwargs={include_cfrc_ext_in_observation: false}"],
            "kl_rate_0.01": ["ppo.learning_rate_schedule=kl", "ppo.target_kl=0.01"],
            "kl_rate_0.02": ["ppo.learning_rate_schedule=kl", "ppo.target_kl=0.02"],
            "tails": [TAILS],
            "tails+kl_rate_0.02": [TAILS, "ppo.learning_rate_schedule=kl", "ppo.target_kl=0.02"],
            "tails+target_kl_0.02": [TAILS, STOP],
            "tails+target_kl_0.03": [TAILS, STOP_LATER],
            "tails+target_kl_0.05": [TAILS, "ppo.target_kl=0.05"],
            "tails+gamma_0.995": [TAILS, "ppo.gamma=0.995"],
            "tails+gamma_0.998": [TAILS, "ppo.gamma=0.998"],
            "tails+target_kl_0.02+gamma_0.995": [TAILS, STOP, "ppo.gamma=0.995"],
            "tails+target_kl_0.03+gamma_0.995": [TAILS, STOP_LATER, "ppo.gamma=0.995"],
            **{
                f"tails+target_kl_{kl}+critic{'+' if name else ''}{name}": [
                    TAILS,
                    f"ppo.target_kl={kl}",
                    CRITIC,
                    *changes,
                ]
                for kl, name, changes in (
                    (0.03, "64_environments", MANY),
                    (0.03, "max_grad_norm_1", ["ppo.max_grad_norm=1.0"]),
                    *((0.03, f"entropy_{weight}", [ENTROPY + weight]) for weight in WEIGHTS),
                    (0.03, "hl_gauss", [HL_GAUSS]),
                    (0.03, "width_256", [WIDE]),
                    (0.03, "layer_norm", [NORM]),
                    (0.03, "layer_norm+return_scale_1", [NORM, "ppo.return_scale=1"]),
                    (0.03, "layer_norm+return_scale_30", [NORM, "ppo.return_scale=30"]),
                    (0.03, "layer_norm+lambda_0.97", [NORM, "ppo.gae_lambda=0.97"]),
                    (0.03, "layer_norm+width_256", [NORM, WIDE]),
                    (0.04, "layer_norm", [NORM]),
                    (0.05, "", []),
                    (0.05, "entropy_-0.003", [ENTROPY + "-0.003"]),
                    (0.05, "layer_norm", [NORM]),
                    (0.05, "layer_norm+entropy_-0.003", [NORM, ENTROPY + "-0.003"]),
                    (0.05, "layer_norm+hl_gauss", [NORM, HL_GAUSS]),
                    (0.08, "", []),
                )
            },
            "tails+target_kl_0.05+gamma_0.995": [TAILS, "ppo.target_kl=0.05", "ppo.gamma=0.995"],
            "tails+target_kl_0.03+64_environments": [TAILS, STOP_LATER, *MANY],
            "tails+target_kl_0.03+critic": [TAILS, STOP_LATER, CRITIC],
            **{
                f"tails+target_kl_0.03+critic_to_0.995+layer_norm{'+' if name else ''}{name}": [
                    TAILS,
                    STOP_LATER,
                    CRITIC,
                    NORM,
                    "ppo.max_gamma=0.995",
                    *changes,
                ]
                for name, changes in (
                    ("", []),
                    ("steps_64", ["ppo.num_steps=64", "ppo.num_minibatches=8"]),
                    ("steps_128", ["ppo.num_steps=128", "ppo.num_minibatches=16"]),
                    ("steps_512", ["ppo.num_steps=512", "ppo.num_minibatches=64"]),
                    ("tanh", ["network.action_squash=tanh"]),
                    ("elu", ["network.activation=elu"]),
                    ("return_scale_1", ["ppo.return_scale=1"]),
                    ("log_std_-0.5", ["network.initial_log_std=-0.5"]),
                    ("gamma_0.9999", UNDISCOUNTED),
                    ("gamma_0.9999+lambda_0.98", [*UNDISCOUNTED, "ppo.gae_lambda=0.98"]),
                    ("gamma_0.9999+log_std_0", [*UNDISCOUNTED, "network.initial_log_std=0.0"]),
                    ("pink", [PINK]),
                    ("pink+gamma_0.9999", [PINK, *UNDISCOUNTED]),
                )
            },
            "tails+target_kl_0.03+critic+layer_norm+pink": [
                TAILS,
                STOP_LATER,
                CRITIC,
                NORM,
                PINK,
            ],
            "target_kl_0.03+return_std": [
                STOP_LATER,
                "ppo.normalize_returns=false",
                "ppo.reward_scaling=return_std",
                "ppo.value_loss_weight=0.5",
            ],
        }.items()
    },
    "tails+target_kl_0.05+gamma_0.995": [TAILS, "ppo.target_kl=0.05", "ppo.gamma=0.995"],
    "log_std_-1+separate_clipping": [LOW_STD, "ppo.clip_gradients=separate"],
    "log_std_-1+return_horizon_1000": [LOW_STD, LONG],
    "log_std_-1+return_horizon_1000+separate_clipping": [
        LOW_STD,
        LONG,
        "ppo.clip_gradients=separate",
    ],
}
