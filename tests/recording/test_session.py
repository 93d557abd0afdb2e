"""`twin record` with a sound system made of functions: levels, passes, faults of streams, interruption, the card."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.cli.conftest import _quiet, twin  # noqa: F401
from tests.cli.harness import Command, refused
from tests.recording.conftest import RATE, overdrive, reel_samples
from tests.recording.test_check_command import project  # noqa: F401
from twinlib import audio, recording
from twinlib.audio import Signal
from twinlib.capture import DeviceCard, merge_card
from twinlib.config import load_config
from twinlib.errors import ConfigError, InterfaceError, StalledStreamError
from twinlib.files import read_json
from twinlib.recording import (
    BLOCK_FRAMES,
    Connection,
    Interface,
    Received,
    SoundSystem,
    ask_card,
    measure_levels,
    write_card,
)
from twinlib.recording.passes import record_pass

CONNECTION = Connection(None, None, (1,), (1,), RATE)


@dataclass
class Bench:
    """A device on an interface. Each pass takes the next of `faults`: seconds lost at the start, or an exception.

    A cable is pulled after `plugged_passes`.
    """

    gain: float = 1.0
    delay: int = 400
    rate: int = RATE
    faults: list[float | BaseException] = field(default_factory=list)
    passes: int = 0
    plugged_passes: int = 1000
    broken_block: int | None = None
    interfaces: list[Interface] = field(default_factory=lambda: [Interface(0, "Bench", 2, 2, RATE, True, True)])

    def system(self) -> SoundSystem:
        return SoundSystem(lambda: self.interfaces, lambda connection: self.rate, self.exchange)

    def exchange(self, connection: Connection, blocks: Iterable[Signal]) -> Iterator[Received]:
        fault = self.faults.pop(0) if self.faults else 0.0
        self.passes += 1
        played = np.concatenate([block[:, 0] for block in blocks])
        gain = self.gain if self.passes <= self.plugged_passes else 0.0
        device = np.pad(gain * overdrive(played, self.passes), (self.delay, 0))
        loop_back = np.pad(0.5 * played, (self.delay, 0))
        lost = round(fault * RATE) if isinstance(fault, float) else 0
        for number, start in enumerate(range(0, len(played) - lost, BLOCK_FRAMES)):
            if isinstance(fault, BaseException) and start > 5 * RATE:
                raise fault
            both = np.stack([device, loop_back], axis=1)[lost + start : lost + start + BLOCK_FRAMES]
            yield Received(both[:, [channel - 1 for channel in connection.inputs]], number == self.broken_block)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench()
    monkeypatch.setattr("twinlib.recording.portaudio_system", made.system, raising=False)
    return made


def test_the_test_signal_measures_levels_polarity_and_latency() -> None:
    found = measure_levels(Bench(delay=441).system(), CONNECTION)
    assert found.polarity == -1
    assert found.latency_seconds == pytest.approx(0.01, abs=1e-4)
    assert found.return_dbfs == pytest.approx(20 * np.log10(0.5 * np.tanh(2 * 10 ** (-1 / 20))), abs=0.1)
    assert found.noise_dbfs == pytest.approx(-80, abs=2)
    assert found.hum_hz is None
    assert found.is_usable
    assert found.problems == []
    assert "headroom 6." in found.describe()
    assert "send -1.0 dBFS (+11.3 dBu)" in found.describe(12.3)


@pytest.mark.parametrize(
    ("changes", "words", "usable"),
    [
        ({"gain": 2.5}, "the input clips: lower its gain", False),
        ({"gain": 1.7}, "lower the input gain by 4 dB", True),
        ({"gain": 0.1}, "raise the input gain by 2", True),
        ({"gain": 1e-5}, "nothing comes back", False),
        ({"broken_block": 30}, "the stream was interrupted", True),
    ],
)
def test_the_set_up_says_what_to_correct(changes: dict[str, float], words: str, usable: bool) -> None:
    found = measure_levels(Bench(**changes).system(), CONNECTION)  # type: ignore[arg-type]
    assert words in found.problems[0]
    assert found.is_usable is usable


def test_hum_and_a_loop_back_are_measured() -> None:
    bench = Bench()

    def humming(connection: Connection, blocks: Iterable[Signal]) -> Iterator[Received]:
        position = 0
        for received in bench.exchange(connection, blocks):
            time = (position + np.arange(len(received.samples))) / RATE
            position += len(time)
            yield replace(received, samples=received.samples + 0.01 * np.sin(2 * np.pi * 50 * time)[:, None])

    system = replace(bench.system(), exchange=humming)
    found = measure_levels(system, replace(CONNECTION, inputs=(1, 2)), channel=1, reference_channel=2)
    assert found.hum_hz == pytest.approx(50, abs=0.1)
    assert found.hum_dbfs == pytest.approx(-43, abs=0.5)
    assert found.loop_back_dbfs == pytest.approx(-7, abs=0.2)


def test_a_pass_has_the_samples_of_the_device_and_notes_interruptions(main: Path, tmp_path: Path) -> None:
    reel = main / "reels" / "main-01.wav"
    bench = Bench(delay=0, broken_block=50)
    made = record_pass(bench.system(), CONNECTION, reel, tmp_path / "take.wav", subtype="FLOAT")
    dry = reel_samples(main, "main-01")
    samples = audio.read(tmp_path / "take.wav")[:, 0]
    assert made.breaks == (round(50 * BLOCK_FRAMES / RATE, 3),)
    assert made.is_complete
    assert np.abs(samples[made.lead_frames :][: len(dry)] - overdrive(dry, 9)).max() < 1e-3
    assert len(samples) >= made.lead_frames + len(dry) + RATE


def test_a_reel_is_played_at_the_rate_of_the_interface(main: Path, tmp_path: Path) -> None:
    reel = main / "reels" / "main-01.wav"
    made = record_pass(Bench().system(), replace(CONNECTION, sample_rate=48000), reel, tmp_path / "take.wav")
    info = audio.read_info(tmp_path / "take.wav")
    assert (info.sample_rate, info.subtype, made.sample_rate) == (48000, "PCM_24", 48000)
    assert info.seconds > audio.read_info(reel).seconds + 2


def test_an_interrupted_pass_keeps_what_was_recorded(main: Path, tmp_path: Path) -> None:
    bench = Bench(faults=[KeyboardInterrupt()])
    made = record_pass(bench.system(), CONNECTION, main / "reels" / "main-01.wav", tmp_path / "take.wav")
    assert not made.is_complete
    assert audio.read_info(tmp_path / "take.wav").seconds == pytest.approx(5, abs=0.1)


def test_all_missing_reels_are_recorded_and_a_lost_start_is_repeated(
    twin: Command,  # noqa: F811
    project: Path,  # noqa: F811
    bench: Bench,
) -> None:
    # The first pass is the set-up. The second loses more than the silence before the reel, the third is good.
    bench.faults = [0.0, 2.4, 0.6]
    code, out, err = twin("record", "--reel", "main-02")
    assert code == 0, out + err
    assert bench.passes == 3
    assert "the stream lost its first 2.40 s, 0.8" in out
    assert "recordings/silk/main-02.wav: ok" in out
    assert "the stream lost its first 0.60 s, or had a shorter round trip" in out
    assert [path.name for path in Path("recordings/silk/set aside").iterdir()] == ["main-02 1.wav"]
    log = read_json(Path("recordings/silk/silk.recording.json"), "recording/1")
    assert log["takes"]["main-02"]["verdict"] == "ok"
    assert log["takes"]["main-02"]["lost_seconds"] == pytest.approx(0.6, abs=1e-2)
    assert log["takes"]["main-02"]["levels"]["polarity"] == -1
    code, out, _ = twin("record", "--dry-run")
    assert code == 0
    assert "main-02" not in out
    assert out.count("minutes -> recordings/silk/main-") == 11
    refused(twin("record", "--reel", "main-02"), "recordings/silk/main-02.wav is the take of main-02", "move that file")


def test_a_stream_that_stalls_is_repeated(twin: Command, project: Path, bench: Bench) -> None:  # noqa: F811
    bench.faults = [0.0, StalledStreamError("nothing for 10 s")]
    code, out, err = twin("record", "--reel", "main-01")
    assert code == 0, out + err
    assert "the stream stopped on its own at 5.0" in out
    assert "recordings/silk/main-01.wav: ok" in out
    assert bench.passes == 3


def test_a_session_resumes_after_ctrl_c(twin: Command, project: Path, bench: Bench) -> None:  # noqa: F811
    bench.faults = [0.0, KeyboardInterrupt()]
    code, out, _ = twin("record")
    assert code == 130
    assert "what was recorded is in recordings/silk/set aside/main-01 1.wav; finished takes are kept" in out
    assert not Path("recordings/silk/main-01.wav").exists()
    assert not list(Path("recordings/silk").glob(".*"))
    bench.passes = 0
    code, out, err = twin("record", "--reel", "main-01")
    assert code == 0, out + err
    assert Path("recordings/silk/main-01.wav").is_file()


def test_a_recording_that_was_not_checked_is_kept_aside(
    twin: Command,  # noqa: F811
    project: Path,  # noqa: F811
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stopped(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    takes = Path("recordings/silk")
    takes.mkdir(parents=True)
    # As after a kill during the check.
    (takes / ".main-01.recording.wav").write_bytes(b"killed")
    monkeypatch.setattr("twinlib.recording.session.check_take", stopped)
    code, out, _ = twin("record", "--reel", "main-01")
    assert code == 130
    assert "what was recorded is in recordings/silk/set aside/main-01 2.wav" in out
    assert (takes / "set aside" / "main-01 1.wav").read_bytes() == b"killed"
    assert audio.read_info(takes / "set aside" / "main-01 2.wav").seconds > 17
    assert not list(takes.glob(".*"))


def test_a_file_is_recorded_without_a_configuration(
    twin: Command,  # noqa: F811
    main: Path,
    tmp_path: Path,
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    reel = main / "reels" / "main-04.wav"
    code, out, err = twin("record", reel, "--out", "take.wav")
    assert code == 0, out + err
    assert "take.wav: ok" in out
    assert [path.name for path in tmp_path.iterdir()] == ["take.wav"]
    refused(twin("record", reel, "--out", "take.wav"), "take.wav exists")
    refused(twin("record", reel, "--out", "take.mp3"), "use .wav or .flac")
    refused(twin("record", reel), "give both FILE and --out")


def test_nothing_is_recorded_through_an_unusable_path(twin: Command, project: Path, bench: Bench) -> None:  # noqa: F811
    bench.gain = 0.0
    refused(twin("record"), "nothing was recorded: nothing comes back")
    assert not [path for path in Path("recordings").rglob("*") if path.is_file()]


def test_a_useless_take_is_set_aside_and_not_repeated_without_a_person(
    twin: Command,  # noqa: F811
    project: Path,  # noqa: F811
    bench: Bench,
) -> None:
    bench.plugged_passes = 1
    ended = twin("record", "--reel", "main-03")
    refused(ended, "main-03 has no take yet")
    assert bench.passes == 2
    assert not Path("recordings/silk/main-03.wav").exists()
    assert len(list(Path("recordings/silk/set aside").iterdir())) == 1


def test_a_take_that_appears_during_the_recording_is_not_replaced(
    twin: Command,  # noqa: F811
    main: Path,
    tmp_path: Path,
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    take, exchange = tmp_path / "take.wav", bench.exchange

    def slow(connection: Connection, blocks: Iterable[Signal]) -> Iterator[Received]:
        take.write_bytes(b"of another program")
        return exchange(connection, blocks)

    monkeypatch.setattr(bench, "exchange", slow)
    ended = twin("record", main / "reels" / "main-04.wav", "--out", "take.wav")
    refused(ended, "take.wav appeared during the recording", "the new recording is in set aside/take 1.wav")
    assert take.read_bytes() == b"of another program"
    assert audio.read_info(tmp_path / "set aside" / "take 1.wav").seconds > 17


def test_a_second_session_does_not_record_into_the_same_folder(
    twin: Command,  # noqa: F811
    project: Path,  # noqa: F811
    bench: Bench,
) -> None:
    takes = Path("recordings/silk")
    with recording.lock_takes(takes):
        refused(twin("record"), "another `twin record` records into recordings/silk")
        refused(twin("record", "results/excitations/main/reels/main-01.wav", "--out", takes / "x.wav"), "another")
    assert bench.passes == 0
    assert not list(takes.iterdir())


def test_options_of_a_device_are_refused_for_a_file(
    twin: Command,  # noqa: F811
    main: Path,
    tmp_path: Path,
    bench: Bench,
) -> None:
    words = ("record", main / "reels" / "main-04.wav", "--out", tmp_path / "take.wav")
    refused(twin(*words, "--reel", "main-04", "--device", "silk"), "leave out --reel and --device")
    assert bench.passes == 0


def test_the_end_of_input_at_a_question_stops_before_the_recording(
    twin: Command,  # noqa: F811
    project: Path,  # noqa: F811
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ended(prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", ended)
    refused(twin("record"), "stopped before the recording", "Enter leaves one open")
    assert bench.passes == 0


@pytest.mark.parametrize(
    ("address", "number"), [(None, 1), (0, None), (2, 2), ("fire alsa", 2), ("Built-in", 1), ("gold", None)]
)
def test_an_input_is_found_by_number_by_name_or_as_the_default(address: int | str | None, number: int | None) -> None:
    interfaces = [
        Interface(0, "Built-in (ALSA)", 2, 0, RATE),
        Interface(1, "Built-in microphone (ALSA)", 0, 2, RATE, is_default_input=True),
        Interface(2, "Fireface (ALSA)", 8, 8, RATE),
    ]
    found = recording.find_input(interfaces, address)
    assert (found.number if found is not None else None) == number


def test_only_a_problem_of_the_rate_changes_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    class PortAudioError(Exception):
        pass

    def check(device: object, channels: int, dtype: str, samplerate: int) -> None:
        if channels > 2:
            raise PortAudioError("Invalid number of channels")
        if samplerate != 48000:
            raise PortAudioError("Invalid sample rate")

    made = ModuleType("sounddevice")
    made.__dict__.update(
        PortAudioError=PortAudioError,
        check_output_settings=check,
        check_input_settings=check,
        query_devices=lambda device, kind: {"default_samplerate": 48000.0},
    )
    monkeypatch.setitem(sys.modules, "sounddevice", made)
    system = recording.portaudio_system()
    assert system.find_rate(CONNECTION) == 48000
    with pytest.raises(InterfaceError, match="Invalid number of channels"):
        system.find_rate(replace(CONNECTION, inputs=(1, 8)))


class Driver:
    """A module like sounddevice whose input hears the output `delay` frames later, in blocks of changing sizes.

    The input runs after `starting` blocks; what the output plays until then is lost. The first `dead` streams end at
    their start.
    """

    PortAudioError = OSError

    def __init__(self, starting: int, delay: int, dead: int = 0) -> None:
        self._dead = dead
        self._starting, self._played = starting, np.zeros(delay, np.float32)
        self.options: dict[str, Any] = {}

    def query_devices(self, device: object, kind: str) -> dict[str, float]:
        return {"default_high_input_latency": 0.03, "default_high_output_latency": 0.3}

    def Stream(self, **options: Any) -> "Driver":
        self.options = options
        return self

    def start(self) -> None:
        self._dead -= 1
        if self._dead >= 0:
            return
        for number, size in enumerate(np.random.default_rng(1).integers(100, 5000, 60)):
            is_late = number < self._starting
            heard = np.zeros((size, 1), np.float32) if is_late else self._played[:size, None]
            out = np.full((size, 1), np.nan, np.float32)
            status = SimpleNamespace(input_underflow=is_late, input_overflow=False, output_underflow=False)
            self.options["callback"](heard, out, size, None, status)
            if not is_late:
                self._played = np.concatenate([self._played[size:], out[:, 0]])

    def abort(self) -> None:
        pass

    close = abort


@pytest.mark.parametrize(("starting", "dead"), [(0, 0), (7, 0), (7, 1)])
def test_nothing_is_played_before_the_input_runs(starting: int, dead: int, monkeypatch: pytest.MonkeyPatch) -> None:
    driver, delay = Driver(starting, 6000, dead), 6000
    monkeypatch.setattr("twinlib.recording.portaudio.TIMEOUT_SECONDS", 0.05)
    monkeypatch.setitem(sys.modules, "sounddevice", driver)
    sent = np.random.default_rng(2).uniform(-1, 1, (20 * BLOCK_FRAMES, 1)).astype(np.float32)
    blocks = [sent[start : start + BLOCK_FRAMES] for start in range(0, len(sent), BLOCK_FRAMES)]
    found = list(recording.portaudio_system().exchange(CONNECTION, blocks))
    samples = np.concatenate([each.samples for each in found])[:, 0]
    assert len(samples) >= len(sent)
    assert not samples[:delay].any()
    assert np.array_equal(samples[delay : len(sent)], sent[: len(sent) - delay, 0])
    assert not any(each.is_broken for each in found)
    assert (driver.options["blocksize"], driver.options["latency"]) == (0, 0.3), (
        "a fixed size repeats samples on ALSA's pulse plugin"
    )


def test_an_interface_that_delivers_nothing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", Driver(0, 6000, dead=2))
    monkeypatch.setattr("twinlib.recording.portaudio.TIMEOUT_SECONDS", 0.05)
    with pytest.raises(StalledStreamError, match="delivered nothing"):
        list(recording.portaudio_system().exchange(CONNECTION, [np.zeros((BLOCK_FRAMES, 1), np.float32)]))


def test_neither_a_long_round_trip_nor_a_break_before_the_reel_is_a_fault(main: Path, tmp_path: Path) -> None:
    bench, reel = Bench(delay=3 * RATE, broken_block=10), main / "reels" / "main-01.wav"
    found = measure_levels(bench.system(), replace(CONNECTION, latency=2.0))
    assert (found.latency_seconds, found.breaks) == (pytest.approx(3.0, abs=1e-3), 0)
    task = recording.Task("main-01", reel, recording.read_layout(reel)[0], tmp_path / "take.wav")
    made = recording.record_task(bench.system(), CONNECTION, task, latency_seconds=found.latency_seconds)
    assert made.made.breaks == (round(10 * BLOCK_FRAMES / RATE, 3),), "the log has it"
    assert (made.verdict, made.decision, made.lost_seconds) == ("ok", "keep", pytest.approx(0.0, abs=1e-3))


def test_a_set_up_that_lost_its_start_says_so() -> None:
    found = measure_levels(Bench(faults=[0.6]).system(), CONNECTION)
    assert found.lost_seconds == pytest.approx(0.6 - 400 / RATE, abs=1e-3)
    assert "the stream lost its first 0.59 s, or more: lower --latency" in found.problems
    assert "round trip" not in found.describe()
    assert found.is_usable


def test_interfaces_are_listed_and_missing_packages_are_explained(
    twin: Command,  # noqa: F811
    project: Path,  # noqa: F811
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code, out, _ = twin("record", "--list")
    assert code == 0
    assert "0  Bench: 2 outputs, 2 inputs, 44100 Hz (default output, input)" in out
    monkeypatch.setattr(bench, "interfaces", [])
    refused(twin("record", "--list"), "PortAudio finds no interface", "twin check FOLDER")
    bench.rate = 48000
    refused(twin("record", "--rate", "96000"), "does not run at 96000 Hz, but at 48000 Hz")
    refused(twin("record", "--inputs", "0"), "channels are counted from 1")
    refused(twin("record", "--reel", "main-99"), "no reel main-99")
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(InterfaceError, match=r"pip install -e '\.\[record\]'"):
        recording.portaudio_system()


def test_the_card_is_asked_for_once_and_carried_on(project: Path) -> None:  # noqa: F811
    answers = {"Manufacturer of the device": "Klon", "Positions of all knobs": "gain 12:30"}
    given = iter(["loud", "4.2"])

    def ask(question: str, default: str) -> str:
        if question.startswith("Level in dBu at the input of the device"):
            return next(given)
        return next((value for words, value in answers.items() if question.startswith(words)), default)

    card = ask_card(ask, "silk", DeviceCard(model="Centaur"), "Bench")
    assert (card.make, card.model, card.knobs, card.interface) == ("Klon", "Centaur", "gain 12:30", "Bench")
    assert card.input_level_dbu == 4.2
    assert card.date is not None
    path = Path("recordings/silk/silk.card.yaml")
    write_card(path, "silk", card)
    settings = load_config(Path("config/config.yaml")).devices["silk"]
    assert merge_card(settings.takes, "silk", settings.card) == card
    assert merge_card(settings.takes, "silk", DeviceCard(make="Other")).make == "Other"
    path.write_text("make: [")
    with pytest.raises(ConfigError, match=r"silk\.card\.yaml"):
        merge_card(settings.takes, "silk", settings.card)
    path.write_text("maker: Klon")
    with pytest.raises(ConfigError, match="did you mean 'make'"):
        merge_card(settings.takes, "silk", settings.card)
