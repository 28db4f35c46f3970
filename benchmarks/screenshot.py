"""A picture of the console or of a page, as the documents have them.

The console: runs this program in a terminal of 80 columns and draws what it left.

    python benchmarks/screenshot.py docs/images/console.svg --mode train \\
        --set ppo.normalize_returns=false --set ppo.use_relative_value_clip=false \\
        --set ppo.value_clip_epsilon=200 --set ppo.value_loss_weight=1 \\
        --set train.total_timesteps=200000

A page, with Chromium (`apt-get install chromium`):

    python train_cli.py --mode ablate --seeds 3 --set train.total_timesteps=200000 \\
        --toggle ppo.use_relative_value_clip=true,false ppo.normalize_returns=true,false
    python benchmarks/screenshot.py docs/images/compare.png \\
        training_results/experiment0001/report.html
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = 80
PAGE = "1210,1900"  # pixels


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
    if target.suffix == ".png":
        return photograph(Path(words[0]).resolve(), target)
    typed = shlex.join(["python", "train_cli.py", *words])
    with tempfile.TemporaryDirectory() as folder:
        shown = screen_of([sys.executable, str(ROOT / "train_cli.py"), *words], folder)
    draw(f"$ {typed}\n{shown}", target)


def photograph(page: Path, target: Path) -> None:
    """A PNG of the top of a page."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None or not page.exists():
        sys.exit(f"error: no Chromium on this machine, or no page {page}")
    flags = f"--headless --no-sandbox --disable-gpu --hide-scrollbars --window-size={PAGE}".split()
    command = [browser, *flags, f"--screenshot={target}", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True)


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
