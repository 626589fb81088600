"""The canonical form of a job's settings."""

import json
from typing import Any


def canonical_json(value: Any) -> str:
    """One spelling for one meaning: keys sorted, no spaces, NaN refused.

    Snakemake compares parameters as an unordered set of values; one sorted JSON string makes swapped values
    visible and reordered keys invisible.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
