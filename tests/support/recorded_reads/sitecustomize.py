"""Python runs this at its start where this folder is on PYTHONPATH: a job's reads below the working directory are kept.

Each line of the file that RECORD_READS names is `log of the job<TAB>file`. What a library opens without Python is not
seen.
"""

import os
import sys

RECORD, JOB = "RECORD_READS", "RECORD_READS_OF"


def job() -> str | None:
    """The log a job was given, which names it; children of the job inherit it."""
    words = sys.orig_argv
    if "--log" in words and "scripts/" in " ".join(words):
        os.environ[JOB] = words[words.index("--log") + 1]
    return os.environ.get(JOB)


def record_reads(record: int, of: str) -> None:
    root = os.path.join(os.getcwd(), "")

    def hook(event: str, arguments: tuple) -> None:
        if event != "open" or not isinstance(arguments[0], str | bytes):
            return
        path, mode, flags = os.path.abspath(os.fsdecode(arguments[0])), arguments[1], arguments[2]
        written = set(mode or "") & set("wax+") or (flags or 0) & (os.O_WRONLY | os.O_RDWR)
        if path.startswith(root) and not written and not os.path.isdir(path):
            os.write(record, f"{of}\t{path[len(root) :]}\n".encode())

    sys.addaudithook(hook)


if RECORD in os.environ and (log := job()):
    record_reads(os.open(os.environ[RECORD], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644), log)
