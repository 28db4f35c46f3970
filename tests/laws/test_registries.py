"""Each registry holds what the settings offer: a kind that is not filed has no law to break."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

import pytest

from ppo.config import Config
from ppo.config.words import known_paths
from ppo.losses import ADVANTAGES, AUXILIARY, REGISTRY
from ppo.losses.balancers import REGISTRY as BALANCERS
from ppo.networks import MEMORIES
from ppo.networks.encoders import REGISTRY as ENCODERS
from ppo.values import CLIPS, HEADS, SCALES

FILED = {
    "ppo.return_normalizer": (SCALES, {"identity"}),  # of ppo.normalize_returns: false
    "ppo.value_loss": (HEADS, set()),
    "ppo.value_clip": (CLIPS, set()),
    "ppo.normalize_advantages": (ADVANTAGES, set()),
    "balancing.kind": (BALANCERS, set()),
    "network.memory": (MEMORIES, set()),
    "network.encoder": (ENCODERS, set()),
}


def offered(annotation: Any) -> set[str]:
    if get_origin(annotation) is Literal:
        return set(get_args(annotation))
    return set().union(*(offered(part) for part in get_args(annotation)))


@pytest.mark.parametrize("setting", FILED)
def test_a_setting_offers_what_is_filed(setting: str) -> None:
    registry, more = FILED[setting]
    choices = offered(known_paths(Config)[setting].annotation) - {"auto"}
    assert set(registry.names()) == choices | more


def test_every_loss_is_filed() -> None:
    assert set(REGISTRY.names()) == {"policy", "value", "entropy"}
    weights = {name for name in known_paths(Config) if name.startswith("auxiliary.")}
    for name in AUXILIARY.names():
        assert f"auxiliary.{name}_weight" in weights
    assert len(AUXILIARY.names()) == sum(name.endswith("_weight") for name in weights)
