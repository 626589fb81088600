"""One side of comparisons/memory.py: runs a training script and prints its peak memory before and after the model.

The peak is VmHWM of /proc/self/status, the largest resident set so far. It is read when the first model is about to be
built and again when the script is done; the difference is what the model, its states and its steps needed.
"""

import contextlib
import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification
from workers import peak_bytes


def main() -> int:
    script, *arguments = sys.argv[1:]
    before: list[int] = []
    for family in (AutoModelForCausalLM, AutoModelForSequenceClassification):
        build = family.from_pretrained

        def measured(*args: Any, build: Callable[..., Any] = build, **kwargs: Any) -> Any:
            before.append(peak_bytes())
            return build(*args, **kwargs)

        family.from_pretrained = measured
    with contextlib.redirect_stdout(sys.stderr):
        code = importlib.import_module(script).main(arguments)
    if code == 0:
        print(json.dumps({"before": before[0], "peak": peak_bytes()}))
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
