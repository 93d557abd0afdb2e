"""The sentences of all findings of a diagnosis: what is wrong, where, the likely cause, and what to do."""

from twinlib.findings import Messages

MESSAGES = Messages(
    {
        # What the user knows about a pair.
        "accepted": "the pair was refused, and is used because the list of pairs accepts it: {reason}",
        "lag-contradicts": (
            "the list of pairs says a lag of {lag:g} samples, but {samples:.2f} were measured: check `lag` of the pair"
        ),
        "lag-outside-file": (
            "the list of pairs says a lag of {lag:g} samples, with which the wet file holds nothing of the dry range: "
            "set `lag` of the pair to a value from {lowest} to {highest} (positive if the wet file is late), or leave "
            "it empty to measure it"
        ),
        "polarity-contradicts": (
            "the list of pairs says a polarity of {polarity}, but {measured} was measured: check `polarity` of the pair"
        ),
        # Comparison of the captures of a device.
        "lag-outlier": (
            "the wet file is {samples:.2f} samples late, but those of the other captures are {median:.2f} late: check "
            "where it begins; if it belongs to the others, set `lag` of the pair to {lag:g}"
        ),
        "drift-outlier": (
            "the clocks of this capture differ by {drift_ppm:.2f} ppm, while the other captures were made on one "
            "clock: check how it was made; if all are on one clock, set `same_clock` of the pair to yes"
        ),
        "shifted-alike": (
            "a lag of {samples:.2f} samples and a drift of {drift_ppm:.2f} ppm were measured, but the other captures "
            "of the device show that both files are on one clock: it is shifted by {lag:g} samples like them"
        ),
        "polarity-outlier": (
            "the polarity is not that of the other captures of the device and was corrected: check the cables, or the "
            "switch or plugin that inverts"
        ),
        "polarity-uncorrected": (
            "the polarity is not that of the other captures of the device: put `polarity` into `repair`, or invert the "
            "wet file"
        ),
        "gain-outlier": (
            "the gain is {gain_db:.1f} dB, but {median_db:.1f} dB in the other captures of the device: check that no "
            "knob or fader was moved, or make it a device of its own"
        ),
        # The witness of the takes of a device.
        "level-outlier": (
            "the level is {change_db:+.1f} dB relative to {others}: a knob, a fader or the input gain was moved "
            "between the takes; record this take again with the settings of the others"
        ),
        "drive-outlier": (
            "the device is driven differently than in {others} (by up to {change_db:+.1f} dB): a knob or the "
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
            "the drive changes between {start:.1f} s and {stop:.1f} s of the {file} file (by up to "
            "{change_db:+.1f} dB): a knob was moved, or a supply voltage changed; record again with the same settings "
            "throughout"
        ),
        "witness-tone": (
            "the tone changes between {start:.1f} s and {stop:.1f} s of the {file} file (by {change_db:+.1f} dB around "
            "{hertz:.0f} Hz): a knob or a switch was moved; record again with the same settings throughout"
        ),
        "witness-level-or-drive": (
            "the level or the drive changes by {change_db:+.1f} dB between {start:.1f} s and {stop:.1f} s of the "
            "{file} file: a knob, the input or the recording level was moved; record again with the same settings "
            "throughout"
        ),
        "witness-changed": (
            "the device changes between {start:.1f} s and {stop:.1f} s of the {file} file (by up to {change_db:+.1f} "
            "dB): a drive or tone knob or a switch was moved; record again with the same settings throughout"
        ),
        "witness-bypassed": (
            "the device is bypassed or switched on between {start:.1f} s and {stop:.1f} s of the {file} file: a "
            "footswitch was pressed; record again"
        ),
        "witness-warm-up": (
            "the device changes steadily from {start:.1f} s to {stop:.1f} s of the {file} file (by up to "
            "{change_db:+.1f} dB): it was warming up, or its battery is low; let it warm up for half an hour and "
            "record again"
        ),
        "witness-modulated": (
            "the output for the same sound varies at random between {start:.1f} s and {stop:.1f} s of the {file} "
            "file: a chorus, flanger, tremolo or vibrato is on, which no twin can learn; turn it off and record again"
        ),
        "gated-noise": (
            "the noise is {closed_dbfs:.0f} dBFS in pauses, but {open_dbfs:.0f} dBFS between repeats of one sound: the "
            "device is a gate, its noise follows the level, or it remembers what came before; the noise floor is that "
            "of the pauses"
        ),
        "unknown-noise": (
            "the noise floor was not measured: fewer than two of the {expected} repeats of the witness are intact; "
            "record again if the noise floor matters"
        ),
        # The device is not the same from beginning to end.
        "level-changed": (
            "the level changes by {change_db:+.1f} dB at {seconds:.1f} s of the {file} file: a knob, a switch or the "
            "recording level was moved; record again with the same settings throughout"
        ),
        "drive-changed": (
            "the amount of distortion changes at {seconds:.1f} s of the {file} file: the drive or the input level was "
            "moved; record again with the same settings throughout"
        ),
        "level-or-drive-changed": (
            "the level or the drive changes at {seconds:.1f} s of the {file} file (the level by {change_db:+.1f} dB): "
            "a knob, the input or the recording level was moved; record again with the same settings throughout"
        ),
        "device-changed": (
            "the device changes at {seconds:.1f} s of the {file} file: a drive or tone knob or a switch was moved; "
            "record again with the same settings throughout"
        ),
        "tone-changed": (
            "the tone changes at {seconds:.1f} s of the {file} file: a tone knob or a switch was moved; record again "
            "with the same settings throughout"
        ),
        "bypassed": (
            "the device is bypassed or switched on at {seconds:.1f} s of the {file} file: a footswitch was pressed; "
            "record again"
        ),
        "warm-up": (
            "the device changes slowly from the beginning to the end of the wet file (its level by {change_db:+.1f} "
            "dB): it was warming up; wait until it is warm and record again"
        ),
        "foreign-sound": (
            "the {file} file contains another sound than the device's between {start:.1f} s and {stop:.1f} s (a voice, "
            "a second instrument, a disturbance): the place is excluded; listen there, and record again if it is long"
        ),
        # The wet file is not the output of a device for the dry file.
        "dry-copy": (
            "the wet file holds the dry signal itself ({polarity}, {gain_db:+.1f} dB): the dry track was exported, or "
            "its own playback recorded; record the output of the device"
        ),
        "device-bypassed": (
            "the device passes the dry signal on unchanged ({polarity}, {gain_db:+.1f} dB): it is bypassed, or does "
            "not distort at this level; switch it on, or raise its drive, and record again"
        ),
        "exchanged-files": (
            "the wet level grows by {growth_db:.2f} dB for each dB of the dry level, and peaks become sharper, while "
            "distortion compresses and rounds them: `dry` and `wet` of the pair are exchanged, or the device is an "
            "expander"
        ),
        # An effect is on.
        "modulated-delay": (
            "the wet file is modulated {rate_hz:.2g} times a second: a chorus, flanger, phaser or vibrato is on, "
            "which no twin can learn; switch it off and record again"
        ),
        "tremolo": (
            "the level of the wet file varies {rate_hz:.2g} times a second by {percent:.0f} %: a tremolo is on, which "
            "no twin can learn; switch it off and record again"
        ),
        "vibrato": (
            "the pitch of the wet file varies {rate_hz:.2g} times a second by {percent:.1f} %: a vibrato is on, or the "
            "tape transport is defective, which no twin can learn; switch it off, or repair it, and record again"
        ),
        "gate": "the device is silent below a level of the dry signal: it is a gate, or contains one",
        "echo": (
            "the wet file contains an echo after {milliseconds:.0f} ms at {level_db:.0f} dB: a delay is on, or the "
            "recording loops back; switch it off and record again"
        ),
        "room": (
            "the wet file contains reverberation at {level_db:.0f} dB: a reverb is on, or a microphone picks up the "
            "room; switch it off and record again"
        ),
        "direct-monitoring": (
            "the wet file contains the dry signal {milliseconds:.0f} ms before the device's own, at {level_db:.0f} dB: "
            "direct monitoring of the interface is on; switch it off and record again"
        ),
    }
)
