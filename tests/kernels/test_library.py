import functools

import pytest

from tests.kernels.factories import INSTRUCTIONS, NETWORKS, make_twin, using
from twinlib.errors import ModelError
from twinlib.kernels import SWITCH, CompiledStream, engine_name, instruction_set, is_enabled, library
from twinlib.model.streaming import create_engine
from twinlib.model.torch_stream import TorchStream


def test_the_best_instruction_set_is_the_default(monkeypatch):
    monkeypatch.delenv(SWITCH, raising=False)
    assert instruction_set() == INSTRUCTIONS[0]
    assert isinstance(create_engine(make_twin(NETWORKS["nam-nano"]), 1), CompiledStream)


def test_off_selects_torch():
    assert is_enabled()
    with using("off"):
        assert not is_enabled()
        assert instruction_set() is None
        assert engine_name() == "torch"
        assert isinstance(create_engine(make_twin(NETWORKS["nam-nano"]), 1), TorchStream)


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_a_supported_set_can_be_selected(name):
    with using(name):
        assert instruction_set() == engine_name() == name


def test_an_unknown_set_is_refused_with_the_best():
    with using("sse9"), pytest.raises(ModelError, match=f"'sse9', but this CPU supports {INSTRUCTIONS[0]} at most"):
        instruction_set()


def test_without_the_library_torch_computes_and_one_message_says_so(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv(SWITCH, raising=False)
    monkeypatch.setattr(library, "library_path", lambda: tmp_path / "wavenet-0.so")
    monkeypatch.setattr(library, "load_library", functools.cache(library.load_library.__wrapped__))
    for _ in range(2):
        assert instruction_set() is None
        assert isinstance(create_engine(make_twin(NETWORKS["nam-nano"]), 1), TorchStream)
    message = capsys.readouterr().err
    assert message.count("compiled kernels") == 1
    assert "python -m twinlib.kernels.build" in message
