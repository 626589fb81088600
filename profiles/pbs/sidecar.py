#!/usr/bin/env python3
"""Run beside Snakemake, and end the jobs of PBS that it leaves behind."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scheduled_jobs import accompany, run

if __name__ == "__main__":
    run(accompany, "qdel")
