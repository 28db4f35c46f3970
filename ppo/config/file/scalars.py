"""What a bare word of config.yaml means: YAML 1.2 numbers, true, false, null; the rest is text.

YAML 1.1, which PyYAML reads by default, takes `1e-3` for text, `yes` for a boolean, `1:30` for
ninety and `010` for eight. Here the first is a number, the next two are text, the last is refused.
"""

from __future__ import annotations

import re
from typing import Any

_INTEGER = re.compile(r"[-+]?[0-9]+(_[0-9]+)*\Z")
_PREFIXED = re.compile(r"0(x[0-9a-fA-F]+|o[0-7]+)\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(_[0-9]+)*(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_SPECIAL = re.compile(r"([-+]?)\.(inf|Inf|INF|nan|NaN|NAN)\Z")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+\Z")
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
MAX_DIGITS = 300  # more than any float holds, fewer than what makes int() slow


def resolve(text: str) -> Any:
    """The value of an unquoted scalar.

    Raises:
        ValueError: it looks like a number but cannot be one; the text says why.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _LEADING_ZERO.match(text):
        raise ValueError(f"{text[:40]} may mean octal or decimal; write it without leading zeros")
    if _INTEGER.match(text):
        if len(text) > MAX_DIGITS:
            raise ValueError(f"a number of {len(text)} digits is too large")
        return int(text)
    if _PREFIXED.match(text) and len(text) <= MAX_DIGITS:
        return int(text, 0)
    if _FLOAT.match(text):
        return float(text)  # an overflow gives infinity, which is refused by key
    special = _SPECIAL.match(text)
    if special:
        return float(special[1] + special[2])
    return text
