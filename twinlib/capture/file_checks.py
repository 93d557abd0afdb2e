"""Checks of the files of a capture, whatever their content: header, codec, bit depth."""

from twinlib.audio import UNFINISHED, AudioInfo
from twinlib.findings import Finding, Messages, Severity, info, suspect

FILE_SENTENCES = {
    "header-unfinished": "{file} " + UNFINISHED + ": it was read to the end of the file ({seconds:.2f} s)",
    "truncated": "{file} is truncated: it ends {loss}. The missing part is excluded. Copy it again from the recorder, "
    "or record it again",
    "lossy": "{file} is lossy ({codec}): the codec drops what ears miss, mostly in the highs, and adds an error that "
    "the twin learns (an ESR of 0.001 to 0.05 at 128 kbit/s). Use a WAV or FLAC file of the same recording",
    "8-bit": "{file} has 8 bits per sample: its rounding noise is only 50 dB below full scale. Use 16 or 24 bits",
}
"""Sentence of each finding on a file."""


def check_file(audio: AudioInfo, file: str, bits: Severity = "suspect") -> list[Finding]:
    """Return the findings on a file, named `file` in their sentences; `bits` is the severity of 8 bits."""
    found = []
    if audio.header == "unfinished":
        found.append(info("header-unfinished", file=file, seconds=round(audio.seconds, 6)))
    if audio.header == "truncated":
        values = {"frames": audio.frames, "announced_frames": audio.announced}
        found.append(suspect("truncated", file=file, loss=audio.describe_loss(), **values))
    if audio.codec is not None:
        found.append(suspect("lossy", file=file, codec=audio.codec))
    if audio.bit_depth == 8:
        found.append(Finding("8-bit", bits, values={"file": file}))
    return found


def describe_file(audio: AudioInfo) -> list[str]:
    """Return the sentences of all findings on a file, by its path."""
    messages = Messages(FILE_SENTENCES)
    return [messages.sentence(finding) for finding in check_file(audio, str(audio.path))]
