"""The sentences of all findings of a diagnosis: what is wrong, where, the likely cause, and what to do."""

from twinlib.findings import Messages

MESSAGES = Messages(
    {
        # The witness of the takes of a device.
        "level-outlier": (
            "the level is {change_db:+.1f} dB relative to {others}: a knob, a fader or the input gain was moved "
            "between the takes; record this take again with the settings of the others"
        ),
        "drive-outlier": (
            "the device is driven differently than in {others} (by {change_db:+.1f} dB where most): a knob or the "
            "output level of the interface was moved between the takes; record this take again with the settings of "
            "the others"
        ),
        "tone-outlier": (
            "the tone is not that of {others} (by {change_db:+.1f} dB around {hertz:.0f} Hz): a knob or a switch was "
            "moved between the takes; record this take again with the settings of the others"
        ),
        # The repeats of the witness.
        "witness-level": (
            "the level changes by {change_db:+.1f} dB between {start:.1f} s and {stop:.1f} s of the {file} file: a "
            "knob or a fader was moved, or a contact is loose; record again with the same settings throughout"
        ),
        "witness-drive": (
            "the drive changes between {start:.1f} s and {stop:.1f} s of the {file} file (by {change_db:+.1f} dB where "
            "most): a knob was moved, or a supply voltage changed; record again with the same settings throughout"
        ),
        "witness-tone": (
            "the tone changes between {start:.1f} s and {stop:.1f} s of the {file} file (by {change_db:+.1f} dB around "
            "{hertz:.0f} Hz): a knob or a switch was moved; record again with the same settings throughout"
        ),
        "witness-bypassed": (
            "the device is bypassed from a place between {start:.1f} s and {stop:.1f} s of the {file} file: a "
            "footswitch was pressed; record again"
        ),
        "witness-warm-up": (
            "the device changes steadily from {start:.1f} s to {stop:.1f} s of the {file} file (by {change_db:+.1f} dB "
            "where most): it was warming up, or its battery is low; let it warm up for half an hour and record again"
        ),
        "witness-modulated": (
            "the same sound comes out differently at random between {start:.1f} s and {stop:.1f} s of the {file} "
            "file: a chorus, flanger, tremolo or vibrato is on, which no twin can learn; turn it off and record again"
        ),
    }
)
