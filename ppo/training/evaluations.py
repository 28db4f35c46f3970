"""The evaluations that a run makes of its own policy, and which policy was the best."""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from ppo.algorithm.devices import for_few
from ppo.algorithm.learner import Learner
from ppo.config import Config
from ppo.core.randomness import stream_seed
from ppo.envs.base import Environments
from ppo.envs.given import Given
from ppo.envs.make import make_environments
from ppo.policies.play import EVALUATION_ENVS, evaluate
from ppo.policies.policy import Policy
from ppo.runs.folder import RunFolder

LONG = 20.0  # seconds without a word


class RunEvaluations:
    """Evaluations of one run, oldest first.

    Every evaluation plays the same episodes, so that a policy is the best because of what it does
    and not because of where it started. Of equals the newest is the best.

    Args:
        given: the environment, where it was given as an object.
        waiting: gives a context that shows a text after so many seconds.
    """

    def __init__(
        self,
        config: Config,
        device: torch.device,
        given: Given | None,
        waiting: Callable[[str, float], Any],
    ) -> None:
        self.config, self.device, self._given = config, device, given
        self._waiting = waiting
        self._longest = 0.0  # seconds, in this process
        self.rows: list[dict[str, Any]] = []
        self.best: dict[str, Any] | None = None
        self.seconds = 0.0
        self.notes: list[str] = []  # notes of the newest evaluation, for the user
        self._envs: Any = None

    def play(self, learner: Learner, poll: Callable[[], None]) -> bool:
        """Play the policy as it is now; whether it is the best so far.

        Raises:
            Dropped: `poll` says that there is no time to finish it.
        """
        started, self.notes = time.perf_counter(), []
        most = self.config.evaluation.max_steps
        text = f"an evaluation waits for its episodes to end, or for evaluation.max_steps={most}"
        told = self._longest > LONG
        try:
            with contextlib.nullcontext() if told else self._waiting(text, LONG):
                self.rows.append(self._result(learner, poll))
        finally:
            spent = time.perf_counter() - started
            self.seconds += spent
            self._longest = max(self._longest, spent)
        if self.best is not None and self.rows[-1]["mean_return"] < self.best["mean_return"]:
            return False
        self.best = self.rows[-1]
        return True

    def _result(self, learner: Learner, poll: Callable[[], None]) -> dict[str, Any]:
        settings, trained = self.config.evaluation, learner.collector.envs
        seed = stream_seed(self.config.system.seed, "evaluation")
        agent = learner.objective.agent
        if settings.env != "same":
            self.device = for_few(self.config, agent, trained, learner.device)
        alike = self.device == learner.device
        played = agent if alike else copy.deepcopy(agent).to(self.device)
        policy = Policy(played, self.config, trained.observation_space, trained.action_space)
        with self.borrowed(learner) as training:
            envs = training or self._environments(seed)
            envs.run_seed = seed
            try:
                result = evaluate(
                    envs,
                    policy,
                    settings.episodes,
                    seed,
                    settings.deterministic,
                    poll,
                    settings.max_steps,
                    self.notes.append,
                )
            finally:
                agent.train()
        counters = learner.counters
        return result | {"batch": counters["batch"], "env_steps": counters["env_steps"]}

    @contextlib.contextmanager
    def borrowed(self, learner: Learner) -> Iterator[Environments | None]:
        """The training's environments, which go back to it after; None: evaluation has its own."""
        if self.config.evaluation.env != "same":
            yield None
            return
        put_back = learner.collector.put_aside()
        try:
            yield learner.collector.envs
        finally:
            put_back()

    def _environments(self, seed: int) -> Any:
        count = min(self.config.evaluation.episodes, EVALUATION_ENVS)
        if self._envs is None:
            self._envs = make_environments(
                self.config.env,
                run_seed=seed,
                device=self.device,
                env=self._given,
                num_envs=count,
                offset=self.config.env.num_envs,  # beside those of the training
            )
        return self._envs

    def load(self, folder: RunFolder, before: int) -> None:
        """Those in the run folder of batches up to `before`; the others are no more of this run."""
        earlier = folder.read_json("evaluations.json") or []
        self.rows = [row for row in earlier if row["batch"] <= before]
        if len(self.rows) < len(earlier):
            folder.write_json("evaluations.json", self.rows)

    def close(self) -> None:
        if self._envs is not None:
            self._envs.close()
