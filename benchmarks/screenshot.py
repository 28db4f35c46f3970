"""A picture of the console: runs this program in a terminal of 80 columns and draws what it left.

    python benchmarks/screenshot.py docs/images/console.svg --mode train \\
        --set ppo.normalize_returns=false --set ppo.use_relative_value_clip=false \\
        --set ppo.value_clip_epsilon=200 --set ppo.value_loss_weight=1 \\
        --set train.total_timesteps=200000
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shlex
import struct
import sys
import tempfile
import termios
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = 80


def screen_of(command: list[str], folder: str) -> str:
    """What a terminal shows after `command`, with its escapes for color; bars are gone."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.environ.pop("COLUMNS", None)
        os.environ["TERM"] = "xterm-256color"
        os.execvp(command[0], command)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    written = b""
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:  # the program has ended
            break
        written += data
    os.waitpid(pid, 0)
    lines = written.decode().replace("\r\n", "\n").split("\n")
    return "\n".join(line.rpartition("\r")[2].rstrip() for line in lines)


def main() -> None:
    file, *words = sys.argv[1:]
    target = Path(file).resolve()
    typed = shlex.join(["python", "train_cli.py", *words])
    with tempfile.TemporaryDirectory() as folder:
        shown = screen_of([sys.executable, str(ROOT / "train_cli.py"), *words], folder)
    draw(f"$ {typed}\n{shown}", target)


def draw(text: str, target: Path) -> None:
    """An SVG of `text`, which may hold escapes."""
    with open(os.devnull, "w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        console.print(Text.from_ansi(text.rstrip()), soft_wrap=False)
        picture = console.export_svg(title="train_cli.py at 80 columns")
    # The fonts would be asked for from the network; the reader's own monospace will do.
    target.write_text(re.sub(r"@font-face \{.*?\n    \}\n", "", picture, flags=re.S))


if __name__ == "__main__":
    main()
