"""Write config/config.schema.json and the key tables of config/README.md from the settings classes."""

from pathlib import Path

from twinlib.cli_runtime import run
from twinlib.config import json_schema, key_reference
from twinlib.files import write_text

CONFIG = Path(__file__).parents[1] / "config"
MARK = "<!-- `make reference` writes the tables below -->\n"


def main() -> None:
    """Write both files."""
    write_text(CONFIG / "config.schema.json", json_schema())
    readme = CONFIG / "README.md"
    head = readme.read_text(encoding="utf-8").split(MARK)[0]
    write_text(readme, head + MARK + "\n" + key_reference())


if __name__ == "__main__":
    run(main)
