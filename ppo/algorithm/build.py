"""The one place that puts all parts together: from a configuration to a learner."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import torch
from torch import nn

from ppo import losses
from ppo.algorithm import devices, probes, switch
from ppo.algorithm.devices import device_for
from ppo.algorithm.discount import Discount
from ppo.algorithm.eyes import build_eyes, encoder_parts
from ppo.algorithm.learner import Learner
from ppo.algorithm.optimizer import Adam, FlatParameters
from ppo.algorithm.rewards import Rewards
from ppo.algorithm.rollout.collect import Collector
from ppo.algorithm.room import refuse_too_large
from ppo.algorithm.targets import TargetSettings, by_component
from ppo.algorithm.update import Update
from ppo.config import AuxiliaryConfig, Config, PPOConfig
from ppo.config.consistency import CLIPS_IN_LENGTHS, mismatches
from ppo.core import parallel
from ppo.core.errors import UserError
from ppo.core.layout import Layout
from ppo.core.randomness import generator, stream_seed
from ppo.envs.base import Environments
from ppo.envs.make import make_environments, steps_in_python
from ppo.envs.simulator import SimulatorEnvironments
from ppo.envs.torch_env import TorchEnvironments
from ppo.losses import balancers
from ppo.losses.auxiliary import AuxiliaryLoss
from ppo.losses.base import Parts
from ppo.losses.objective import Objective
from ppo.networks import MEMORIES
from ppo.networks.agent import Agent
from ppo.networks.distributions import distribution_for
from ppo.networks.memory import Memory
from ppo.values import CLIPS, HEADS, SCALES
from ppo.values.clips import ValueClip
from ppo.values.head import Units, ValueHead
from ppo.values.scale import ValueScale

BALANCER_RATE = 10.0  # multiple of the learning rate
FREE_LOSSES = ("policy", "entropy")
AUXILIARY = ("trajectory", "time_to_end", "success")


def build_agent(
    config: Config, layout: Layout, action_space: gym.Space, num_components: int
) -> tuple[Agent, ValueScale]:
    """The network and the critic's frame, on the CPU, from the run's seed alone."""
    network, ppo = config.network, config.ppo
    if network.images == "uint8":
        layout = layout._replace(images=layout.byte_images)
    normalizer_part = SCALES.part(ppo.value_scale_kind, ppo.return_normalizer_kwargs)
    scale = normalizer_part(num_components, ppo.return_scale, ppo.return_horizon)
    probes.check(probes.scale, normalizer_part, scale, num_components)
    head = build_head(ppo, scale)
    source = generator(torch.device("cpu"), config.system.seed, "initialization")
    eyes, normalizer = build_eyes(config, layout, source)
    memory = MEMORIES.part(network.memory, network.memory_kwargs)

    def make_memory(features: int) -> Memory:
        made = memory(features, network.memory_size, source)
        return probes.check(probes.memory, memory, made, features)

    actions = distribution_for(action_space, network.action_squash, network.initial_log_std)
    with seeded(config.system.seed, 2):
        agent = Agent(
            layout,
            actions,
            num_components,
            normalizer,
            head,
            network.shared_encoder,
            eyes,
            make_memory,
            source,
        )
    return agent, scale


@contextlib.contextmanager
def seeded(run_seed: int, purpose: int) -> Iterator[None]:
    """Layers that start as torch makes them start from the run's seed, whatever was drawn before.

    Args:
        purpose: 1 heads of auxiliary losses, 2 parts of the user's.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(run_seed, "initialization", purpose))
        yield


def build_head(config: PPOConfig, scale: ValueScale) -> ValueHead:
    """The critic's head for targets of this scale."""
    part = HEADS.part(config.value_loss, config.value_loss_kwargs)
    if not part.kind.linear and scale.support is None:
        raise part.error(f"needs bounded targets, and {type(scale).__name__} gives none")
    units = Units(
        scale.unit,
        scale.unit if config.value_loss_unit == "variance" else 1.0,
        (scale.support or 1.0) * scale.unit,
        not scale.affine,
    )
    return probes.check(probes.head, part, part(units))


def build_clip(config: PPOConfig, scale: ValueScale) -> ValueClip:
    """The clip of the critic's movement in the units of this scale."""
    kind = config.value_clip_kind
    if not scale.affine and kind in CLIPS_IN_LENGTHS:
        raise UserError(
            f"ppo.value_clip: {kind} is a length, and {type(scale).__name__} has logarithmic units;"
            " write absolute or none"
        )
    part = CLIPS.part(kind, config.value_clip_kwargs)
    made = part(config.value_clip_epsilon, config.value_clip_floor)
    return probes.check(probes.clip, part, made)


def build_objective(config: Config, agent: Agent, scale: ValueScale) -> Objective:
    """Losses and balancer around the agent."""
    ppo = config.ppo
    clip = build_clip(ppo, scale)
    parts = Parts(agent.distribution, agent.value_head, scale, clip)
    free = [losses.REGISTRY.get(name)(ppo, parts) for name in FREE_LOSSES]
    balanced = [losses.REGISTRY.get("value")(ppo, parts)]
    with seeded(config.system.seed, 1):
        auxiliary = build_auxiliary(config.auxiliary, agent)
    balanced += auxiliary
    balancer = balancers.balancer_for(
        config.balancing,
        [loss.name for loss in balanced],
        [loss.weight for loss in balanced],
        [loss.num_outputs for loss in balanced],
    )
    probes.check(probes.balancer, balancers.part_of(config.balancing), balancer, len(balanced))
    advantages = losses.ADVANTAGES.get(ppo.normalize_advantages)()
    heads = nn.ModuleDict({loss.name: loss.head for loss in auxiliary})
    return Objective(agent, scale, free, balanced, balancer, advantages, heads, clip)


