"""A page in a real browser: what its script made of it, and whether it asked for anything."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
PHONE = 360  # pixels
_OWN = (".google.com", ".googleapis.com", ".gvt1.com")  # the browser's own affairs
_MEASURE = """<script>
document.body.dataset.requests=performance.getEntriesByType('resource').length;
document.documentElement.style.width='%dpx';
document.body.dataset.width=document.body.scrollWidth;
document.body.dataset.wide=[...document.querySelectorAll('body *')].filter(
e=>e.getBoundingClientRect().right>%d&&!e.closest('.wide,dd,svg')).map(e=>e.tagName).join(' ');
</script></body>"""


def drawn(file: Path, folder: Path) -> str:
    """The page's DOM once its script has run, checked for what every page of ours promises.

    It runs to its end, draws every figure without NaN, asks for nothing, and on a phone nothing
    is wider than the screen but what scrolls within itself.
    """
    copy = folder / "measured.html"
    measure = _MEASURE % (PHONE, PHONE)
    copy.write_text(file.read_text(encoding="utf-8").replace("</body>", measure), encoding="utf-8")
    log = folder / "net.json"
    quiet = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
        "--disable-background-networking --disable-component-update --disable-sync "
        "--virtual-time-budget=3000 --dump-dom"
    ).split()
    places = [f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}", f"file://{copy}"]
    assert CHROMIUM
    done = subprocess.run(
        [CHROMIUM, *quiet, *places], capture_output=True, text=True, timeout=120, check=True
    )
    dom = done.stdout
    assert 'data-ready="' in dom, "the script did not run to its end"
    assert dom.count("<svg") == len(re.findall(r"<figure>", dom)) >= 6
    assert "NaN" not in "".join(re.findall(r' d="([^"]*)"', dom))
    assert 'data-requests="0"' in dom
    assert f'data-width="{PHONE}"' in dom and 'data-wide=""' in dom, "too wide for a phone"
    hosts = set(re.findall(r'"url":"https?://([^/"]+)', log.read_text(errors="replace")))
    assert {host for host in hosts if not host.endswith(_OWN)} == set()
    return dom
