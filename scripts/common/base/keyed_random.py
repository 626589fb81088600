"""Random numbers that depend on a key alone."""

import hashlib
import random


def keyed_random(*key: object) -> random.Random:
    """A random generator that depends on its key alone, not on platform, order or hash seed."""
    digest = hashlib.sha256("\0".join(map(str, key)).encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))
