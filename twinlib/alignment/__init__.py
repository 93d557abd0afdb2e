"""Alignment: lag, drift, losses and polarity of a capture, and its wet signal on the clock of its dry signal.

`align` measures a capture and judges it, `result` is what it says (alignment/2), `warp` reads the wet signal at
positions of the dry one, `figure` draws the lag over time. The road from two files to a verdict, each step a module:

    signals    a channel read anywhere, at the dry signal's rate
    anchors    the clicks of a reel, by matched filter; search: a programme without clicks, by whitened excerpts
    walk       from there along the programme, window by window, over losses of any length
    follow     the clock that explains the walk: fit, warp, measure again (`track` measures, `line` and `bend` fit,
               `wander`, `halves` and `flutter` tell a clock's swings from a device's phase; `breaks` and `losses` find
               what was lost, `place` where; `course`, `clock` and `timemap` hold what is known)
    clicks     the line through both clicks, weighed against the programme's
    judge      which stretches are left out and why, by the windows, by `coverage` (listening to all of it, in `cells`,
               against a `prediction`), by `closeup` (short windows) and by `elsewhere` (milliseconds that were moved);
               `diagnosis` says why nothing was recognised
    sinc       interpolation along a lag that varies; `spectra` the delay of one window
"""
