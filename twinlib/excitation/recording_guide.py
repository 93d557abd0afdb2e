"""The recording guide of an excitation: what to play, how to record it, what to check."""

from typing import Any

from twinlib.excitation.layout import OUTER_SECONDS
from twinlib.formatting import format_clock


def recording_guide(
    name: str, excitation: dict[str, Any], takes: dict[str, str], probe: dict[str, Any] | None = None
) -> str:
    """Return the recording guide of an excitation (`excitation/1`) as Markdown; its probe reel (`probe/1`) comes last.

    `takes` maps devices to file name patterns of their takes, such as `recordings/silk/{reel}.wav`.
    """
    settings, rate = excitation["settings"], excitation["sample_rate"]
    layouts = {**excitation["reels"], **(probe["reels"] if probe else {})}
    reels = {reel: layout["frames"] / rate for reel, layout in layouts.items()}
    depth = "32-bit float" if settings["bit_depth"] == 32 else f"{settings['bit_depth']} bit"
    width = "stereo" if settings["channels"] == 2 else "mono"
    lines = [
        f"# Recording the excitation `{name}`",
        "",
        f"{len(reels)} {'reel' if len(reels) == 1 else 'reels'}, {format_clock(sum(reels.values()))} of {width} audio"
        f" at {rate} Hz, {depth}. Play each through the device and record its output: one take per reel.",
        "",
        "| order | reel | duration |",
        "|---|---|---|",
        *(
            f"| {number} | `{reel}.wav` | {format_clock(seconds)} |"
            for number, (reel, seconds) in enumerate(reels.items(), 1)
        ),
        "",
        *(
            [
                f"`{next(iter(probe['reels']))}.wav` is the probe reel: tones and sweeps from very soft to full scale,"
                " and ten seconds of music, played twice. It measures harmonics, responses and noise. It is"
                " unpleasant to listen to. Record it like the other reels, with the same settings.",
                "",
            ]
            if probe
            else []
        ),
        *(
            [
                "Every reel repeats two seconds of noise at its start, in its middle and at its end. From these"
                " repeats the program detects a knob that moves during the recording.",
                "",
            ]
            if any("witness" in layout for layout in layouts.values())
            else []
        ),
        "`recording.html` beside this file shows the same with a picture of the wiring. `twin record --device NAME`"
        " plays the reels, records and checks them; the rest of this text is for recording with an audio program."
        " With another configuration file than `config/config.yaml`, add `--config FILE` to each `twin` command.",
        "",
        "## Wiring",
        "",
        "    output of the interface -> input of the device -> output of the device -> input of the interface",
        "",
        "- Use one interface for playback and recording, so that both share a clock. If you need two, synchronise their"
        " clocks (word clock, ADAT or S/PDIF).",
        "- If the interface has a spare input, connect its output directly to that input (a loop-back) and record both"
        " channels into one file. With its number in the configuration (`reference_channel: 2`), the alignment is"
        " exact for any device. It must not clip either.",
        f"- Set the interface and the session to {rate} Hz, and record at 24 bit or more.",
        "- No plug-ins, fades, normalisation, sample rate conversion, or direct monitoring into the device.",
        "",
        "## Levels",
        "",
        "- Play at unity gain: faders at 0 dB, no processing between the file and the converter. The reels peak just"
        " below 0 dBFS and contain quiet and loud music on purpose, because distortion depends on level.",
        "- Set the output level of the interface once, so that the loudest music drives it at its nominal level,"
        " or as hard as you intend to use it. A plug-in with the twin then behaves the same at 0 dBFS.",
        "- Set the input gain so that the take peaks between -12 and -3 dBFS. It must never clip: clipping of the"
        " interface would become part of the twin.",
        "- Do not change any knob of the device or gain of the interface between the first and the last reel.",
        "",
        "## In the audio program",
        "",
        f"- Project: {rate} Hz. Import the reels without conversion; no tempo map, no warping or stretching of clips.",
        "- Send: fader of the reel and master at 0 dB, no plug-in and no panning law on the way to the output.",
        "- Return: a second track, armed, monitoring off, so that the take is not sent through the device again.",
        f"- Export: the recorded file itself, or the raw track as WAV or FLAC, {rate} Hz, 24 bit or 32-bit float,"
        " mono (two channels with a loop-back). No normalisation, dither, fades, trimming or MP3.",
        "- Several reels in one recording are fine, in any order, under any name: `twin check FOLDER` recognises and"
        " cuts them.",
        "",
        "## Each take",
        "",
        "1. Let the device warm up (half an hour for valves and tape).",
        "2. Start recording before the reel starts.",
        f"3. Play the whole reel. It starts with {OUTER_SECONDS:g} s of silence and a click, and ends with a click and"
        " silence.",
        "4. Stop at least a second after the end of the reel. Do not trim the file: the program finds the clicks.",
        "5. Save it as WAV or FLAC under the name below.",
        "6. Check it before you continue, by the command below: it reports whether the take is usable, with reasons.",
        "",
        "## Where the takes go",
        "",
    ]
    if not takes:
        lines += ["No device of the configuration uses takes of this excitation.", ""]
    for device, pattern in sorted(takes.items()):
        lines += [f"### {device}", "", "| reel | take | check |", "|---|---|---|"]
        for reel in reels:
            take = pattern.replace("{reel}", reel)
            lines.append(f'| `{reel}.wav` | `{take}` | `twin check "{take}" --reel {reel} --device {device}` |')
        lines.append("")
    lines += [
        "Then run the pipeline again; it continues with the takes. Recorded reels are immutable: to change the",
        "music, give the excitation a new name.",
    ]
    return "\n".join(lines).rstrip() + "\n"
