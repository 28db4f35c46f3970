"""What every part must satisfy, shipped or the user's: `ppo.testing` hands these functions on.

Each check raises one UserError with a line for each law that is broken, in the user's words.
"""
