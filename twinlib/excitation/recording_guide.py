"""The page for the person who records: what to play, how, and what to check."""

from typing import Any

from twinlib.excitation.layout import OUTER_SECONDS


def recording_guide(
    name: str, excitation: dict[str, Any], takes: dict[str, str], probe: dict[str, Any] | None = None
) -> str:
    """How to record an excitation (contract `excitation/1`), as Markdown; its probe reel (`probe/1`) is the last one.

    `takes` holds, by device, the pattern of the files to be recorded, such as `recordings/silk/{reel}.wav`.
    """
    settings, rate = excitation["settings"], excitation["sample_rate"]
    layouts = {**excitation["reels"], **(probe["reels"] if probe else {})}
    reels = {reel: layout["frames"] / rate for reel, layout in layouts.items()}
    depth = "32-bit float" if settings["bit_depth"] == 32 else f"{settings['bit_depth']} bit"
    width = "stereo" if settings["channels"] == 2 else "mono"
    lines = [
        f"# Recording the excitation `{name}`",
        "",
        f"{len(reels)} {'reel' if len(reels) == 1 else 'reels'}, {_clock(sum(reels.values()))} of {width} audio at "
        f"{rate} Hz, {depth}. Play each through the device and record what comes back: one take a reel.",
        "",
        "| order | reel | duration |",
        "|---|---|---|",
        *(
            f"| {number} | `{reel}.wav` | {_clock(seconds)} |"
            for number, (reel, seconds) in enumerate(reels.items(), 1)
        ),
        "",
        *(
            [
                f"`{next(iter(probe['reels']))}.wav` is the probe reel: tones and sweeps from very soft to full scale,"
                " and ten seconds of music twice, from which harmonics, responses and noise are measured. It is not"
                " pleasant to hear. Record it like the others, at the same settings.",
                "",
            ]
            if probe
            else []
        ),
        "## How to wire it",
        "",
        "    output of the interface -> input of the device -> output of the device -> input of the interface",
        "",
        "- Use one interface for playing and recording, so that both run on one clock. If two must be used, join their"
        " clocks (word clock, ADAT or S/PDIF).",
        "- If the interface has an input to spare, lead a second cable from its output straight into it (a loop-back)"
        " and record both channels into one file. Its number in the configuration (`reference_channel: 2`) makes the"
        " alignment exact, whatever the device does to the sound. It must not clip either.",
        f"- Set the interface and the session to {rate} Hz, and record at 24 bit or more.",
        "- No plugins, no fades, no normalising, no sample rate conversion, no direct monitoring back into the device.",
        "",
        "## Levels",
        "",
        "- Play at unity: faders at 0 dB, nothing between the file and the converter. The reels peak just below 0 dBFS"
        " and hold quiet and loud music on purpose: distortion depends on level.",
        "- Set the output of the interface once, so that the loudest music drives the device at its nominal level, or"
        " as hard as you mean to use it. A plugin with the twin will then behave the same at 0 dBFS.",
        "- Set the input gain so that the take peaks between -12 and -3 dBFS. It must never clip: a clipped interface"
        " would become part of the twin.",
        "- Touch nothing from the first reel to the last: no knob of the device, no gain of the interface.",
        "",
        "## Each take",
        "",
        "1. Let the device warm up (valves and tape: half an hour).",
        "2. Start to record before the reel starts.",
        f"3. Play the reel from its very beginning to its very end. It starts with {OUTER_SECONDS:g} s of silence and a"
        " click, and ends with a click and silence.",
        "4. Stop a second or more after the reel has ended. Do not trim the file: the clicks are found by themselves.",
        "5. Save it as WAV or FLAC under the name below.",
        "6. Check it before going on: `twin check TAKE --reel REEL` says whether it is usable, and if not, why.",
        "",
        "## Where the takes go",
        "",
    ]
    if not takes:
        lines += ["No device of the configuration asks for takes of this excitation.", ""]
    for device, pattern in sorted(takes.items()):
        lines += [f"### {device}", "", "| reel | take |", "|---|---|"]
        lines += [f"| `{reel}.wav` | `{pattern.replace('{reel}', reel)}` |" for reel in reels]
        lines.append("")
    lines += [
        "Then run the pipeline again: it goes on from here. A reel that has been recorded is never made again; to",
        "change the music, give the excitation a new name.",
    ]
    return "\n".join(lines).rstrip() + "\n"


def _clock(seconds: float) -> str:
    """A duration as 9:05 or 1:02:03, rounded up to whole seconds."""
    whole = int(-(-seconds // 1))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
