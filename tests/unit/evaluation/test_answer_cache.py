"""Answers that are kept: a file cut or damaged anywhere gives back every whole line before it."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.evaluation.answer_cache import ItemCache
from support.amounts import examples

ITEMS = {f"k0/0/{i}": {"text": "caf\u00e9 \u2603"[:i], "correct": i % 2 == 0, "score": -i / 3} for i in range(5)}


def filled_cache(path: Path) -> bytes:
    path.unlink(missing_ok=True)
    cache = ItemCache(path)
    cache.add({key: ITEMS[key] for key in list(ITEMS)[:2]})
    cache.add({key: ITEMS[key] for key in list(ITEMS)[2:]})
    cache.close()
    return path.read_bytes()


def kept(path: Path) -> dict[str, dict]:
    cache = ItemCache(path)
    cache.close()
    return {key: cache[key] for key in ITEMS if key in cache}


def test_item_cache_gives_back_what_was_added(tmp_path: Path) -> None:
    filled_cache(tmp_path / "deep" / "items.jsonl")
    assert kept(tmp_path / "deep" / "items.jsonl") == ITEMS
    assert "k9" not in ItemCache(tmp_path / "deep" / "items.jsonl")


@pytest.fixture(scope="module")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def test_item_cache_cut_at_any_byte_keeps_every_whole_line(cache_folder: Path) -> None:
    path = cache_folder / "items.jsonl"
    content = filled_cache(path)
    for cut in range(len(content) + 1):
        path.write_bytes(content[:cut])
        whole = content[:cut].count(b"\n")
        assert kept(path).items() >= dict(list(ITEMS.items())[:whole]).items(), cut
        assert path.read_bytes() == b"".join(content.splitlines(keepends=True)[:whole]), cut
        assert kept(path) == dict(list(ITEMS.items())[:whole]), cut


def test_item_cache_keeps_in_memory_only_what_is_in_its_file(cache_folder: Path) -> None:
    path = cache_folder / "items.jsonl"
    content = filled_cache(path)
    path.write_bytes(content[:-1])
    first_opening = kept(path)
    assert first_opening == kept(path)


@settings(deadline=None, max_examples=examples(100))
@given(st.binary(min_size=1, max_size=40), st.integers(0, 5))
def test_item_cache_survives_garbage_at_its_end(cache_folder: Path, garbage: bytes, lines: int) -> None:
    path = cache_folder / "garbage.jsonl"
    content = b"".join(filled_cache(path).splitlines(keepends=True)[:lines])
    path.write_bytes(content + garbage)
    assert kept(path) == dict(list(ITEMS.items())[:lines])


def test_item_cache_goes_on_after_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_bytes(filled_cache(path)[:-3])
    cache = ItemCache(path)
    last = list(ITEMS)[-1]
    assert last not in cache
    cache.add({last: ITEMS[last]})
    cache.close()
    assert kept(path) == ITEMS
