"""The one place that knows every part: from a configuration to a learner."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import gymnasium as gym
import torch
from torch import Tensor, nn

from ppo import losses
from ppo.algorithm.discount import Discount
from ppo.algorithm.learner import Learner
from ppo.algorithm.optimizer import Adam, FlatParameters
from ppo.algorithm.rewards import Rewards, RewardScale
from ppo.algorithm.rollout.collect import Collector
from ppo.algorithm.targets import TargetSettings, by_component
from ppo.algorithm.update import Update
from ppo.config import Config, NetworkConfig, PPOConfig
from ppo.config.consistency import mismatches
from ppo.core import compiling, parallel
from ppo.core.errors import UserError
from ppo.core.layout import Layout
from ppo.core.randomness import generator, stream_seed
from ppo.envs.base import Environments
from ppo.envs.entries import MIN_IMAGE_SIDE
from ppo.envs.make import make_environments
from ppo.losses import balancers
from ppo.losses.base import Parts
from ppo.losses.objective import Objective
from ppo.networks import MEMORIES, encoders
from ppo.networks.agent import Agent, Eye
from ppo.networks.distributions import distribution_for
from ppo.networks.encoders.base import Encoder, Read
from ppo.networks.groups import Group, groups_of
from ppo.networks.normalizer import ObservationNormalizer
from ppo.values import CLIPS, HEADS, SCALES
from ppo.values.scale import ValueScale

BALANCER_RATE = 10.0  # multiple of the learning rate
FREE_LOSSES = ("policy", "entropy")
AUXILIARY = ("trajectory", "time_to_end", "success")


def device_for(name: str) -> torch.device:
    """The device that `system.device` names.

    Raises:
        UserError: it is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type == "cuda" and not torch.cuda.is_available():
            raise RuntimeError("no CUDA device is available")
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"system.device: {name!r} cannot be used ({reason}); allowed: auto, cpu, "
            "cuda, cuda:0, ..."
        ) from None
    return device


def normalizes_components(config: PPOConfig, num_components: int) -> bool:
    """Whether advantages are brought to deviation 1 by component; a single one is left as it is."""
    return config.component_mixing == "normalized" and num_components > 1


def uses_compile(config: Config, device: torch.device, on_device: bool = False) -> bool:
    """Whether `system.compile` asks for compiled graphs in a run of this length.

    Args:
        on_device: environments are torch functions.

    Raises:
        UserError: compiling is asked for and cannot be done here.
    """
    if config.system.compile == "never":
        return False
    obstacle = compiling.obstacle(device)
    if config.system.compile == "always":
        if obstacle:
            raise UserError(f"system.compile: always: {obstacle}; allowed here: never, auto")
        return True
    if config.network.memory != "none":
        return False  # a graph of a whole sequence takes minutes to compile
    ppo = config.ppo
    batches = config.train.total_timesteps / (config.env.num_envs * ppo.num_steps)
    gradient_steps = ppo.num_epochs * ppo.num_minibatches
    return not obstacle and compiling.repays(batches, ppo.num_steps, gradient_steps, on_device)


def encoder_kind(config: NetworkConfig, layout: Layout) -> str:
    """The encoder that `network.encoder` means for these observations."""
    if config.encoder != "auto":
        return config.encoder
    images = layout.byte_images if config.images == "uint8" else layout.images
    sides = [side for image in images for side in image.height_and_width]
    return "nature_cnn" if sides and min(sides) >= MIN_IMAGE_SIDE else "mlp"


def encoder_classes(config: NetworkConfig, layouts: Sequence[Layout]) -> list[type[Encoder]]:
    """The encoder of each of these; one without an image beside one with images is an MLP."""
    kinds: list[type[Encoder]] = [
        encoders.REGISTRY.get(encoder_kind(config, layout)) for layout in layouts
    ]
    if any(layout.images for layout in layouts):
        mlp = encoders.REGISTRY.get("mlp")
        pairs = zip(kinds, layouts, strict=True)
        kinds = [kind if layout.images or not kind.sees_images else mlp for kind, layout in pairs]
    return kinds


