"""The name of a take's contract, by itself: what reads takes does not depend on how devices are set."""

TAKE = "take/1"
"""The contract of `take.json`."""