def build_auxiliary(config: AuxiliaryConfig, agent: Agent) -> list[AuxiliaryLoss]:
    """The auxiliary losses that have a weight, and the user's own."""
    sizes = agent.num_features, agent.observation_size
    found = [
        losses.AUXILIARY.get(name)(config, agent, *sizes, weight)
        for name in AUXILIARY
        if (weight := getattr(config, f"{name}_weight"))
    ]
    for path in config.losses:
        options = config.losses_kwargs.get(path.partition(":")[2], {})
        part = losses.AUXILIARY.part(path, options)
        made = probes.check(probes.auxiliary, part, part(config, agent, *sizes))
        if made.name in (*losses.REGISTRY.names(), *(loss.name for loss in found)):
            raise part.error(f"its name {made.name!r} is that of another loss; write another one")
        found.append(made)
    return found


def build_optimizer(config: Config, objective: Objective) -> Adam:
    """Adam with the critic's own rate and clipping where the configuration has them."""
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


def build_learner(
    config: Config, envs: Environments, device: torch.device, at_once: bool = True
) -> Learner:
    """A learner on these environments.

    Args:
        at_once: where graphs are used at all, from the first batch on; else some eager batches
            come first (ppo/algorithm/switch.py).
    """
    agent, scale = build_agent(config, envs.layout, envs.action_space, len(envs.component_names))
    agent.precision = getattr(torch, config.system.precision)
    objective = build_objective(config, agent, scale).to(device)
    optimizer = build_optimizer(config, objective)
    how = switch.of_run(config, device, envs.backend == "torch", at_once)
    seed = config.system.seed
    ppo, names = config.ppo, envs.component_names
    collector = Collector(agent, scale, envs, ppo.num_steps, config.env.reward_scale, seed, device)
    discount = Discount(ppo, names).to(device)
    settings = TargetSettings(
        gamma=discount.gamma,
        gae_lambda=ppo.gae_lambda,
        component_weights=by_component(names, ppo.component_weights, 1.0).to(device),
        normalize_components=ppo.component_mixing == "normalized" and len(names) > 1,
        over_ranks=ppo.normalize_advantages == "global",
    )
    update = Update(objective, optimizer, ppo, seed)
    scales = ppo.reward_scaling == "return_std"
    clips = ppo.reward_outlier == "clip"
    rewards = Rewards(envs.num_envs, discount.total, scales, clips).to(device)
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
        how,
    )


def build_environments(config: Config, device: torch.device, **options: Any) -> Environments:
    """The training environments of this rank.

    Args:
        options: of `make_environments`.
    """
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
    in_python = steps_in_python(config.env, options.get("env"))
    refuse_too_large(config, share, in_python)  # before they are made
    envs = make_environments(
        config.env,
        run_seed=config.system.seed,
        device=device,
        num_envs=share,
        first_index=parallel.rank() * share,
        # Several ranks share the cores already.
        **{"report": config.logging.info, "measures": ranks == 1, **options},
    )
    try:
        refuse_too_large(config, share, in_python, envs.layout, len(envs.component_names))
    except UserError:
        envs.close()
        raise
    return envs


def place(
    config: Config, device: torch.device, **options: Any
) -> tuple[Environments, torch.device, list[str]]:
    """The training environments, and the device of the learner.

    With `system.device: auto` small gradient steps stay on the CPU, where they are faster, unless
    observations hold images or the environments are on the GPU already.

    Args:
        device: what `prepare_torch` gave, and what several processes keep.
        options: of `make_environments`.

    Returns:
        Both, and a line for the user where a GPU is left idle.
    """
    is_open = config.system.device == "auto" and device.type != "cpu"
    if not is_open or parallel.world_size() > 1 or devices.is_large(config):
        return build_environments(config, device, **options), device, []
    cpu = torch.device("cpu")
    envs = build_environments(config, cpu, **options)
    if isinstance(envs, SimulatorEnvironments) and envs.device.type != "cpu":
        return envs, device, []
    if any(part.kind.sees_images for part in encoder_parts(config.network, [envs.layout])):
        if isinstance(envs, TorchEnvironments):  # they live where they were built
            envs.close()
            envs = build_environments(config, device, **options)
        return envs, device, []
    line = (
        f"auto: the CPU computes: gradient steps of {devices.minibatch(config):,} samples are "
        f"faster there than on the GPU (system.device={device} takes it all the same)"
    )
    return envs, cpu, [line]


def settled(config: Config, envs: Environments) -> Config:
    """The settings with what these environments have decided: `env.double_precision`.

    Raises:
        UserError: the environments of several processes decide differently.
    """
    names = [name for name, _ in envs.layout.precise]
    mine = json.dumps(names).encode()
    found = parallel.gather_bytes(mine, device_for(config.system.device))
    if any(other != mine for other in found):
        every = sorted({name for other in found for name in json.loads(other)})
        raise UserError(
            f"env.double_precision: auto: the first observations of {len(found)} processes differ "
            f"in their size; write env.double_precision {every}"
        )
    if config.env.double_precision == names:
        return config
    env = config.env.model_copy(update={"double_precision": names})
    return config.model_copy(update={"env": env})


def prepare_torch(config: Config) -> torch.device:
    """Threads and device, before the first tensor."""
    if config.system.threads:
        torch.set_num_threads(config.system.threads)
    return devices.take_gpu(config.system.device)
