"""The terminal during a run: a header, one line per batch, findings, and what to do next.

The trainer drives it, whether or not anybody is looking: a closed pipe or terminal
silences the console and ends nothing.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from tqdm import tqdm

from ppo.cli import blocks
from ppo.cli.columns import Record, batch_line, losses_line, table_header
from ppo.cli.header import fixes, header
from ppo.cli.marks import Marks, harmless_cut, legend
from ppo.config.units import value_loss_unit, warnings
from ppo.core import program, screen
from ppo.core.errors import one_line
from ppo.core.figures import compact
from ppo.core.news import News
from ppo.insight.rules.gradients_always_clipped import GradientsAlwaysClipped
from ppo.runs.files import from_here
from ppo.runs.names import to_type

if TYPE_CHECKING:
    from ppo.config import Config

SECONDS_BETWEEN_LINES = 0.5
MOMENT = 3.0  # seconds without a word
LINES_BETWEEN_HEADERS = 25
LAST = 10  # batches whose gradients the end explains
NO_EPISODE = 3  # batches without an end of an episode, after which a line notes it
_RED, _YELLOW, _PLAIN = "\033[31m", "\033[33m", "\033[0m"


class _Shielded:
    """A stream whose reader may go away: from then on what is written is dropped."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._gone = False

    def write(self, text: str) -> int:
        if not self._gone:
            try:
                self._stream.write(text)
            except UnicodeEncodeError:
                self._stream.write(text.encode("ascii", "backslashreplace").decode())
            except (OSError, ValueError):  # ValueError: the stream is closed
                self._gone = True
        return len(text)

    def flush(self) -> None:
        if not self._gone:
            try:
                self._stream.flush()
            except (OSError, ValueError):
                self._gone = True

    def isatty(self) -> bool:
        try:
            return not self._gone and self._stream.isatty()
        except (OSError, ValueError):
            return False

    def __getattr__(self, name: str) -> Any:  # tqdm reads encoding and fileno
        return getattr(self._stream, name)


