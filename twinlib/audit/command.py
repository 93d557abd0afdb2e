"""The sub-commands of `twin audit`."""

import argparse
from pathlib import Path

from twinlib import audit


def add_audit(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `audit` and its sub-commands to the commands of `twin`."""
    parser = commands.add_parser("audit", help="trace, verify and document the files of a results folder")
    questions = parser.add_subparsers(required=True, metavar="QUESTION")

    def question(name: str, text: str) -> argparse.ArgumentParser:
        parser = questions.add_parser(name, help=text, description=text)
        parser.add_argument(
            "--results", type=Path, default=Path("results"), metavar="DIR", help="results folder (default: results)"
        )
        parser.add_argument("--json", action="store_true", help="print the answer as JSON")
        # The actions are imported on first use: they need pyarrow, and other commands of `twin` do without it.
        parser.set_defaults(action=lambda args: audit.answer_question(name, args))
        return parser

    command = question("trace", "trace a segment, twin or file to its tracks, takes, licences, settings and code")
    command.add_argument("what", help="a segment (DEVICE/CAPTURE/0000000000), a twin (DEVICE/MODEL) or a file")
    command.add_argument("--at", type=float, metavar="SECONDS", help="trace this moment of a listening clip")
    command.add_argument("--extract", type=Path, metavar="DIR", help="write the segment as audio, with its records")

    command = question("withdraw", "withdraw a track: list its data, exclude it, print the command to rebuild")
    command.add_argument("track", help="a track_id")
    command.add_argument("--reason", help="the reason, for the exclusion list and MLflow")
    command.add_argument("--exclude", type=Path, metavar="FILE", help="exclusion list (default: that of the records)")
    mode = command.add_mutually_exclusive_group()
    mode.add_argument("--undo", action="store_true", help="undo the withdrawal")
    mode.add_argument("--dry-run", action="store_true", help="only list the data with the track")

    question("leaks", "search for tracks, artists, samples and recordings that splits share")
    command = question("verify", "verify all files against their records")
    command.add_argument("--signers", type=Path, metavar="FILE", help="also check the signature, by these signers")

    command = question("sign", "sign all records with an SSH key, as git does")
    command.add_argument("--key", type=Path, required=True, help="private key, or a public one that ssh-agent holds")

    command = question("licences", "list hours and tracks by licence, and the permitted uses of each twin")
    command.add_argument("--commercial", action="store_true", help="fail unless every twin may be sold")
    command.add_argument("--free", action="store_true", help="fail unless every twin may be distributed for free")
    command.add_argument("--attribution", metavar="DEVICE[/MODEL]", help="print the credits of all its music")

    command = question("card", "write a datasheet of datasets and twins as Markdown and HTML with figures")
    command.add_argument("--out", type=Path, metavar="DIR", help="output folder (default: the results folder)")

    command = question("croissant", "write the dataset of a device as Croissant metadata")
    command.add_argument("device")
    command.add_argument(
        "--out", type=Path, metavar="FILE", help="output file (default: croissant.json in the dataset's folder)"
    )

    command = question("crate", "write the run as an RO-Crate (Process Run profile)")
    command.add_argument(
        "--out", type=Path, metavar="FILE", help="output file (default: ro-crate-metadata.json in the results folder)"
    )

    command = question("mlflow", "rebuild missing runs of an MLflow store from the results folder")
    command.add_argument("--uri", help="URI of the store (default: the store that the stages logged to)")

    command = question("history", "list the takes of a capture, and why each replaced the previous one")
    command.add_argument("capture", nargs="?", help="DEVICE/CAPTURE (default: all captures with more than one take)")
    command.add_argument("--reason", help="store the reason for the last take of this capture")
