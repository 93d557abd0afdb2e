"""Write the card of a device: make, model, levels and circumstances of its recording."""

import json
from pathlib import Path

from twinlib.cli_runtime import options, run
from twinlib.contracts import DEVICE_CARD
from twinlib.files import write_json
from twinlib.provenance import stage_record


def main() -> None:
    """Write `device_card.json`."""
    args = options(__doc__, device=str, card=str, output=Path)
    with stage_record(Path(__file__), [], [args.output], {"card": args.card}):
        write_json(args.output, DEVICE_CARD, {"device": args.device, "card": json.loads(args.card)})


if __name__ == "__main__":
    run(main)
