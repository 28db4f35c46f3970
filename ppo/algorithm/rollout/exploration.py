"""Which environments explore with noise that lasts for several steps.

Slow noise, that pushes the same way for a while, comes further than noise that cancels itself from
step to step, and finds what is far away: on Swimmer the stroke that the policies of white noise
never find. Where a fall ends the episode it mostly finds the fall, and a gait that it disturbs it
holds back. So the color may wait until episodes last, and it may have to win its environments.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ppo.config import PPOConfig
from ppo.core import parallel
from ppo.functional.moments import remember

PINK = 1.0  # exponent of 1 / frequency in the power of colored noise
START, STEP, LEAST = 0.5, 0.125, 0.125  # shares of a contest
PATIENCE = 10  # defeats in a row that end it
LATEST = 0.1  # share of the run by which it has begun
MEMORY = 15 / 16  # weight that an episode keeps with each later one of its kind
ENOUGH = 6.0  # weight of the episodes of either kind from which they are compared
WAITING, GOING_ON, OVER = 0.0, 1.0, 2.0


class NoiseColor(nn.Module):
    """The share of the environments with colored noise: `share` before a rollout, `observe` after.

    By `ppo.noise` that is none (white), all of them (pink), or what a contest finds. A contest
    begins once most of the last hundred episodes or so have reached their time limit; an
    environment that reports `terminated` at its time limit survives nothing. Half of the
    environments are pink at first. After every rollout in which episodes end, an eighth of them
    goes over to the noise whose last episodes reach higher, as upper confidence bounds do (Auer et
    al. 2002): mean plus standard deviation of their returns. Neither kind gets less than an
    eighth, until pink noise has lost ten times in a row: then the contest is over, as it is where
    it has not begun by a tenth of the run.

    Args:
        num_envs: of this process; a contest takes two.
        normal_noise: whether the actions have normal noise, which alone can be colored.
    """

    seen: Tensor  # [2] float64: episodes remembered, those that reached their time limit and all
    contest: Tensor  # [3] float64: its state, its share, its defeats in a row
    returns: Tensor  # [2, 3] float64 of white and colored: sum of squares, sum, number

    def __init__(self, config: PPOConfig, num_envs: int, normal_noise: bool = True) -> None:
        super().__init__()
        alone = config.noise == "contest" and num_envs < 2
        self.possible = normal_noise and config.num_steps > 1 and not alone
        self.kind = config.noise if self.possible else "white"
        self.notes = []
        if config.noise != "white" and not self.possible:
            self.notes.append(
                f"ppo.noise: {config.noise} has no effect: it takes continuous actions and batches "
                "of several steps of each environment, a contest several environments of a process"
            )
        self.register_buffer("seen", torch.zeros(2, dtype=torch.float64))
        self.register_buffer("contest", torch.tensor([WAITING, START, 0.0], dtype=torch.float64))
        self.register_buffer("returns", torch.zeros(2, 3, dtype=torch.float64))

    def share(self) -> float:
        """The share of the environments that have colored noise in the next rollout."""
        if self.kind != "contest":
            return 1.0 if self.kind == "pink" else 0.0
        state, share, _ = self.contest.tolist()
        return share if state == GOING_ON else 0.0

    @torch.no_grad()
    def observe(
        self, finished: Tensor, terminated: Tensor, returns: Tensor, progress: float
    ) -> None:
        """Take in the episodes that ended in a rollout, on all ranks.

        Args:
            finished, terminated: [T, N] bool.
            returns: [T, N, K] of the episodes so far.
            progress: share of the run that is done.
        """
        if self.kind != "contest":
            return
        found = torch.stack([(finished & ~terminated).sum(), finished.sum()]).double()
        remember(self.seen, parallel.sum_(found))
        self._compare(finished, returns.sum(-1).double())
        survived, count = self.seen.tolist()
        if self.contest[0] == WAITING and (progress >= LATEST or survived > count / 2):
            self.contest[0] = OVER if progress >= LATEST else GOING_ON

    def _compare(self, finished: Tensor, returns: Tensor) -> None:
        """One round of the contest, by the share that this rollout had."""
        state, share, defeats = self.contest.tolist()
        if state != GOING_ON:
            return
        first = colored_count(share, finished.shape[1])
        found = torch.stack(
            [
                torch.stack([(of.square() * over).sum(), (of * over).sum(), over.double().sum()])
                for of, over in (
                    (returns[:, first:], finished[:, first:]),
                    (returns[:, :first], finished[:, :first]),
                )
            ]
        )
        found = parallel.sum_(found)
        for kind in range(2):
            remember(self.returns[kind], found[kind], MEMORY)
        squares, sums, counts = self.returns.unbind(1)
        if not found[:, 2].any() or counts.min() < ENOUGH:
            return
        means = sums / counts
        white, colored = (means + (squares / counts - means.square()).clamp(min=0).sqrt()).tolist()
        wins = colored > white
        share = min(max(share + (STEP if wins else -STEP), LEAST), 1.0 - LEAST)
        defeats = 0.0 if wins else defeats + 1.0
        over = OVER if defeats >= PATIENCE else GOING_ON
        self.contest.copy_(torch.tensor([over, share, defeats], dtype=torch.float64))


def colored_count(share: float, num_envs: int) -> int:
    """How many environments that is, at least one of either kind; they are the first ones."""
    found = round(share * num_envs)
    return found if share in (0.0, 1.0) else min(max(found, 1), num_envs - 1)