def build_eyes(
    config: Config, layout: Layout, source: torch.Generator
) -> tuple[tuple[Eye, Eye], ObservationNormalizer]:
    """What actor and critic see, and the normalizer of all that either sees.

    Raises:
        UserError: keys that are not there, or an encoder that does not fit.
    """
    env, network = config.env, config.network
    groups = groups_of(layout, network.actor_keys, network.critic_keys)
    seen = (groups.actor, groups.critic)
    kinds = encoder_classes(network, [group.layout for group in seen])
    size, read = max((kind.numbers(layout) for kind in kinds), key=lambda found: found[0])
    if groups.read.spans is not None:
        size = max(kind.numbers(groups.read.layout)[0] for kind in kinds)
        read = partial(_read_part, groups.read, read)
    normalizer = ObservationNormalizer(
        size,
        env.normalize_observations,
        env.observation_clip,
        env.squash_observations,
        env.observation_scale == "tails",
        read,
        groups.read.layout.float_images if any(kind.sees_images for kind in kinds) else (),
    )
    first, second = (
        Eye(group, partial(kind, group.layout, network, source))
        for group, kind in zip(seen, kinds, strict=True)
    )
    return (first, second), normalizer


def _read_part(group: Group, read: Read, obs: Tensor) -> Tensor:
    return group(read(obs))


def build_agent(
    config: Config, observations: Layout | int, action_space: gym.Space, num_components: int
) -> tuple[Agent, ValueScale]:
    """The network and the critic's frame, on the CPU, from the run's seed alone.

    Args:
        observations: how rows are laid out; D, where they are D numbers.
    """
    network, ppo = config.network, config.ppo
    layout = Layout(observations) if isinstance(observations, int) else observations
    if network.images == "uint8":
        layout = layout._replace(images=layout.byte_images)
    scale = SCALES.get(ppo.value_scale_kind)(num_components, ppo.return_scale, ppo.return_horizon)
    loss_unit = scale.unit if ppo.value_loss_unit == "variance" else 1.0
    head_kind = HEADS.get(ppo.value_loss)
    assert head_kind.linear or scale.support is not None, "bins need bounded targets"
    head = head_kind(
        scale.unit,
        loss_unit,
        support=(scale.support or 1.0) * scale.unit,
        logarithmic=not scale.affine,
    )
    source = generator(torch.device("cpu"), config.system.seed, "initialization")
    eyes, normalizer = build_eyes(config, layout, source)
    memory = MEMORIES.get(network.memory)
    agent = Agent(
        layout,
        distribution_for(
            action_space,
            network.action_squash,
            network.initial_log_std,
        ),
        num_components,
        normalizer,
        head,
        network.shared_encoder,
        eyes,
        lambda features: memory(features, network.memory_size, source),
        source,
    )
    return agent, scale


def build_objective(config: Config, agent: Agent, scale: ValueScale) -> Objective:
    """Losses and balancer around the agent."""
    ppo = config.ppo
    clip = CLIPS.get(ppo.value_clip_kind)(ppo.value_clip_epsilon, ppo.value_clip_floor)
    assert scale.affine or ppo.value_clip_kind in ("absolute", "none"), "a length in logarithms"
    parts = Parts(agent.distribution, agent.value_head, scale, clip)
    free = [losses.REGISTRY.get(name)(ppo, parts) for name in FREE_LOSSES]
    balanced = [losses.REGISTRY.get("value")(ppo, parts)]
    heads = nn.ModuleDict()
    # Heads start as torch makes them, but from the run's seed, whatever the process drew before.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(config.system.seed, "initialization", 1))
        for name in AUXILIARY:
            if getattr(config.auxiliary, f"{name}_weight"):
                loss = losses.REGISTRY.get(name)(
                    config.auxiliary, agent, agent.num_features, agent.observation_size
                )
                heads[name] = loss.head
                balanced.append(loss)
    options = config.balancing.model_dump()
    balancer = balancers.REGISTRY.get(options.pop("kind"))(
        [loss.name for loss in balanced],
        [loss.weight for loss in balanced],
        [loss.num_outputs for loss in balanced],
        **options,
    )
    advantages = losses.ADVANTAGES.get(ppo.normalize_advantages)()
    return Objective(agent, scale, free, balanced, balancer, advantages, heads)