class Console:
    """What a run prints: an observer of the trainer, made of methods that need no trainer.

    Args:
        stream: where to; standard output by default.
        verbosity: normal; verbose adds the losses of every batch shown; quiet prints the end
            only.
        total_steps: length of the progress bar; None shows no bar.
        health: whether the end explains the last batch, figure by figure.
        clock: seconds, never going back; replaced in tests.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        verbosity: str = "normal",
        total_steps: int | None = None,
        health: bool = False,
        clock: Callable[[], float] = time.monotonic,
        given: Sequence[str] = (),
    ) -> None:
        assert verbosity in ("quiet", "normal", "verbose"), verbosity
        self._stream = _Shielded(sys.stdout if stream is None else stream)
        self._verbosity = verbosity
        self._total_steps = total_steps
        self._health, self._given = health, given
        self._clock = clock
        self._columns = screen.width()
        self._width = min(self._columns, screen.WIDEST)  # of sentences
        self._marks, self._news, self._explained = Marks(), News(), False
        self._last: deque[Record] = deque(maxlen=LAST)
        self._without_episode, self._advised = 0, False
        terminal = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._color = terminal and not os.environ.get("NO_COLOR")
        self._live = terminal and verbosity != "quiet" and total_steps is not None
        self._bar: tqdm | None = None
        self._lines_since_header = LINES_BETWEEN_HEADERS
        self._last_line_at: float | None = None
        self._skipped: list[str] = []  # the newest batch, where its line was held back
        self._config: Config | None = None
        self._record: Record = {}  # of the newest batch
        self._marked: frozenset[str] = frozenset()  # of its figures
        self._told: dict[str, Mapping[str, Any]] = {}  # every finding of the run, for the verdict

    def expect(self, total_steps: int) -> None:
        """The length of the progress bar, where it is known later than the rest."""
        self._total_steps = total_steps

    @contextlib.contextmanager
    def waiting(self, text: str, after: float | None = None) -> Iterator[None]:
        """Says what goes on between two lines, where it takes more than a moment."""
        timer = threading.Timer(MOMENT if after is None else after, lambda: self._print(text))
        timer.daemon = True
        if self._verbosity != "quiet":
            timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def on_start(self, trainer: Any) -> None:
        """The header, and what the user should know."""
        import torch

        folder, config = trainer.folder, trainer.config
        facts = {
            "backend": trainer.envs.backend,
            "device": str(trainer.device),
            "threads": torch.get_num_threads(),
            "parameters": trainer.learner.optimizer.flat.theta.numel(),
            "total_steps": config.train.total_timesteps,
            "length": self._batches(trainer) if self._health else None,
            "path": from_here(folder.path),
            "batch": trainer.learner.counters["batch"],
            **trainer.differs,
        }
        self.start(folder.name, config, facts)
        self._marks.recall(folder.records() if facts["batch"] else ())
        for line in [*warnings(config.ppo), *trainer.notes]:
            self.note(line)

    def on_batch(self, trainer: Any, record: Record) -> None:
        """The batch, what the doctor found in it, and what happened."""
        total = trainer.config.train.total_timesteps
        if self._health and self._total_steps is not None:
            total = self._total_steps
        steps_left = max(0, total - record["env_steps"])
        self.batch(record, steps_left / max(record["steps_per_second"], 1e-9))
        self._miss_episodes(trainer, record)
        run = to_type(trainer.folder.name, from_here(trainer.folder.path))
        for finding in trainer.doctor.new:
            self.finding(finding.illness, finding.evidence, finding.remedies[0], run)
        events = record["events"]
        for event in events if self._verbosity == "verbose" else self._news.of(events):
            self.note(event)

    def _batches(self, trainer: Any) -> str:
        """What a run of a few batches does, in words."""
        steps = trainer.learner.steps_per_batch
        count = ((self._total_steps or steps) - trainer.config.auto.steps) // steps or 1
        return f"{count} batch{'es' if count != 1 else ''}, {compact(steps * count)} steps"

    def _miss_episodes(self, trainer: Any, record: Record) -> None:
        """A line where several batches in a row saw no episode end; once."""
        missing = record.get("mean_episode_return") is None
        self._without_episode = self._without_episode + 1 if missing else 0
        if self._without_episode == NO_EPISODE and not self._advised:
            self._advised = True
            longest = trainer.envs.max_episode_steps
            self.note(blocks.no_episode(trainer.config, longest, NO_EPISODE))

    def on_end(self, trainer: Any, summary: Mapping[str, Any]) -> None:
        """The end block, with the verdict of `--mode diagnose`."""
        for event in trainer.events:  # since the last batch; no record holds them
            self.note(event)
        verdict = trainer.doctor.verdict
        if verdict is not None:
            lasting = {finding.illness for finding in verdict.findings}
            passed = [illness for illness in self._told if illness not in lasting]
            summary = {**summary, "verdict_text": verdict.text, "passed": passed}
            self._told = {
                found.illness: {"since_batch": found.since_batch, "remedy": found.remedies[0]}
                for found in verdict.findings
            }
        place = {"run": trainer.folder.name, "path": from_here(trainer.folder.path)}
        self.end({**summary, **place})

    def start(self, run: str, config: Config, facts: Mapping[str, Any]) -> None:
        """Prints the header, at most five lines.

        Args:
            facts: what the configuration cannot know; each may be missing: backend, device,
                threads, parameters, path, batch (at which a resumed run goes on), previous (a
                run) and differs (its settings that changed, as sentences).
        """
        self._config = config
        if self._verbosity != "quiet":
            known = {"total_steps": self._total_steps, **facts}
            self._print(*header(run, config, known, self._width))
        if self._live:
            self._bar = tqdm(
                total=self._total_steps,
                unit=" steps",
                unit_scale=True,
                leave=False,
                file=self._stream,
                ncols=self._width - 1,
                bar_format="{percentage:3.0f}%|{bar}| {n_fmt} of"
                " {total_fmt} steps [{elapsed}, {remaining} left, {rate_fmt}]",
            )

    def batch(self, record: Record, eta_s: float | None = None) -> None:
        """One batch: always printed where a figure is outside its healthy range, else in time."""
        self._record = record
        self._last.append(record)
        self._marked = self._marks.of(record)
        line = batch_line(record, eta_s, self._marked, self._columns)
        lines = [line.replace("!", f"{_RED}!{_PLAIN}") if self._color else line]
        if self._verbosity == "verbose":
            unit = value_loss_unit(self._config.ppo) if self._config else "unweighted"
            lines += blocks.note_lines(losses_line(record, unit), self._width)
        if self._marked and not self._explained:
            self._explained = True
            lines += blocks.note_lines(legend(self._marked, record), self._width)
        now = self._clock()
        due = self._last_line_at is None or now - self._last_line_at >= SECONDS_BETWEEN_LINES
        self._skipped = lines
        if due or self._marked:
            self._show_batch(now)
        if self._bar is not None and record.get("env_steps") is not None:
            self._bar.update(record["env_steps"] - self._bar.n)

    def finding(self, illness: str, evidence: str, remedy: str, run: str) -> None:
        """One finding of the batch just given; the doctor names each illness once in a run.

        Args:
            remedy: the setting to try, as KEY=VALUE.
        """
        self._told[illness] = {"since_batch": self._record.get("batch"), "remedy": remedy}
        if self._verbosity == "quiet":
            return
        self._show_batch(self._clock())
        head, remedy = one_line(f"{illness.replace('_', ' ')}: {evidence}"), one_line(remedy)
        lines = blocks.finding_lines(head, remedy, one_line(run), self._width)
        if self._color:
            lines = [f"{_YELLOW}{line}{_PLAIN}" for line in lines]
        self._print(*lines, safe=True)

    def note(self, text: str) -> None:
        """Something that happened, indented and wrapped."""
        if self._verbosity != "quiet":
            self._show_batch(self._clock())
            self._print(*blocks.note_lines(one_line(text), self._width))

    def single_batch(self, record: Record, config: Config) -> None:
        """The active fixes and the health of one batch, each figure with what is normal."""
        self.close()
        self._print("active fixes", *(f"  {text}" for text in fixes(config.ppo)), "")
        marked = Marks().of(record) if record is not self._record else self._marked
        self._print(*blocks.health_block(record, config, marked, self._width))
        warning = blocks.scale_warning(record, config, marked)
        if warning:
            self._print("", *screen.wrapped(warning, self._width, "", "  "))

    def end(self, summary: Mapping[str, Any]) -> None:
        """The last batch if it was held back, then the end block; also with --quiet.

        Args:
            summary: each may be missing: run, path, status (finished, interrupted, failed),
                reason, env_steps, wall_time_s, final_return, final_return_ci95,
                best_evaluation (mean_return and batch), findings (names of illnesses), verdict
                (null where nothing was asked) and verdict_text, time (seconds by name), next (a
                command).
        """
        self._show_batch(self._clock())
        self.close()
        if self._verbosity != "quiet":
            self._print("")
            if self._health and self._record and self._config is not None:
                self.single_batch(self._record, self._config)
                self._print("")
        if self._health and summary.get("status") == "finished":
            summary = {"next": program.command("train", *self._given), **summary}
        cut = None if GradientsAlwaysClipped.illness in self._told else harmless_cut(self._last)
        deterministic = self._config is not None and self._config.evaluation.deterministic
        summary = {"cut": cut, "deterministic": deterministic, **summary}
        self._print(*blocks.end_block(summary, self._told, self._width))

    def close(self) -> None:
        """Takes the progress bar away; safe to call again."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        self._stream.flush()

    def _show_batch(self, now: float) -> None:
        """Prints the newest batch unless it stands there already."""
        if not self._skipped or self._verbosity == "quiet":
            return
        if self._lines_since_header >= LINES_BETWEEN_HEADERS:
            self._print(table_header(self._columns))
            self._lines_since_header = 0
        self._print(*self._skipped, safe=True)
        self._skipped = []
        self._lines_since_header += 1
        self._last_line_at = now

    def _print(self, *lines: str, safe: bool = False) -> None:
        """Lines above the progress bar. Names from outside cannot steer the terminal."""
        if self._bar is not None:
            self._bar.clear()
        for line in lines:
            self._stream.write((line if safe else one_line(line)) + "\n")
        if self._bar is not None:
            self._bar.refresh()
        self._stream.flush()
