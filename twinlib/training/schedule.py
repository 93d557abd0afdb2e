"""The learning rate over a training: warm-up, constant, linear decay to zero."""


def rate_factor(step: int, fraction: float, warmup_steps: int, decay_fraction: float) -> float:
    """What the learning rates are multiplied by, 0 to 1.

    `step` counts from 0, `fraction` is the part of the budget that is used, 0 to 1. The decay makes the last
    `decay_fraction` of the budget worth a factor of two to three in error.
    """
    warmup = min(1.0, (step + 1) / (warmup_steps + 1))
    decay = min(1.0, max(0.0, 1.0 - fraction) / decay_fraction) if decay_fraction else 1.0
    return min(warmup, decay)


def shortened(used: float, decay_fraction: float) -> float:
    """Where a training ends whose decay begins now, after `used` of its budget: the decay keeps its share of the whole.

    A training that stops without its decay throws away a factor of two to three in error.
    """
    return used / (1 - decay_fraction)
