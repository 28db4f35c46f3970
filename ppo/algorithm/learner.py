"""One batch: collect, targets, update, statistics, in an order that never turns back.

The learner holds every state that training has and touches no file; loop.py gives it a run folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ppo.algorithm import balancing
from ppo.algorithm.discount import Discount
from ppo.algorithm.examine import Examine
from ppo.algorithm.health import Numbers
from ppo.algorithm.optimizer import Adam
from ppo.algorithm.record import EpisodeRows, Recorder, fault_of, reduce_table, to_host
from ppo.algorithm.reported import Reported
from ppo.algorithm.rewards import Rewards
from ppo.algorithm.rollout.collect import Collector, Episodes
from ppo.algorithm.rollout.exploration import NoiseColor
from ppo.algorithm.schedules import KLRate, in_force
from ppo.algorithm.snapshot import Snapshot, of_a_rank, of_earlier_versions
from ppo.algorithm.stopwatch import Stopwatch
from ppo.algorithm.switch import Switch, eager_batches
from ppo.algorithm.targets import Prepare, TargetSettings, by_component, silence
from ppo.algorithm.update import Update
from ppo.config import Config
from ppo.core import parallel, torch_internals
from ppo.core.data import Batch, Rollout
from ppo.core.errors import Diverged, Dropped
from ppo.core.signals import Grace
from ppo.losses.base import Knobs
from ppo.losses.objective import Objective

MAX_ROLLBACKS = 3  # in a run; then it has diverged
ROLLBACK_BATCHES = 10  # batches at a lower learning rate after a rollback


class Learner(nn.Module):
    """Everything that learns, and its counters.

    A state across batches is a buffer of this module or of one of its children, and that is all it
    takes: it is then saved, loaded, rolled back after a fault and rewound when a batch is dropped.
    Only the collector, whose environments are no tensors, does this by itself.

    `step()` does one batch and returns its record; `state_dict()` and `load_state_dict()` carry a
    run from one process to the next without changing a bit.
    """

    last_mean: Tensor  # [K] float64, mean of the last batch's returns

    def __init__(
        self,
        config: Config,
        objective: Objective,
        optimizer: Adam,
        collector: Collector,
        update: Update,
        settings: TargetSettings,
        discount: Discount,
        rewards: Rewards,
        device: torch.device,
        switch: Switch,
    ) -> None:
        super().__init__()
        self.config, self.objective, self.optimizer = config, objective, optimizer
        self.collector, self.update = collector, update
        self.device, self.switch = device, switch
        num_components = len(collector.envs.component_names)
        last_mean = torch.zeros(num_components, dtype=torch.float64, device=device)
        self.register_buffer("last_mean", last_mean)  # mean of the last batch's returns [K]
        self.counters: dict[str, int] = {
            "batch": 0,
            "env_steps": config.auto.steps,
            "episodes": 0,
            "rollbacks": 0,
            "slow_until": 0,
        }
        self.discount, self.reward_scale = discount, rewards
        self.prepare = Prepare(objective, settings, rewards, self.last_mean)
        self.examine = Examine(objective, optimizer.flat)
        self._run_as(graphs=switch.batch == 0)
        self.grace = Grace()
        self._snapshot: Snapshot | None = None
        normal_noise = objective.agent.distribution.normal_noise
        self.noise_color = NoiseColor(config.ppo, collector.envs.num_envs, normal_noise).to(device)
        self.kl_rate = KLRate(config.ppo)
        self.reports: list[str] = []
        self._lacks = 0  # how many of torch_internals.NOTES this run has reported
        self.wall_time = 0.0
        self.watch = Stopwatch("collect", "update", "other")
        self.recorder = Recorder(objective, collector.envs)
        self.reported = Reported()
        self.finished: EpisodeRows | None = None

    @property
    def steps_per_batch(self) -> int:
        return self.collector.num_steps * self.collector.envs.num_envs * parallel.world_size()

    @property
    def timing(self) -> dict[str, float]:
        """Seconds that the run has spent, by part of a batch."""
        return self.watch.seconds

    @property
    def progress(self) -> float:
        """Share of the run that is done."""
        return min(1.0, self.counters["env_steps"] / self.config.train.total_timesteps)

    @property
    def colored_share(self) -> float:
        """Share of the environments whose noise is colored in the next rollout."""
        return self.noise_color.share()

    def start(self) -> list[str]:
        """First observations, and the statistics that make the first batch's inputs normal."""
        self.collector.player.poll = Grace() if parallel.is_active() else self.grace
        calibration = self.config.env.calibration_steps
        return self.noise_color.notes + self.collector.start(calibration, self.colored_share)

    def step(self) -> dict[str, Any]:
        """One batch; on a numerical fault the parameters of its start return and it is tried again.

        Whatever it raises, the learner is then back at the start of the batch: `state_dict()` is
        what a run resumes from, though this learner itself can go on only after a reset.

        Raises:
            Diverged: after more than three such faults in the run.
            Dropped: `grace` says that there is no time to finish it.
        """
        started = time.perf_counter()
        self._keep_to_switch()
        rewind = self._mark()
        try:
            with self.grace.during("batch"):
                return self._step(started)
        except BaseException:
            rewind()
            raise

    def _step(self, started: float) -> dict[str, Any]:
        steps, events = self.counters["env_steps"], []
        for attempt in range(MAX_ROLLBACKS + 1):
            record, faults = self._attempt(attempt)
            if not faults:
                break
            assert self._snapshot is not None
            self._snapshot.roll_back()
            self.counters["rollbacks"] += 1
            self.counters["slow_until"] = self.counters["batch"] + ROLLBACK_BATCHES
            if self.counters["rollbacks"] > MAX_ROLLBACKS:
                raise Diverged(
                    f"batch {self.counters['batch']}: {faults}; "
                    f"{MAX_ROLLBACKS} rollbacks did not help"
                )
            events.append(
                f"{faults}: rolled back, learning rate times {self._slowed():g} for "
                f"{ROLLBACK_BATCHES} batches"
            )
        told, left_out = self.reported(self.collector.envs.reports.take())  # of all attempts
        record |= told
        events = [*left_out, *self.reports, *self.collector.envs.drain_events(), *events]
        record["events"] += [*events, *self._changed(), *self._lacking()]
        self.reports.clear()
        spent = max(time.perf_counter() - started, 1e-9)
        self.wall_time += spent
        record["wall_time_s"] = self.wall_time
        record["steps_per_second"] = (self.counters["env_steps"] - steps) / spent
        self.kl_rate.follow(record["approx_kl"], self.config.ppo.learning_rate)
        self.discount.follow(record["explained_variance"])
        self.counters["batch"] += 1
        return record

    def _keep_to_switch(self) -> None:
        """Eager functions before the batch of the switch, graphs from it on."""
        batch, first = self.counters["batch"], self.switch.batch
        wanted = first is not None and batch >= first
        if wanted != self.compiled:
            self._run_as(graphs=wanted)

    def _run_as(self, graphs: bool) -> None:
        eager = eager_batches(self.config, self.switch)
        for part in (self.collector, self.prepare, self.update, self.examine):
            part.run_as(graphs, eager)
        self.compiled = graphs

    def _changed(self) -> list[str]:
        changes = self.switch.batch and self.counters["batch"] == self.switch.batch
        return ["compiled: graphs compute from this batch on"] if changes else []

    def _lacking(self) -> list[str]:
        """What graphs have to do without on this torch, and was not reported before."""
        graphs = self.compiled or self.device.type == "cuda"
        lines = torch_internals.NOTES[self._lacks :] if graphs else []
        self._lacks += len(lines)
        return lines

    def _attempt(self, attempt: int) -> tuple[dict[str, Any], str]:
        """A batch's record, and what is numerically wrong with the batch; empty if nothing is."""
        with self.watch.part("other"):
            knobs, numbers = self.knobs()
            with self.watch.part("collect", out_of="other"):
                rollout, episodes = self._collect(attempt)
            batch, before = self.batch_of(rollout)
            balancing.show_gradients(self.objective, self.optimizer.flat, batch, knobs)
            self.examine.remember(batch, knobs)
            with self.watch.part("update", out_of="other"):
                table = self.update(batch, knobs, self.counters["batch"], attempt)
            after = self.examine(batch, knobs, table, self.counters["batch"])
            variances = balancing.show_losses(
                self.objective, batch, table, self.counters["batch"] + 1
            )
            targets = {f"target_variance/{k}": v for k, v in enumerate(variances)}
            values = to_host(before, after, Numbers.of(targets)) | numbers
            values |= reduce_table(table, self.config.ppo.max_grad_norm)
            self._report(values, rollout)
            return self._record(values, rollout, episodes, attempt), fault_of(values)

    def _collect(self, attempt: int) -> tuple[Rollout, Episodes]:
        """A rollout, and what discount and noise learn of its episodes.

        Ranks meet in the update, so they leave together, and here only.
        """
        self.collector.player.poll = self.grace
        self.update.poll = Grace() if parallel.is_active() else self.grace
        self.reward_scale.begin(self.collector.lengths)
        found = None
        try:
            found = self.collector(self.counters["batch"], attempt, self.colored_share)
        except Dropped:
            pass  # the other ranks hear of it first
        if parallel.any_(found is None, self.device) or found is None:
            raise Dropped(f"batch {self.counters['batch']} was dropped")
        rollout, episodes = found
        self.discount.observe(episodes, self.colored_share)
        ended = episodes.finished, rollout.terminated, episodes.returns
        self.noise_color.observe(*ended, self.progress)
        return found

    @torch.no_grad()
    def batch_of(self, rollout: Rollout) -> tuple[Batch, Numbers]:
        """All that an update learns from, and the numbers known already."""
        batch, numbers = self.prepare(rollout)
        return batch._replace(targets=self.objective.targets(rollout)), numbers

    def knobs(self) -> tuple[Knobs, dict[str, float]]:
        """What schedules have in force now: for the update, and for the record."""
        factor = self.kl_rate.factor.item()  # on the host
        if self.counters["batch"] < self.counters["slow_until"]:
            factor *= self._slowed()
        numbers = in_force(self.config.ppo, self.progress, factor)
        tensors = {k: torch.full((), value, device=self.device) for k, value in numbers.items()}
        return Knobs(**tensors), numbers | {"colored_share": self.colored_share}

    def _slowed(self) -> float:
        """What the learning rate is multiplied by for some batches after a rollback."""
        return 0.5 ** self.counters["rollbacks"]

    def take_over(self, config: Config) -> None:
        """Settings that may move during a run (see knobs), and the weights of the components.

        Raises:
            UserError: a weight is of a component that is not there; nothing has changed then.
        """
        names = self.collector.envs.component_names
        weights = by_component(names, config.ppo.component_weights, 1.0)
        self.prepare.settings.component_weights.copy_(weights)
        self.config = config

    def _report(self, values: dict[str, float], rollout: Rollout) -> None:
        """Events of a batch for the user."""
        if values["reward_outliers"]:
            envs = self.collector.envs
            first_env = parallel.rank() * envs.num_envs
            self.reports += self.reward_scale.report(rollout, envs.component_names, first_env)
        self.reports += silence(values)

    def _record(
        self, values: dict[str, float], rollout: Rollout, episodes: Episodes, attempt: int
    ) -> dict[str, Any]:
        finished = EpisodeRows(rollout, episodes)
        self.counters["env_steps"] += int(values["steps"])
        self.counters["episodes"] += len(finished)
        if attempt and self.finished is not None:  # what was rolled back was played all the same
            finished = self.finished.and_then(finished)
        self.finished = finished
        return self.recorder(values, self.finished, self.counters)

    def _mark(self) -> Callable[[], None]:
        """Remember the start of a batch: what a fault could spoil, and what a stop would lose.

        Returns:
            What goes back to it, as far as `state_dict` and the counters can tell.
        """
        snapshot = self._snapshot = self._snapshot or Snapshot(self)
        snapshot.take()
        moment = self.collector.mark()
        counters, wall_time = dict(self.counters), self.wall_time

        def rewind() -> None:
            snapshot.rewind()
            self.collector.rewind(moment)
            self.counters.update(counters)
            self.wall_time = wall_time
            self.reports.clear()

        return rewind

    @property
    def rank_prefixes(self) -> tuple[str, ...]:
        """How names in `state_dict` begin whose tensors differ between ranks."""
        return ("collector.", *(name for name, _ in of_a_rank(self)))

    def state_dict(self) -> dict[str, Tensor]:  # type: ignore[override]
        """Every tensor that training has, by dotted name."""
        collector = {f"collector.{name}": t for name, t in self.collector.state_dict().items()}
        return {**super().state_dict(), **collector}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:  # type: ignore[override]
        """Take over what `state_dict` gave, now or in an earlier version.

        Raises:
            RuntimeError: a tensor is missing, or is one that this learner does not have.
        """
        named = of_earlier_versions(state, super().state_dict())
        own = [name for name in named if name.startswith("collector.")]
        self.collector.load_state_dict(
            {name.removeprefix("collector."): named.pop(name) for name in own}
        )
        super().load_state_dict(named)
