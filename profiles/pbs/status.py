#!/usr/bin/env python3
"""Print how a job of PBS is: running, success or failed."""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scheduled_jobs import FAILED, RUNNING, SUCCESS, Unanswered, ask, run, status, word_of

# Begun, exiting, held, moved to another server, queued, running, suspended, in transit, suspended by a user, waiting.
STATES = dict.fromkeys("BEHMQRSTUW", RUNNING) | {"F": FAILED}


def state_of(job: str) -> str:
    """The word for a job. Its fields are searched for: variables of the environment can make PBS's JSON invalid."""
    answer = ask("qstat", "-x", "-f", "-F", "json", job)
    state = re.search(r'"job_state"\s*:\s*"(\w)"', answer)
    if not state:
        raise Unanswered("qstat names no job_state")
    code = re.search(r'"Exit_status"\s*:\s*"?(-?\d+)', answer)
    return SUCCESS if state[1] == "F" and code and code[1] == "0" else word_of(STATES, state[1])


if __name__ == "__main__":
    run(status, state_of)
