"""What a code of a fingerprint is, for those who make codes and those who compare them."""

STEP_SECONDS = 0.005
"""Codes stand at the multiples of this time on the clock of the source, whatever slice they are taken from."""

BANDS = 25
"""One more than a code has bits."""

WEAK = 2
"""Bits of a code that are known to be weak: those whose change is nearest to none."""