def build_optimizer(config: Config, objective: Objective) -> Adam:
    """Adam with the critic's own rate and clipping where they are asked for."""
    ppo, flat = config.ppo, FlatParameters(objective)
    critic = flat.mask(lambda name: name.startswith(("agent.critic", "heads.")))
    # Learned weights of losses: a slow one would be a constant.
    learned = flat.mask(lambda name: name.startswith("balancer."))
    balances = any(name.startswith("balancer.") for name in flat.names)
    rates = groups = None
    if ppo.critic_learning_rate is not None:
        rates = 1.0 + critic * (ppo.critic_learning_rate / ppo.learning_rate - 1.0)
    if ppo.clip_gradients == "separate":
        groups = [critic, 1.0 - critic - learned]
    if balances:
        rates = (1.0 if rates is None else rates) + (BALANCER_RATE - 1.0) * learned
        groups = [*(groups or [1.0 - learned]), learned]
    return Adam(flat, ppo.max_grad_norm, rates, groups)


def build_learner(config: Config, envs: Environments, device: torch.device) -> Learner:
    """A learner on these environments."""
    agent, scale = build_agent(config, envs.layout, envs.action_space, len(envs.component_names))
    objective = build_objective(config, agent, scale).to(device)
    optimizer = build_optimizer(config, objective)
    compiled = uses_compile(config, device, envs.backend == "torch")
    seed = config.system.seed
    ppo, names = config.ppo, envs.component_names
    collector = Collector(
        agent,
        scale,
        envs,
        ppo.num_steps,
        config.env.reward_scale,
        seed,
        device,
        compiled,
    )
    discount = Discount(ppo, names).to(device)
    settings = TargetSettings(
        gamma=discount.gamma,
        gae_lambda=ppo.gae_lambda,
        component_weights=by_component(names, ppo.component_weights, 1.0).to(device),
        normalize_components=normalizes_components(ppo, len(names)),
    )
    update = Update(objective, optimizer, ppo, seed, compiled)
    scales = ppo.reward_scaling == "return_std"
    reward_scale = RewardScale(envs.num_envs, discount.total, scales).to(device)
    rewards = Rewards(reward_scale, clips=ppo.reward_outlier == "clip")
    return Learner(
        config,
        objective,
        optimizer,
        collector,
        update,
        settings,
        discount,
        rewards,
        device,
        compiled,
    )


def build_environments(config: Config, device: torch.device, **options: Any) -> Environments:
    """The training environments of this rank."""
    ranks = parallel.world_size()
    if config.env.num_envs % ranks:
        raise UserError(
            f"env.num_envs: {config.env.num_envs} cannot be shared by {ranks} processes; "
            f"nearest: {config.env.num_envs // ranks * ranks or ranks}"
        )
    share = config.env.num_envs // ranks
    env = config.env.model_copy(update={"num_envs": share})
    found = mismatches(config.model_copy(update={"env": env}))
    if found:
        place = f"in each of {ranks} processes"
        raise UserError(*(f"{keys[0]}: {place}, {text}" for keys, text in found))
    return make_environments(
        config.env,
        run_seed=config.system.seed,
        device=device,
        num_envs=share,
        first_index=parallel.rank() * share,
        **options,
    )


def prepare_torch(config: Config) -> torch.device:
    """Threads and device, before the first tensor."""
    if config.system.threads:
        torch.set_num_threads(config.system.threads)
    return device_for(config.system.device)
