"""The critic's units: scales of its values, heads of its output layer, clips of its movement.

A kind is a class in any module of this package, filed in one of these registries.
"""

from ppo.core.registry import Registry

SCALES = Registry(
    "ppo.values", "value scale", "ppo.return_normalizer", "ppo.values.scale:ValueScale"
)
HEADS = Registry("ppo.values", "value head", "ppo.value_loss", "ppo.values.head:ValueHead")
CLIPS = Registry("ppo.values", "value clip", "ppo.value_clip", "ppo.values.clips:ValueClip")
