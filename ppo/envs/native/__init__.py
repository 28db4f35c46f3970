"""Torch-native environments, one file each, filed under their Gymnasium id."""
