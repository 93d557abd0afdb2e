"""Checks of a take: findings on its length, level, clipping, DC, noise and hum, and their sentences."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from twinlib.audio import AudioInfo, Reader
from twinlib.capture.dc_step import DcStep
from twinlib.capture.file_checks import FILE_SENTENCES, check_file
from twinlib.capture.hum import Hum, measure_hum
from twinlib.capture.levels import LevelMeter, measure_levels
from twinlib.capture.take import Take
from twinlib.db import amp_to_db, db_to_amp
from twinlib.findings import Finding, Messages, Span, refused, suspect

SILENT_DBFS = -80.0
"""A channel with a lower peak is silent."""
QUIET_DBFS = -40.0
"""A lower peak wastes resolution of the converter."""
MIN_SNR_DB = 40.0
"""Noise above this limit, relative to the level of the take, degrades the twin."""
MIN_HUM_DISTANCE_DB = 40.0
"""Hum above this limit, relative to the level of the take, degrades the twin too."""
MAX_DC = 0.01
"""As a fraction of full scale."""
CLIP_DBFS = -0.2
"""A higher peak may be clipped."""
INTEGER_SCALE_DBFS = 30.0
"""A higher peak is no level of a recording but a sample in integers, such as 32768 for full scale."""
MAX_CLIPPED = 0.01
"""As a fraction of the samples. A take with more clipping is of little use for training."""
LOUDER_DB = 30.0
"""Another channel that is louder by more than this is likely to be the right one."""
MIN_SECONDS = 1.0
"""A take with missing samples is refused if it is shorter than this..."""
MIN_SHARE = 0.05
"""...or than this fraction of the required length."""
STEADY_DB = 6.0
"""A take with a smaller dynamic range contains no programme, if the dry file has pauses..."""
PAUSES_DB = 60.0
"""...which is the case above this dynamic range. The hardest distortion of such a file keeps more than `STEADY_DB`."""
HUM_POWER_DB = 3.0
"""Hum within this distance of the noise floor is at least half of the power of the quietest second."""
SAME_MAINS_HZ = 5.0
"""Maximum difference of two fundamentals of the same mains frequency."""
ACCEPTABLE = frozenset({"mostly-clipped", "only-noise", "only-hum"})
"""Refusals that a user may overrule: the device itself may clip, or hold one level."""
ROUNDING = 0.999
"""Difference in length, in samples, of two files at different rates that rounding explains."""

_START_EARLIER = "Start recording before the dry file plays and stop after its end"

MESSAGES = Messages(
    {
        **FILE_SENTENCES,
        "no-such-channel": "`channel` is {channel} but the file has {channels} {channels:channel|channels}: "
        "correct `channel`",
        "too-short": "the take lasts {seconds:.2f} s, {missing_seconds:.2f} s ({missing_samples} "
        "{missing_samples:sample|samples}) less than the dry file. This is too little. " + _START_EARLIER,
        "not-finite": "sample {start} ({seconds:.2f} s) is NaN or infinite: export the file again without plugins",
        "integer-scale": "the peak of {file} is {peak:.0f}, where full scale is 1: its samples are floating-point "
        "numbers in the scale of integers. Divide them by {full_scale}, or export it again as 24-bit WAV",
        "dry-not-finite": "sample {start} ({seconds:.2f} s) of the dry file is NaN or infinite: export it again "
        "without plugins",
        "mostly-clipped": "{percent:.1f} % of the samples are clipped, so the take is useless: lower the input gain "
        "and record again",
        "silent": "channel {channel} is silent (peak {peak_dbfs:.0f} dBFS): check the cables and the input, and record "
        "again",
        "silent-channel": "channel {channel} is silent (peak {peak_dbfs:.0f} dBFS): use channel {other_channels}",
        "only-noise": "the take holds only noise ({level_dbfs:.0f} dBFS): the device or a cable is unplugged. Connect "
        "it and record again",
        "only-hum": "the take holds only hum ({hum_hz:.0f} Hz, {hum_dbfs:.0f} dBFS): the device or a cable is "
        "unplugged. Connect it and record again",
        "clipped": "the take is clipped in {runs} {runs:place|places} ({samples} samples, first at {start:.2f} s). "
        "Lower the input gain and record again, or these segments are excluded",
        "incomplete": "the take lasts {seconds:.2f} s, {missing_seconds:.2f} s ({missing_samples} "
        "{missing_samples:sample|samples}) less than the dry file. The missing part is excluded. " + _START_EARLIER,
        "accepted": "the wet file was refused, and is used because the list of pairs accepts it: {reason}",
        "other-channel-louder": "channel {other_channel} is {difference_db:.0f} dB louder than the chosen channel "
        "{channel}: check `channel`",
        "dc-offset": "the mean is {dc:.3f} of full scale: the interface adds DC. Use its high-pass filter or another "
        "input",
        "dc-step": "the mean changes from {before:.3f} to {after:.3f} of full scale between {start:.2f} and "
        "{stop:.2f} s: the interface, a plugin or an edit changed the DC offset there. Use a high-pass filter, or "
        "record again",
        "low-level": "the peak is only {peak_dbfs:.0f} dBFS: raise the input gain and record again",
        "loop-back-clipped": "the loop-back (channel {channel}) reaches full scale: lower its input gain and record "
        "again",
        "loop-back-silent": "the loop-back (channel {channel}) is silent (peak {peak_dbfs:.0f} dBFS): check its cable",
        "hum": "the take hums at {hum_hz:.0f} Hz ({hum_dbfs:.0f} dBFS, only {distance_db:.0f} dB below its level). Use "
        "balanced cables away from power supplies, plug device and interface into the same outlet to avoid a ground "
        "loop, and record again",
        "noise": "the noise in the pauses is {noise_floor_dbfs:.0f} dBFS, only {snr_db:.0f} dB below the level of the "
        "take. Check for hum and noise (cables, grounding, gain staging) and record again",
    }
)
"""Sentence of each finding on a take."""

_REPLACE = "check `wet` and `channel` of the pair"

PAIR_MESSAGES = MESSAGES.replace(
    {
        "mostly-clipped": "{percent:.1f} % of the samples are clipped: replace the wet file by one of a lower level",
        "silent": f"channel {{channel}} of the wet file is silent (peak {{peak_dbfs:.0f}} dBFS): {_REPLACE}",
        "only-noise": f"the wet file holds only noise ({{level_dbfs:.0f}} dBFS): {_REPLACE}",
        "only-hum": f"the wet file holds only hum ({{hum_hz:.0f}} Hz, {{hum_dbfs:.0f}} dBFS): {_REPLACE}",
        "clipped": "the wet file is clipped in {runs} {runs:place|places} ({samples} samples, first at {start:.2f} s). "
        "These segments are excluded; replace it by one of a lower level to keep them",
        "dc-offset": "the mean of the wet file is {dc:.3f} of full scale: remove the DC, or put `dc` into `repair`",
        "dc-step": "the mean of the wet file changes from {before:.3f} to {after:.3f} of full scale between "
        "{start:.2f} and {stop:.2f} s: a plugin, an edit or the recorder changed the DC offset. Use a high-pass filter "
        "at 5 Hz",
        "truncated": "{file} is truncated: it ends {loss}. The missing part is excluded. Copy or export it again",
        "low-level": "the peak of the wet file is only {peak_dbfs:.0f} dBFS: use a louder export or recording",
        "loop-back-clipped": "the loop-back (channel {channel}) reaches full scale: use a recording of a lower level, "
        "or none of the loop-back",
        "loop-back-silent": "the loop-back (channel {channel}) is silent (peak {peak_dbfs:.0f} dBFS): check "
        "`reference_channel` of the pair",
        "hum": "the wet file hums at {hum_hz:.0f} Hz ({hum_dbfs:.0f} dBFS, only {distance_db:.0f} dB below its level), "
        "and the twin would learn that from the wrong cause: use a recording without hum",
        "noise": "the noise of the wet file in the pauses is {noise_floor_dbfs:.0f} dBFS, only {snr_db:.0f} dB below "
        "its level. If the device is not that noisy, use a cleaner recording",
    }
)
"""Sentence of each finding on the wet file of a pair, which may come from anywhere."""


@dataclass(frozen=True)
class DryFile:
    """The dry file of a take. Its samples are read only if a check needs them."""

    info: AudioInfo

    @cached_property
    def levels(self) -> LevelMeter:
        """The levels of its first channel."""
        with Reader(self.info.path) as reader:
            return measure_levels(reader, 0)

    @cached_property
    def hum(self) -> Hum | None:
        """Hum in the dry file, which is not a fault of the take."""
        return measure_hum(self.levels.quietest.samples, self.info.sample_rate)


def check_take(
    take: Take,
    wet: AudioInfo,
    levels: LevelMeter,
    dry: DryFile | None = None,
    is_pair: bool = False,
    reference_channel: int | None = None,
) -> tuple[Finding, ...]:
    """Return the findings on a take whose properties and `levels` have been measured; `wet` is the header of its file.

    The take should last as long as `dry`, unless it is the wet file of a pair. `reference_channel` counts from 1 and is
    the loop-back. Findings of severity `suspect` are omitted if the take is refused, except those on the files.
    """
    missing = _missing_seconds(take, dry)
    # The missing part may contain the pauses; the noise is then unknown.
    with_pauses = dry if not missing else None
    missing = 0.0 if is_pair else missing
    named = "the wet file" if is_pair else "the take"
    files = [*check_file(wet, named), *(check_file(dry.info, "the dry file", "info") if dry is not None else [])]
    found = _check_usable(take, missing, levels.first_non_finite)
    found += _check_dry(dry) if is_pair and dry is not None else []
    if not found:
        found = _check_programme(take, levels.dynamic_range_db, with_pauses)
    if not found:
        found = [
            *_check_clipping(take),
            # A truncated file has its own sentence.
            *(_check_length(take, missing) if wet.header != "truncated" else []),
            *_check_channel(take),
            *(_check_dc_step(levels.dc_step, dry) or _check_dc(take)),
            *_check_level(take),
            *_check_loop_back(take, reference_channel),
            *_check_hum_and_noise(take, dry, with_pauses),
        ]
    return *files, *found


def accept_findings(findings: Sequence[Finding], reason: str) -> tuple[Finding, ...]:
    """Return the findings of a refused pair that the user accepts; a file that cannot be used stays refused."""
    if not {each.code for each in findings if each.severity == "refused"} & ACCEPTABLE:
        return tuple(findings)
    found = [replace(each, severity="suspect") if each.code in ACCEPTABLE else each for each in findings]
    return suspect("accepted", reason=reason), *found


def _missing_seconds(take: Take, dry: DryFile | None) -> float:
    """Return the seconds missing from the take, compared with the dry file."""
    if dry is None:
        return 0.0
    missing = dry.info.seconds - take.frames / take.sample_rate
    return missing if missing > ROUNDING / min(dry.info.sample_rate, take.sample_rate) else 0.0


def _missing_values(take: Take, missing: float) -> dict[str, int | float | str]:
    return {
        "seconds": take.seconds,
        "missing_seconds": round(missing, 6),
        "missing_samples": round(missing * take.sample_rate),
    }


def _check_usable(take: Take, missing: float, non_finite: int | None) -> list[Finding]:
    """Return the findings that make the take useless, whatever the content of the dry file."""
    found = []
    if take.channel > take.channels:
        found.append(refused("no-such-channel", channel=take.channel, channels=take.channels))
    if missing and take.seconds < max(MIN_SECONDS, MIN_SHARE * (take.seconds + missing)):
        found.append(refused("too-short", **_missing_values(take, missing)))
    if non_finite is not None:
        span = Span("wet", non_finite, non_finite + 1, "samples")
        found.append(refused("not-finite", span, seconds=non_finite / take.sample_rate))
    if take.peak_dbfs > INTEGER_SCALE_DBFS:
        found.append(_integer_scale("the recording", db_to_amp(take.peak_dbfs)))
    elif take.clipped_samples > MAX_CLIPPED * take.frames:
        found.append(refused("mostly-clipped", percent=100.0 * take.clipped_samples / take.frames))
    if not found and take.peak_dbfs < SILENT_DBFS:
        others = [str(i + 1) for i, peak in enumerate(take.peaks_dbfs) if peak >= SILENT_DBFS]
        if others:
            values = {"channel": take.channel, "peak_dbfs": take.peak_dbfs}
            found.append(refused("silent-channel", **values, other_channels=" or ".join(others)))
        else:
            found.append(refused("silent", channel=take.channel, peak_dbfs=take.peak_dbfs))
    return found


def _check_dry(dry: DryFile) -> list[Finding]:
    """Return the findings that make the dry file of a pair useless; reels have no such faults."""
    found, position = [], dry.levels.first_non_finite
    if position is not None:
        span = Span("dry", position, position + 1, "samples")
        found.append(refused("dry-not-finite", span, seconds=position / dry.info.sample_rate))
    if amp_to_db(peak := float(dry.levels.peaks[0])) > INTEGER_SCALE_DBFS:
        found.append(_integer_scale("the dry file", peak))
    return found


def _integer_scale(file: str, peak: float) -> Finding:
    return refused("integer-scale", file=file, peak=round(peak), full_scale=32768 if peak < 32769 else 8388608)


def _check_programme(take: Take, dynamic_range_db: float, dry: DryFile | None) -> list[Finding]:
    """Refuse a take of constant level whose dry file has pauses: it contains only hum or noise."""
    if dry is None or dynamic_range_db >= STEADY_DB or dry.levels.dynamic_range_db < PAUSES_DB:
        return []
    if take.hum_hz is not None and take.hum_dbfs is not None and _is_mostly_hum(take):
        return [refused("only-hum", hum_hz=take.hum_hz, hum_dbfs=take.hum_dbfs)]
    return [refused("only-noise", level_dbfs=take.noise_floor_dbfs)]


def _check_clipping(take: Take) -> list[Finding]:
    if not take.clips:
        return []
    first = take.clipped[0]
    span = Span("wet", first.seconds, round((first.start + first.samples) / take.sample_rate, 6))
    return [suspect("clipped", span, runs=take.clips, samples=take.clipped_samples)]


def _check_length(take: Take, missing: float) -> list[Finding]:
    return [suspect("incomplete", **_missing_values(take, missing))] if missing else []


def _check_channel(take: Take) -> list[Finding]:
    loudest = max(range(take.channels), key=lambda i: take.peaks_dbfs[i])
    difference = take.peaks_dbfs[loudest] - take.peak_dbfs
    if difference <= LOUDER_DB:
        return []
    values = {"channel": take.channel, "other_channel": loudest + 1}
    return [suspect("other-channel-louder", **values, difference_db=round(difference, 2))]


def _check_dc(take: Take) -> list[Finding]:
    return [suspect("dc-offset", dc=take.dc)] if abs(take.dc) > MAX_DC else []


def _check_level(take: Take) -> list[Finding]:
    return [suspect("low-level", peak_dbfs=take.peak_dbfs)] if take.peak_dbfs < QUIET_DBFS else []


def _check_dc_step(step: DcStep | None, dry: DryFile | None) -> list[Finding]:
    """Report a step of the mean, unless the dry file has steps: a device may follow them."""
    if step is None or (dry is not None and dry.levels.dc_step is not None):
        return []
    return [suspect("dc-step", Span("wet", step.start, step.stop), before=step.before, after=step.after)]


def _check_loop_back(take: Take, channel: int | None) -> list[Finding]:
    """Report a loop-back channel that cannot replace the dry signal."""
    if channel is None or not 1 <= channel <= take.channels:
        return []
    peak = take.peaks_dbfs[channel - 1]
    if peak >= CLIP_DBFS:
        return [suspect("loop-back-clipped", channel=channel)]
    return [suspect("loop-back-silent", channel=channel, peak_dbfs=peak)] if peak < SILENT_DBFS else []


def _check_hum_and_noise(take: Take, dry: DryFile | None, with_pauses: DryFile | None) -> list[Finding]:
    """Report hum and noise, unless the noise is the reported hum."""
    hum = _check_hum(take, dry)
    return hum if hum and _is_mostly_hum(take) else hum + _check_noise(take, with_pauses)


def _is_mostly_hum(take: Take) -> bool:
    return take.hum_dbfs is not None and take.hum_dbfs >= take.noise_floor_dbfs - HUM_POWER_DB


def _check_hum(take: Take, dry: DryFile | None) -> list[Finding]:
    """Report loud hum, unless the dry file has hum of the same mains: a take cannot be cleaner than its reel."""
    if take.hum_hz is None or take.hum_dbfs is None or take.hum_dbfs <= take.rms_dbfs - MIN_HUM_DISTANCE_DB:
        return []
    if dry is not None and dry.hum is not None and abs(dry.hum.hz - take.hum_hz) < SAME_MAINS_HZ:
        return []
    distance = round(take.rms_dbfs - take.hum_dbfs, 2)
    return [suspect("hum", hum_hz=take.hum_hz, hum_dbfs=take.hum_dbfs, distance_db=distance)]


def _check_noise(take: Take, dry: DryFile | None) -> list[Finding]:
    """Report noise. Only the pauses of the dry file distinguish it from music."""
    if take.snr_db >= MIN_SNR_DB or dry is None or dry.levels.noise_floor_dbfs > SILENT_DBFS:
        return []
    return [suspect("noise", noise_floor_dbfs=take.noise_floor_dbfs, snr_db=take.snr_db)]
