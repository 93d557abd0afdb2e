"""Alignment: lag, drift and polarity of a capture, and its wet signal on the clock of its dry signal.

`align` measures a capture and judges it, `result` is what it says (alignment/1), `warp` reads the wet signal at
positions of the dry one, `figure` draws the lag over time. Underneath: `anchors` finds the clicks of a reel,
`search` finds a programme without clicks, `track` follows the lag along the programme, `clicks` measures the line
through both clicks and weighs it against the programme's, `wander` tells wandering clocks from devices, `spectra`
measures one window, `line` fits, `sinc` interpolates.
"""
