"""A plain PPO in JAX in the manner of PureJaxRL: gymnax and the whole training in one jit.

    python benchmarks/jax_ppo.py [--num-envs 2048] [--minibatches 4] [--updates 100] [--rounds 5]

prints environment steps per second on JAX's own device, a GPU where its JAX has one, and the mean
return of the last call. After https://github.com/luchris429/purejaxrl (ppo.py): actor and
critic 2x64 tanh apart from each other, orthogonal weights, Adam behind a gradient norm of 0.5,
clipped ratio and value, advantages normalized in each minibatch, all in float32. Nothing is
recorded but the mean return of an update. Needs jax, optax and gymnax (extra `bench-jax`).
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

GAMMA, LAMBDA, CLIP, ENTROPY, VALUE, NORM = 0.99, 0.95, 0.2, 0.01, 0.5, 0.5


class Sizes(NamedTuple):
    """The numbers of a workload of benchmarks/speed.py."""

    env_id: str
    num_envs: int
    num_steps: int
    num_epochs: int
    num_minibatches: int


class Steps(NamedTuple):
    """What a rollout keeps, [T, N] each."""

    obs: Any
    actions: Any
    log_probs: Any
    values: Any
    rewards: Any
    done: Any
    returns: Any  # of the episode that ended; NaN where none did


def network(key: Any, num_inputs: int, num_outputs: int, last: float) -> list[tuple[Any, Any]]:
    """Weights and biases of 2x64."""
    import jax

    sizes, scales = (num_inputs, 64, 64, num_outputs), (2**0.5, 2**0.5, last)
    return [
        (jax.nn.initializers.orthogonal(scale)(key, (rows, columns)), jax.numpy.zeros(columns))
        for key, rows, columns, scale in zip(
            jax.random.split(key, 3), sizes[:-1], sizes[1:], scales, strict=True
        )
    ]


def apply(layers: list[tuple[Any, Any]], x: Any) -> Any:
    import jax

    for weight, bias in layers[:-1]:
        x = jax.numpy.tanh(x @ weight + bias)
    return x @ layers[-1][0] + layers[-1][1]


def log_probs_of(params: Any, obs: Any) -> Any:
    import jax

    return jax.nn.log_softmax(apply(params["actor"], obs))


def chosen(log_probs: Any, actions: Any) -> Any:
    import jax

    return jax.numpy.take_along_axis(log_probs, actions[..., None], -1)[..., 0]


def advantages_of(steps: Steps, last_value: Any) -> Any:
    """[T, N] by GAE; an end by the time limit counts as an end, as in PureJaxRL."""
    import jax

    def back(carry: Any, step: Any) -> Any:
        advantage, next_value = carry
        rewards, values, done = step
        delta = rewards + GAMMA * next_value * (1 - done) - values
        advantage = delta + GAMMA * LAMBDA * (1 - done) * advantage
        return (advantage, values), advantage

    begin = (jax.numpy.zeros_like(last_value), last_value)
    what = (steps.rewards, steps.values, steps.done)
    return jax.lax.scan(back, begin, what, reverse=True, unroll=16)[1]


def loss_of(params: Any, batch: Any) -> Any:
    """Of one minibatch (steps, advantages, targets)."""
    import jax.numpy as jnp

    steps, advantages, targets = batch
    log_probs = log_probs_of(params, steps.obs)
    ratio = jnp.exp(chosen(log_probs, steps.actions) - steps.log_probs)
    scaled = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    policy = -jnp.minimum(ratio * scaled, jnp.clip(ratio, 1 - CLIP, 1 + CLIP) * scaled).mean()
    values = apply(params["critic"], steps.obs)[..., 0]
    near = steps.values + jnp.clip(values - steps.values, -CLIP, CLIP)
    value = 0.5 * jnp.maximum((values - targets) ** 2, (near - targets) ** 2).mean()
    entropy = -(jnp.exp(log_probs) * log_probs).sum(-1).mean()
    return policy + VALUE * value - ENTROPY * entropy


def training(sizes: Sizes, updates: int, learning_rate: float = 3e-4, seed: int = 0) -> Any:
    """The first state, and a compiled function that makes `updates` updates of it.

    Returns:
        state, and `run(state)` -> state, mean returns [updates] of the episodes that ended.
    """
    import gymnax
    import jax
    import jax.numpy as jnp
    import optax

    env, env_params = gymnax.make(sizes.env_id)
    reset = jax.vmap(env.reset, in_axes=(0, None))
    move = jax.vmap(env.step, in_axes=(0, 0, 0, None))
    size = sizes.num_envs * sizes.num_steps
    adam = optax.adam(learning_rate, eps=1e-5)
    optimizer = optax.chain(optax.clip_by_global_norm(NORM), adam)

    def act(state: Any, _: Any) -> Any:
        params, optimizer_state, env_state, obs, so_far, key = state
        key, draw, step_key = jax.random.split(key, 3)
        log_probs = log_probs_of(params, obs)
        actions = jax.random.categorical(draw, log_probs)
        values = apply(params["critic"], obs)[..., 0]
        keys = jax.random.split(step_key, sizes.num_envs)
        # Done is one flag before gymnax 1.0 and two since.
        following, env_state, rewards, *ends, _info = move(keys, env_state, actions, env_params)
        done = jnp.stack(ends).any(0)
        so_far = so_far + rewards
        steps = Steps(
            obs,
            actions,
            chosen(log_probs, actions),
            values,
            rewards.astype(jnp.float32),
            done.astype(jnp.float32),
            jnp.where(done, so_far, jnp.nan),
        )
        so_far = jnp.where(done, 0.0, so_far)
        return (params, optimizer_state, env_state, following, so_far, key), steps

    def learn(carry: Any, batch: Any) -> Any:
        params, optimizer_state = carry
        gradient = jax.grad(loss_of)(params, batch)
        changes, optimizer_state = optimizer.update(gradient, optimizer_state)
        return (optax.apply_updates(params, changes), optimizer_state), None

    def update(state: Any, _: Any) -> Any:
        state, steps = jax.lax.scan(act, state, None, sizes.num_steps)
        params, optimizer_state, env_state, obs, so_far, key = state
        advantages = advantages_of(steps, apply(params["critic"], obs)[..., 0])
        whole = (steps, advantages, advantages + steps.values)
        flat = jax.tree.map(lambda x: x.reshape(size, *x.shape[2:]), whole)

        def epoch(carry: Any, epoch_key: Any) -> Any:
            order = jax.random.permutation(epoch_key, size).reshape(sizes.num_minibatches, -1)
            return jax.lax.scan(learn, carry, jax.tree.map(lambda x: x[order], flat))

        key, draw = jax.random.split(key)
        keys = jax.random.split(draw, sizes.num_epochs)
        (params, optimizer_state), _ = jax.lax.scan(epoch, (params, optimizer_state), keys)
        state = (params, optimizer_state, env_state, obs, so_far, key)
        return state, jnp.nanmean(steps.returns)

    key, actor_key, critic_key, reset_key = jax.random.split(jax.random.PRNGKey(seed), 4)
    obs, env_state = reset(jax.random.split(reset_key, sizes.num_envs), env_params)
    params = {
        "actor": network(actor_key, obs.shape[-1], env.num_actions, 0.01),
        "critic": network(critic_key, obs.shape[-1], 1, 1.0),
    }
    state = (params, optimizer.init(params), env_state, obs, jnp.zeros(sizes.num_envs), key)
    return state, jax.jit(lambda state: jax.lax.scan(update, state, None, updates))


def player(sizes: Sizes, updates: int) -> tuple[Callable[[], float], float]:
    """A call makes `updates` updates and gives their mean return; seconds of the first call."""
    import jax

    began = time.perf_counter()
    state, run = training(sizes, updates)

    def play() -> float:
        nonlocal state
        state, returns = run(state)
        return float(jax.numpy.nanmean(returns))  # waits for the device

    play()
    return play, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--num-envs", type=int, default=2048)
    parser.add_argument("--steps", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--minibatches", type=int, default=4)
    parser.add_argument("--updates", type=int, default=100, help="in one call")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    import jax

    sizes = Sizes("CartPole-v1", args.num_envs, args.steps, args.epochs, args.minibatches)
    play, startup = player(sizes, args.updates)
    seconds, reached = [], 0.0
    for _ in range(args.rounds):
        began = time.perf_counter()
        reached = play()
        seconds.append(time.perf_counter() - began)
    steps = args.num_envs * args.steps * args.updates
    found = {
        **sizes._asdict(),
        "device": str(jax.devices()[0]),
        "jax": jax.__version__,
        "steps_per_second": round(steps / statistics.median(seconds)),
        "mean_return": round(reached, 1),
        "startup_seconds": round(startup, 1),  # compilation and the first call
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
