"""Download one of GPT-4-LLM's files and check its hash; without a configured hash the one found is recorded."""

import common.base.quick_start

import argparse
import sys
import tempfile
from pathlib import Path

from common.data.downloads import fetch_url
from common.files.whole_files import write_bytes, write_json
from common.jobs.console import Console, argument_parser, run_entry_point


def work(arguments: argparse.Namespace, console: Console) -> None:
    source = arguments.settings["source"]
    console.say(f"downloading {source['url']}")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "download"
        found = fetch_url(source["url"], target, source.get("sha256"), source.get("git_blob"))
        write_bytes(arguments.output, target.read_bytes())
    write_json(arguments.output.with_suffix(".download.json"), {"source": source, "sha256": found})
    if not (source.get("sha256") or source.get("git_blob")):
        console.say(f"warning: no hash is configured for this file; add `sha256: {found}` to pin it")


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--output", type=Path, required=True, help="file to write")
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
