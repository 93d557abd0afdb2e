"""The sentences of all findings on a twin and on its takes: what is wrong, where, and what to do."""

from twinlib.findings import Messages

MESSAGES = Messages(
    {
        # Outliers of the residual, in seconds of the take.
        "outlier-level": (
            "from {start:.1f} to {stop:.1f} s the device is {change_db:+.1f} dB off the level of the twin, and the "
            "error is {excess_db:.0f} dB above that of other music at the same input level: a knob or the gain of the "
            "interface was changed; record the take again"
        ),
        "outlier-stretch": (
            "from {start:.1f} to {stop:.1f} s the error of the twin is {excess_db:.0f} dB above that of other music at "
            "the same input level ({esr_percent:.2g} % of the device's energy): a setting was changed, an effect was "
            "on, or the recording is disturbed; listen to it and record the take again"
        ),
        "outlier-take": (
            "in the whole take the error of the twin is {excess_db:.0f} dB above that of other takes at the same input "
            "level ({esr_percent:.2g} % of the device's energy): it was recorded with other settings or another "
            "device; record it again, or make it a device of its own"
        ),
        # The verdict on a twin.
        "low-error": (
            "the error has {esr_percent:.2g} % of the device's energy, {gain_db:.1f} dB less than that of the best "
            "linear filter"
        ),
        "linear-device": (
            "the error has {esr_percent:.2g} % of the device's energy, but a linear filter does as well: the device "
            "does not distort at these levels"
        ),
        "at-noise-floor": (
            "the error is at the noise floor of the device ({floor_percent:.2g} % of its energy): longer training "
            "lowers it no further"
        ),
        "worse-than-linear": (
            "the error ({esr_percent:.2g} % of the device's energy) is not below that of the best linear filter "
            "({linear_percent:.2g} %): the twin has not learned the distortion; train longer, or check the takes"
        ),
        "near-linear": (
            "the error is only {gain_db:.1f} dB below that of the best linear filter: most of the distortion is "
            "missing; train longer, or use a larger network"
        ),
        "high-error": (
            "the error has {esr_percent:.2g} % of the device's energy: train longer, use a larger network, or check "
            "the takes"
        ),
        "harmonics-off": (
            "{off} of {compared} harmonics are off by more than {limit_db:g} dB (largest deviation {worst_db:.1f} dB): "
            "train longer, use a larger network, or add tones to the excitation"
        ),
        "phases-off": (
            "the phases of {off} of {compared} harmonics are off by more than {limit_degrees:g} degrees (largest "
            "deviation {worst_degrees:.0f} degrees): train longer, use a larger network, or add tones to the excitation"
        ),
        "aliasing": (
            "the aliases of a sine of {hz:.0f} Hz at {level_dbfs:.0f} dBFS reach {relative_db:+.0f} dB relative to its "
            "harmonics, so loud treble may sound rough: add tones to the excitation, or record at a higher sample rate"
        ),
        "still-falling": (
            "the validation error was still falling when the budget ended: the second half of the training at the full "
            "learning rate lowered it by {percent:.0f} %; train longer (`training.steps` or `training.cpu_seconds`)"
        ),
        "suspect-takes": (
            "{count} of {takes} {takes:take is|takes are} suspect or refused ({names}): check or repeat "
            "{count:this recording|these recordings}"
        ),
    }
)

PAIR_MESSAGES = MESSAGES.replace(
    {
        "outlier-level": (
            "from {start:.1f} to {stop:.1f} s the device is {change_db:+.1f} dB off the level of the twin, and the "
            "error is {excess_db:.0f} dB above that of other music at the same input level: a knob or a gain was "
            "changed; set `start` and `stop` of the pair to the part that is good"
        ),
        "outlier-stretch": (
            "from {start:.1f} to {stop:.1f} s the error of the twin is {excess_db:.0f} dB above that of other music at "
            "the same input level ({esr_percent:.2g} % of the device's energy): a setting was changed, an effect was "
            "on, or the wet file is disturbed; listen to it and set `start` and `stop` of the pair to the part that is "
            "good"
        ),
        "outlier-take": (
            "in the whole pair the error of the twin is {excess_db:.0f} dB above that of other pairs at the same input "
            "level ({esr_percent:.2g} % of the device's energy): it was recorded with other settings or another "
            "device; remove it, or make it a device of its own"
        ),
        "worse-than-linear": (
            "the error ({esr_percent:.2g} % of the device's energy) is not below that of the best linear filter "
            "({linear_percent:.2g} %): the twin has not learned the distortion; train longer, or check the pairs"
        ),
        "high-error": (
            "the error has {esr_percent:.2g} % of the device's energy: train longer, use a larger network, or check "
            "the pairs"
        ),
        "aliasing": (
            "the aliases of a sine of {hz:.0f} Hz at {level_dbfs:.0f} dBFS reach {relative_db:+.0f} dB relative to its "
            "harmonics, so loud treble may sound rough: use a larger network, or pairs of a higher sample rate"
        ),
        "suspect-takes": (
            "{count} of {takes} {takes:pair is|pairs are} suspect or refused ({names}): check or replace "
            "{count:this pair|these pairs}"
        ),
    }
)
"""The sentences of a device that is given as pairs."""
