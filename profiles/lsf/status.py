#!/usr/bin/env python3
"""Print how a job of LSF is: running, success or failed."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scheduled_jobs import FAILED, RUNNING, SUCCESS, ask, run, status, word_of

# UNKWN, where LSF cannot reach the job's host, is left out: the job is asked for again, but not for ever.
WAITING = ("PEND", "PROV", "PSUSP", "RUN", "USUSP", "SSUSP", "WAIT")
STATES = dict.fromkeys(WAITING, RUNNING) | {"DONE": SUCCESS, "EXIT": FAILED, "ZOMBI": FAILED}


def state_of(job: str) -> str:
    """The word for a job."""
    return word_of(STATES, ask("bjobs", "-noheader", "-o", "stat", job).strip())


if __name__ == "__main__":
    run(status, state_of)
