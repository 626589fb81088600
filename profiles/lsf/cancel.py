#!/usr/bin/env python3
"""End jobs of LSF."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scheduled_jobs import cancel, run

if __name__ == "__main__":
    run(cancel, "bkill")
