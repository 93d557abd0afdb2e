"""No code from data: nothing in the library can run it, and files that would run it do nothing."""

import ast
import pickle
from pathlib import Path

import pytest

from twinlib.errors import TwinError
from twinlib.model.twin import load_twin
from twinlib.parsing import read_yaml
from twinlib.training.best_config import resolve_model
from twinlib.training.checkpoint import load_checkpoint

REPOSITORY = Path(__file__).parents[1]
SOURCES = sorted(path for folder in ("twinlib", "scripts", "workflow") for path in (REPOSITORY / folder).rglob("*.py"))

MODULES = {
    "pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "joblib",
    "marshal",
    "shelve",
    "jsonpickle",
    "code",
    "codeop",
    "runpy",
}
CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "torch.load",
    "np.load",
    "numpy.load",
    "pd.read_pickle",
}
YAML = {"yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "yaml.UnsafeLoader", "yaml.FullLoader", "yaml.Loader"}


def dangers(tree: ast.AST) -> list[str]:
    """Imports and calls that run code from data, or a shell."""
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                found += [name.name for name in node.names if name.name.split(".")[0] in MODULES]
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in MODULES:
                found.append(module)
            case ast.Attribute() if ast.unparse(node) in YAML:
                found.append(ast.unparse(node))
            case ast.Call():
                found += [ast.unparse(node.func)] if ast.unparse(node.func) in CALLS else []
                found += [
                    ast.unparse(word) for word in node.keywords if word.arg in ("shell", "allow_pickle", "weights_only")
                ]
                if ast.unparse(node.func) == "yaml.load" and ast.unparse(node.args[1]) != "_TextLoader":
                    found.append(ast.unparse(node))
    return found


def test_the_search_finds_what_it_should() -> None:
    text = (
        "import pickle\nfrom joblib import load\nimport os\nimport yaml\nos.system('a')\neval('1')\n"
        "subprocess.run('a', shell=True)\nyaml.load(text, yaml.Loader)\nnp.load(path, allow_pickle=True)\n"
    )
    assert len(dangers(ast.parse(text))) == 9


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_no_source_runs_code_from_data(path: Path) -> None:
    assert dangers(ast.parse(path.read_text(encoding="utf-8"))) == []


class Touch:
    """An object whose unpickling creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_code_in_files_is_never_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    content = pickle.dumps(Touch(trace))
    pickle.loads(content)
    assert trace.exists(), "the file would run code"
    trace.unlink()
    for name in ("twin.safetensors", "checkpoint.safetensors"):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(TwinError, match="not a readable safetensors file"):
        load_twin(tmp_path / "twin.safetensors")
    assert load_checkpoint(tmp_path, "x") is None
    call = f"!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.PosixPath [{trace}]]"
    for text in (f"a: {call}", f"contract: best/1\nnetwork: {call}", f"? {call}\n: 1", f"<<: {call}"):
        (tmp_path / "x.yaml").write_text(text)
        with pytest.raises(TwinError, match=r"could not determine a constructor|mapping"):
            read_yaml(tmp_path / "x.yaml")
        with pytest.raises(TwinError, match="not the result of a search"):
            resolve_model("null", '{"steps": 10}', [tmp_path / "x.yaml"])
    assert not trace.exists()
