"""Spaces of every supported kind with any bounds and dtypes, for hypothesis."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from hypothesis import strategies as st

FLOATS = (np.float16, np.float32, np.float64)
INTEGERS = (np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64)
SHAPES = st.sampled_from([(), (1,), (3,), (2, 2)])


@st.composite
def boxes(draw: Any, dtypes: tuple = FLOATS + INTEGERS, finite: bool = False) -> spaces.Box:
    """A Box; each of its bounds for itself, a few of them infinite."""
    dtype, shape = np.dtype(draw(st.sampled_from(dtypes))), draw(SHAPES)
    count = int(np.prod(shape))
    if dtype.kind == "f":
        width = 8 * dtype.itemsize
        top = 100 if finite else None
        numbers = st.floats(
            None if top is None else -top, top, width=width,
            allow_nan=False, allow_infinity=False, allow_subnormal=False,
        )  # fmt: skip
    else:
        limits = np.iinfo(dtype)
        numbers = st.integers(int(limits.min), int(limits.max))
    pairs = [sorted((draw(numbers), draw(numbers))) for _ in range(count)]
    low, high = (np.array([pair[side] for pair in pairs], dtype) for side in (0, 1))
    if dtype.kind == "f" and not finite:
        low[draw(st.lists(st.integers(0, count - 1), max_size=1))] = -np.inf
        high[draw(st.lists(st.integers(0, count - 1), max_size=1))] = np.inf
    return spaces.Box(low.reshape(shape), high.reshape(shape), shape, dtype.type)


def unlimited_counts() -> st.SearchStrategy[spaces.Box]:
    """Integers without an upper bound, as Gymnasium writes them."""
    signed = st.sampled_from([np.int8, np.int16, np.int32, np.int64])
    return st.builds(lambda d: spaces.Box(0, np.inf, (2,), d), signed)


def choices() -> st.SearchStrategy[Any]:
    """Discrete, MultiDiscrete and MultiBinary."""
    discrete = st.builds(
        lambda n, start: spaces.Discrete(n, start=start),
        st.integers(1, 6), st.integers(-(2**40), 2**40),
    )  # fmt: skip
    sizes = st.lists(st.integers(1, 5), min_size=1, max_size=4)
    several = st.builds(
        lambda n, dtype: spaces.MultiDiscrete(n, dtype=dtype, start=list(range(len(n)))),
        sizes, st.sampled_from([np.int64, np.int32]),
    )  # fmt: skip
    square = st.builds(
        lambda n: spaces.MultiDiscrete(np.array(n)),
        st.lists(st.lists(st.integers(1, 4), min_size=2, max_size=2), min_size=1, max_size=2),
    )
    bits = st.builds(spaces.MultiBinary, st.sampled_from([3, (3,), (2, 3)]))
    return st.one_of(discrete, several, square, bits)


def any_space() -> st.SearchStrategy[Any]:
    """One of those, or a Dict (with words or numbers for keys) or Tuple of them."""
    leaves = st.one_of(boxes(), unlimited_counts(), choices())
    keys = st.one_of(st.text("ab", min_size=1, max_size=2), st.integers(0, 5))
    dicts = st.builds(spaces.Dict, st.dictionaries(keys, leaves, min_size=1, max_size=3))
    tuples = st.builds(spaces.Tuple, st.lists(leaves, min_size=1, max_size=3))
    return st.one_of(leaves, dicts, tuples)
