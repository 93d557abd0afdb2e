#!/usr/bin/env bash
# PortAudio 19.6 (Debian 12, with sounddevice 0.5.6) on ALSA's plugin for PulseAudio: a stream that plays and records
# with a fixed block size plays some samples of a buffer twice, and all later ones are late by as many. The status of
# its callback has no flag for it, and no load of the machine is needed. With blocksize=0 no sample is repeated, but
# what the callback plays while the input does not run yet is lost, 0.03 to 1.4 s, more with a higher latency. Only the
# flag `input underflow` of these first blocks shows it, which sounddevice.playrec does not raise. Remedy: blocksize=0,
# and silence until this flag is gone.
# Needs, as Debian packages: pulseaudio libportaudio2 libasound2-plugins. The server is private and needs no sound card.
set -euo pipefail
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2> /dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check sounddevice==0.5.6 numpy==2.4.6
mkdir home run
chmod 700 run
export HOME=$folder/home XDG_CONFIG_HOME=$folder/home XDG_RUNTIME_DIR=$folder/run PULSE_RUNTIME_PATH=$folder/run
export PULSE_STATE_PATH=$folder/home PULSE_SERVER=unix:$folder/run/native PULSE_COOKIE=$folder/home/cookie
unset DBUS_SESSION_BUS_ADDRESS DISPLAY PULSE_LATENCY_MSEC
pulseaudio -n --daemonize=no --use-pid-file=no --exit-idle-time=-1 --disable-shm=yes --log-level=error \
    -L "module-native-protocol-unix socket=$folder/run/native" \
    -L "module-null-sink sink_name=sink rate=44100 format=float32le channels=1" 2> log &
server=$!
for _ in $(seq 100); do [ ! -S run/native ] || break; sleep 0.1; done
echo 'pcm.out { type pulse device "sink" }
pcm.in { type pulse device "sink.monitor" }' > home/.asoundrc
cat > play.py <<'CODE'
import threading

import numpy as np
import sounddevice

RATE = 44100
LATENCY = 0.1
# Each value occurs once, so that a recorded sample tells its place.
SENT = (np.random.default_rng(1).permutation(np.arange(1, 6 * RATE + 1)) * 2.0**-19).astype(np.float32)
PLACES = {float(value): place for place, value in enumerate(SENT)}


def record(block):
    position, received, flags, done = 0, [], [], threading.Event()

    def exchange(heard, out, frames, time, status):
        nonlocal position
        part = SENT[position : position + frames]
        out.fill(0)
        out[: len(part), 0] = part
        position += frames
        received.append(heard[:, 0].copy())
        flags.append(status)
        if position > len(SENT) + 2 * RATE:
            raise sounddevice.CallbackStop

    with sounddevice.Stream(
        RATE, block, ("in", "out"), 1, "float32", LATENCY, callback=exchange, finished_callback=done.set
    ):
        done.wait(60)
    found = [PLACES[value] for value in np.concatenate(received).tolist() if value in PLACES]
    others = sum(flag.output_underflow or flag.input_overflow for flag in flags)
    return found[0], len(found) - len(set(found)), sum(flag.input_underflow for flag in flags), others


print("#", sounddevice.get_portaudio_version()[1])
for block in (2048, 0):
    runs = [record(block) for _ in range(3)]
    for lost, repeated, late, others in runs:
        print(f"# {block}: the first {lost} samples lost, {repeated} repeated; flags: {late} late, {others} others")
    lost, repeated, late, others = zip(*runs)
    print(
        f"block size {block}: start lost {min(lost) > 1000}, repeats {min(repeated) > 0}, "
        f"input underflow {min(late) > 0}, all flagged {all(o >= r for o, r in zip(others, repeated))}"
    )
CODE
seen=$(venv/bin/python play.py)
echo "$seen"
facts=$(grep -v '^#' <<< "$seen")
[ "$facts" = "block size 2048: start lost False, repeats True, input underflow False, all flagged False
block size 0: start lost True, repeats False, input underflow True, all flagged True" ]
