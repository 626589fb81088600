"""Write a README with the tables and the loss curves of a finished run between its markers."""

import argparse
import sys
from pathlib import Path

from common.base.errors import UserError
from common.files.whole_files import read_json, write_text
from common.jobs.console import Console, argument_parser, run_entry_point

BEGIN, END = "<!-- demo:begin -->", "<!-- demo:end -->"


def heldout_sentence(label: str, record: dict[str, object]) -> str:
    """What training did to the loss on prompts it did not see."""
    loss = record["heldout_loss"]
    if not isinstance(loss, dict):
        return f"- {label}: no prompts are held out in this configuration."
    low, high = loss["interval95"]
    return (
        f"- {label}: held-out loss {loss['before']:.3f} before, {loss['after']:.3f} after training; "
        f"difference {loss['difference']:.3f} (95 % interval {low:.3f} to {high:.3f}, {loss['n']} prompts)."
    )


def section(arguments: argparse.Namespace) -> str:
    """The text between the markers."""
    settings = arguments.settings
    parts = [path.read_text(encoding="utf-8").strip() for path in arguments.tables]
    for model in settings["models"]:
        for method in settings["trained"]:
            record = read_json(arguments.models / model / method / "run.json")
            parts.append(heldout_sentence(f"{settings['labels'][model]}, {method}", record))
    if arguments.curve:
        parts.append(f"![Training loss of {settings['trained'][-1]}](docs/demo_curve.svg)")
    return "\n\n".join([f"Preset `{settings['preset']}`, inserted by `make readme`:", *parts])


def work(arguments: argparse.Namespace, console: Console) -> None:
    text = arguments.readme.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise UserError("the README has no place for the tables", str(arguments.readme), f"add {BEGIN} and {END}")
    head, tail = text.split(BEGIN)[0], text.split(END)[1]
    if arguments.curve:
        write_text(arguments.output.with_name("curve.svg"), arguments.curve.read_text(encoding="utf-8"))
    write_text(arguments.output, f"{head}{BEGIN}\n{section(arguments)}\n{END}{tail}")


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--readme", type=Path, required=True, help="the README")
    parser.add_argument("--tables", type=Path, nargs="+", required=True, help="Markdown tables to insert")
    parser.add_argument("--models", type=Path, required=True, help="directory of the models")
    parser.add_argument("--curve", type=Path, nargs="?", help="SVG of a loss curve to put beside the README")
    parser.add_argument("--output", type=Path, required=True, help="file to write")
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
