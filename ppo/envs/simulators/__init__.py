"""Simulators of other libraries, each in one file: a class to give as `env`, or its path.

Adding one: a file with a class that is a `TorchVectorEnv` or a `gymnasium.vector.VectorEnv` and
takes `num_envs`. Only what it needs is imported, when it is.
"""
