"""Seeded damage to the bytes of a file, or to the values it stands for, and the count of what became of it."""

import copy
import json
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.base.errors import UserError
from support.amounts import PERCENT, share

ODD_VALUES: list[Any] = [
    None, True, False, 0, -1, 3, 10**30, -0.5, 1.0, 1e308, float("nan"), float("inf"), "", " ", "0", "1e-5", "A", "\0",
    "\ud800", "\u2028x", "{x}", "{instruction", "x" * 3000, "<b>", "\\", [], {}, [[]], ["A"],
    [None], {"": 0}, {"kind": "hub"},
]  # fmt: skip
SECONDS = 5.0


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all values inside a value, its own apart."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from places(child, (*path, key))


def damaged_value(value: Any, chance: random.Random) -> Any:
    """A copy in which one value was replaced, removed, renamed, doubled, swapped or nested."""
    changed = copy.deepcopy(value)
    chosen = list(places(changed))
    if not chosen:
        return chance.choice(ODD_VALUES)
    *way, key = chance.choice(chosen)
    parent = changed
    for step in way:
        parent = parent[step]
    kind = chance.choice(("replace", "replace", "replace", "remove", "rename", "double", "swap", "nest", "edit"))
    other = chance.choice(list(places(parent)))[0]
    if kind == "remove":
        del parent[key]
    elif kind == "rename" and isinstance(parent, dict):
        parent[f"{key}{chance.choice(['', 'x', ' '])}" if isinstance(key, str) else -1] = parent.pop(key)
    elif kind == "double" and isinstance(parent, list):
        parent.append(copy.deepcopy(parent[key]))
    elif kind == "swap":
        parent[key], parent[other] = parent[other], parent[key]
    elif kind == "nest":
        parent[key] = [parent[key]] if chance.random() < 0.5 else {"x": parent[key]}
    elif kind == "edit" and isinstance(parent[key], str) and parent[key]:
        at = chance.randrange(len(parent[key]))
        parent[key] = parent[key][:at] + chance.choice(["", " ", "\n", "#", "{", "\u00e9"]) + parent[key][at + 1 :]
    else:
        parent[key] = copy.deepcopy(chance.choice(ODD_VALUES))
    return changed


def damaged_bytes(content: bytes, chance: random.Random) -> bytes:
    """Content in which bytes were flipped, removed, inserted, repeated, moved or cut off."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        at = chance.randrange(len(data)) if data else 0
        size = chance.choice((1, 1, 2, 8, 40))
        kind = chance.choice(("flip", "flip", "set", "remove", "insert", "repeat", "move", "cut"))
        if kind == "flip" and data:
            data[at] ^= 1 << chance.randrange(8)
        elif kind == "set" and data:
            data[at] = chance.choice(b'\0"\\{}[]:,\n-0\xff& *')
        elif kind == "remove":
            del data[at : at + size]
        elif kind == "insert":
            data[at:at] = bytes(chance.choice(b'"\\{}[]:,\n0eE-\xef\xbb\xbf\xc3 ') for _ in range(size))
        elif kind == "repeat":
            data[at:at] = data[at : at + size]
        elif kind == "move":
            piece = bytes(data[at : at + size])
            del data[at : at + size]
            to = chance.randrange(len(data) + 1)
            data[to:to] = piece
        elif kind == "cut" and chance.random() < 0.3:
            del data[at:]
    return bytes(data)


def as_json(value: Any) -> bytes:
    """JSON; NaN, infinities and half surrogate pairs as Python writes them."""
    return json.dumps(value).encode()


@contextmanager
def time_limit(seconds: float = SECONDS) -> Iterator[None]:
    """End a block that computes for longer; a hang is then an error like any other."""

    def end(signum: int, frame: Any) -> None:
        raise TimeoutError(f"more than {seconds} s of computing")

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def fuzz(
    path: Path,
    mutate: Callable[[random.Random], bytes],
    load: Callable[[], Any],
    read: Callable[[bytes], Any],
    wanted: int,
    seed: int,
) -> Counter[str]:
    """Damage a file again and again until the share of `wanted` mutations had an effect.

    A mutation has an effect when the file is refused, or read differently from the undamaged one.

    Args:
        path: the file, written anew each time; it is whole at the beginning.
        mutate: gives damaged content.
        load: the loader, which reads `path`.
        read: an independent reading of the content.
        wanted: mutations with an effect, of which `FUZZ` percent are made.
        seed: of the damage.

    Returns:
        How many were accepted and refused with an effect, and how many had none.

    Raises:
        AssertionError: when a reading differs from the independent one, an error does not name the file, or anything
            but a UserError is raised.
    """
    wanted = share(wanted)
    chance, counts = random.Random(f"{seed} {PERCENT}"), Counter[str]()
    whole = path.read_bytes()
    usual = read(whole)
    assert load() == usual, "the loader and the independent reading differ on the undamaged file"
    for attempt in range(20 * wanted):
        content = mutate(chance)
        path.write_bytes(content)
        where = f"attempt {attempt}, {path.name}: {content[:3000]!r}"
        try:
            with time_limit():
                found = load()
        except UserError as error:
            if path.stem not in str(error):
                raise AssertionError(f"the error names no file: {error}\n{where}") from error
            counts["refused"] += 1
        except BaseException as error:
            raise AssertionError(f"{type(error).__name__}: {error}\n{where}") from error
        else:
            expected = read(content)
            assert found == expected, f"read as {found!r}\ninstead of {expected!r}\n{where}"
            counts["accepted" if expected != usual else "without effect"] += 1
        if counts["refused"] + counts["accepted"] >= wanted:
            break
    path.write_bytes(whole)
    assert counts["refused"] + counts["accepted"] >= wanted, counts
    return counts
