"""What is known of a capture's clock, and by which windows."""

from dataclasses import dataclass

from twinlib.alignment.clock import Clock
from twinlib.alignment.line import Array
from twinlib.alignment.track import Measured, Plan, Response


@dataclass(frozen=True)
class Course:
    """The clock, the windows measured against it, gain and polarity of the device, and what windows they were.

    `response` is what the windows told of the device in the end, if the clock does not wander; `flutter` is the rms in
    samples by which the clocks swing within seconds about what is known of them.
    """

    clock: Clock
    measured: Measured
    gain_db: float
    polarity: int
    windows: Plan
    response: Response | None = None
    flutter: float = 0.0

    def lags(self) -> tuple[Array, Array, Array]:
        """Position on the dry clock, lag in samples and weight of the windows heard."""
        heard = self.measured.heard & (self.measured.sign > 0)
        position = self.measured.position[heard]
        return position, self.clock.lags(position) + self.measured.residual[heard], self.measured.weight[heard]
