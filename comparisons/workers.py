"""What the workers of these comparisons share; standard library only, since peers have environments of their own."""

import argparse
import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

SFT_MODES = ("ours", "trl", "trl_grouped", "trl_packed", "pad_512")
Measure = Callable[[dict[str, Any], Path, Path], dict[str, Any]]


def peak_bytes() -> int:
    """Largest resident memory of this process so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024


def run_side(description: str, measure: Measure) -> int:
    """Read the work, measure it and print the result as JSON; everything else goes to stderr."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--reward", type=Path, required=True)
    options = parser.parse_args()
    with contextlib.redirect_stdout(sys.stderr):
        result = measure(json.loads(options.work.read_text()), options.model, options.reward)
    print(json.dumps(result))
    return 0
