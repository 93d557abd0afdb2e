"""The sentences of all findings of an alignment: what is wrong, where, and what to do.

A pair has no reel, and its files may come from anywhere, so that the remedies of a take and of a pair differ.
"""

from twinlib.findings import Messages

_SENTENCES: dict[str, tuple[str, str] | tuple[str, str, str]] = {
    # Why the dry file was not found in the wet file.
    "silent": (
        "the wet file is silent",
        "check the cables and the input, and record again",
        "check `wet` and `channel` of the pair",
    ),
    "hum-only": (
        "the wet file contains nothing but hum",
        "the device is unplugged or off; check the cables and record again",
        "check `wet` and `channel` of the pair",
    ),
    "wrong-speed": (
        "the wet file runs at {speed:.4g} times the speed of the dry file",
        "the tape machine ran at another speed, or the wet file's sample rate ({wet_rate} Hz, dry file {dry_rate} Hz) "
        "is wrong; correct it and record again",
        "the wet file's sample rate ({wet_rate} Hz, dry file {dry_rate} Hz) is wrong, or it was stretched or slowed "
        "down; correct its rate, or export it at the speed of the dry file",
    ),
    "other-reel": (
        "the clicks are present but the audio between them does not match",
        "this is the recording of another reel; check which take belongs to which reel",
    ),
    "no-match": (
        "nothing of the dry signal was found in the wet file",
        "this is the recording of another file; check the pairing and record again",
        "the two files do not belong together; check `dry`, `wet` and `channel` of the pair",
    ),
    "ambiguous-sweep": (
        "the dry file is a sine sweep, and the harmonics of the device match it at a lag of {lag} samples as well as "
        "at {other}",
        "record music or noise instead, or the sweep with a second of silence before and after it",
        "set `lag` of the pair to the right one, or use files of music or noise, or a sweep with a second of silence "
        "before and after it",
    ),
    # Refusals after the clock is known.
    "low-match": (
        "only {share:.0%} of the wet file matches the dry file",
        "it is another recording, or large parts are missing; check the pairing and record again",
        "it belongs to another dry file, or large parts are missing; check `dry` and `wet` of the pair, and set its "
        "`start` and `stop` to the part that both files hold",
    ),
    "device-not-detected": (
        "only {share:.0%} of the audio is detected on the device's channel although the loop-back channel has it",
        "check the device and its cables, and record again",
        "check `channel` and `reference_channel` of the pair",
    ),
    "too-short": ("fewer than three windows of audio could be compared", "use a longer signal"),
    "wrong-sample-rate": (
        "the wet file lasts {percent:+.1f} % longer than the dry file",
        "its sample rate is not the one it was recorded at; correct the rate and export it again",
    ),
    "mostly-excluded": (
        "{share:.0%} of the audio is damaged",
        "too little is left, record it again",
        "too little is left; replace the wet file, or set `start` and `stop` of the pair to the part that is good",
    ),
    # Clocks and format.
    "deck-speed": (
        "the wet file runs {percent:.2g} % {direction}",
        "correct the deck's speed (or the recorder's sample rate) and record again",
        "it comes from a tape machine, or was stretched, or its sample rate is wrong; correct its speed",
    ),
    "high-drift": (
        "the clocks of the two files differ by {drift_ppm:.0f} ppm, more than those of two sound cards do",
        "check that the same speed was set for playback and recording",
        "check that neither file was stretched or resampled",
    ),
    "low-sample-rate": (
        "the wet file has a sample rate of {wet_rate} Hz, so nothing above {nyquist_hz:.0f} Hz is in it and the twin "
        "would sound dull",
        "record again at {dry_rate} Hz, the rate of the dry file",
        "use a wet file at {dry_rate} Hz, the rate of the dry file",
    ),
    "wander": (
        "the lag wanders by {rms_samples:.3f} samples rms, faster than it can be tracked (limit {limit_samples})",
        "play and record with one interface, or with a common word clock",
        "the files were not made on one clock; export or record the wet file again on one clock",
    ),
    "flutter": (
        "the speed flutters: the lag varies by {rms_samples:.3f} samples rms within a second, faster than it can be "
        "tracked (limit {limit_samples})",
        "have the tape transport serviced, or play and record with one interface",
        "the wet file comes from a tape or was modulated; export or record the wet file again without that",
    ),
    # Parts of the recording.
    "lost-samples": (
        "{samples} {samples:sample is|samples are} missing between {start:.3f} s and {stop:.3f} s of the {file} file",
        "both sides are aligned separately and the place is excluded; raise the interface's buffer size and record "
        "again if possible",
        "both sides are aligned separately and the place is excluded; listen there, and replace the wet file if it is "
        "damaged",
    ),
    "repeated-samples": (
        "{samples} {samples:sample is|samples are} repeated between {start:.3f} s and {stop:.3f} s of the {file} file",
        "both sides are aligned separately and the place is excluded; raise the interface's buffer size and record "
        "again if possible",
        "both sides are aligned separately and the place is excluded; listen there, and replace the wet file if it is "
        "damaged",
    ),
    "not-recognised": (
        "the audio between {start:.2f} s and {stop:.2f} s of the {file} file cannot be recognised and is excluded",
        "look at the alignment plot and listen there",
    ),
    "misaligned": (
        "the audio between {start:.2f} s and {stop:.2f} s of the {file} file is off by {samples:.1f} samples and is "
        "excluded",
        "look at the alignment plot and listen there",
    ),
    "disturbed": (
        "the wet file does not follow the dry file between {start:.2f} s and {stop:.2f} s (muted, repeated or "
        "disturbed)",
        "the place is excluded; listen there",
        "the place is excluded; listen there, and replace the wet file if it is damaged",
    ),
    "brief-faults": (
        "the wet file crackles or is muted for milliseconds in {count} {count:place|places}, first near {start:.2f} s",
        "they are excluded; check cables and contacts, raise the interface's buffer size, and record again if there "
        "are many",
        "they are excluded; listen there",
    ),
    "non-finite": (
        "the wet file contains NaN or infinite samples in {count} {count:place|places}, first near {start:.2f} s",
        "they are excluded; export it again without plugins",
    ),
    "noisy": (
        "in {share:.0%} of the audio, noise is louder than the device's output",
        "raise the level, check the cables, and record again",
        "check `channel` of the pair, and use a louder wet file",
    ),
    "missing-start": (
        "the first {seconds:.2f} s of the dry file are not on the wet file and are excluded",
        "start recording before the dry file plays",
        "if this is right, set `start` of the pair to {sample}",
    ),
    "missing-end": (
        "the last {seconds:.2f} s of the dry file are not on the wet file and are excluded",
        "record until after the dry file plays",
        "if this is right, set `stop` of the pair to {sample}",
    ),
    "click-mismatch": (
        "a click contradicts the lag of the audio between the clicks",
        "samples were lost near it, and the ends of the audio are excluded; raise the interface's buffer size and "
        "record again",
    ),
    "unknown-lag": (
        "the clock wanders, and in {count} {count:place|places}, {seconds:.2f} s in total, the audio is too quiet to "
        "track it",
        "they are excluded",
    ),
    # Takes of a probe reel.
    "few-clicks": ("{found} of the {expected} clicks were found", "too few to align"),
    "clicks-not-on-device": (
        "the clicks are on the loop-back channel but not on the device's channel",
        "check the device's cables and level",
    ),
    "probe-samples-lost": (
        "about {samples} {samples:sample was|samples were} lost between {start:.2f} s and {stop:.2f} s of the "
        "{file} file",
        "nothing can be measured on it; raise the interface's buffer size and record the probe reel again",
    ),
    "probe-samples-repeated": (
        "about {samples} {samples:sample was|samples were} repeated between {start:.2f} s and {stop:.2f} s of the "
        "{file} file",
        "nothing can be measured on it; raise the interface's buffer size and record the probe reel again",
    ),
    "click-spacing": (
        "the clicks are {drift_ppm:.0f} ppm farther apart than on the reel, more than two clocks differ by",
        "set the recorder to the rate of the reel and record again",
    ),
    "missing-clicks": (
        "{missing} of the {expected} clicks are missing or damaged",
        "listen to the take, and record the probe reel again if it is cut short or disturbed",
    ),
    "click-jitter": (
        "the clock wanders by {rms_samples:.2f} samples rms from click to click",
        "do not trust the phases of high harmonics",
    ),
    "unknown-gain": (
        "gain and dc are to be repaired as in the takes of music, but no take of music is aligned",
        "record the music first, or leave gain and dc out of `repair`",
    ),
    "uncertain-gain": (
        "the gains of the takes of music are {spread_db:.1f} dB apart, so the levels of this take are uncertain by as "
        "much (harmonics relative to their fundamental are not)",
        "record all takes with the same settings",
    ),
}
"""What is wrong, the remedy for a take, and that for a pair, if it differs."""

MESSAGES = Messages({code: f"{what}: {remedies[0]}" for code, (what, *remedies) in _SENTENCES.items()})
"""Sentence of each finding on a take."""

PAIR_MESSAGES = Messages({code: f"{what}: {remedies[-1]}" for code, (what, *remedies) in _SENTENCES.items()})
"""Sentence of each finding on a pair."""
