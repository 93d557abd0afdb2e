"""The recording guide of an excitation as a page with a picture of the wiring."""

from collections.abc import Mapping
from typing import Any

from twinlib.excitation import OUTER_SECONDS, take_path
from twinlib.formatting import format_clock
from twinlib.html_templates import html_environment


def render_recording_page(
    name: str, excitation: Mapping[str, Any], takes: Mapping[str, str], probe: Mapping[str, Any] | None = None
) -> str:
    """Return the guide to record an excitation (`excitation/1`, and `probe/1` of its probe reel) as HTML.

    `takes` maps devices to file name patterns of their takes, such as `recordings/silk/{reel}.wav`. Equal input gives
    equal text.
    """
    settings, rate = excitation["settings"], excitation["sample_rate"]
    layouts = {**excitation["reels"], **(probe["reels"] if probe else {})}
    reels = {reel: layout["frames"] / rate for reel, layout in layouts.items()}
    template = html_environment("twinlib.recording").get_template("recording.html.j2")
    return template.render(
        name=name,
        reels={reel: format_clock(seconds) for reel, seconds in reels.items()},
        total=format_clock(sum(reels.values())),
        rate=rate,
        depth="32-bit float" if settings["bit_depth"] == 32 else f"{settings['bit_depth']} bit",
        outer_seconds=f"{OUTER_SECONDS:g}",
        takes={
            device: {reel: str(take_path(pattern, reel)) for reel in reels} for device, pattern in sorted(takes.items())
        },
    ).lstrip()
