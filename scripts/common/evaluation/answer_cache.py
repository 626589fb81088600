"""Answers of an interrupted job, kept one by one."""

import json
import os
from pathlib import Path
from typing import Any

from common.files.whole_files import sha256_of_text


def _line_hash(key: str, item: dict[str, Any]) -> str:
    return sha256_of_text(json.dumps([key, item], sort_keys=True))[:16]


class ItemCache:
    """Finished items of an interrupted job, one JSON object per line, each kept as soon as it is known.

    When the file is opened, a line that a kill cut off or that was damaged later is dropped, with all that follows it,
    and is computed again; every line before it is kept.
    """

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._items: dict[str, dict[str, Any]] = {}
        if path.exists():
            self._load()
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - closed by `close`

    def _load(self) -> None:
        whole = 0
        with open(self._path, "rb") as file:
            for line in file:
                try:
                    entry = json.loads(line.decode("utf-8"))
                    key, item = entry["key"], entry["item"]
                    if entry["sha256"] != _line_hash(key, item):
                        break
                except (ValueError, KeyError, TypeError, RecursionError):
                    break
                if not line.endswith(b"\n"):
                    break
                self._items[key] = item
                whole += len(line)
        os.truncate(self._path, whole)

    def __contains__(self, key: str) -> bool:
        return key in self._items

    def __getitem__(self, key: str) -> dict[str, Any]:
        return self._items[key]

    def __len__(self) -> int:
        return len(self._items)

    def add(self, items: dict[str, dict[str, Any]]) -> None:
        """Append finished items and flush them to disk."""
        for key, item in items.items():
            entry = {"key": key, "item": item, "sha256": _line_hash(key, item)}
            self._file.write(json.dumps(entry, ensure_ascii=False) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._items.update(items)

    def close(self) -> None:
        self._file.close()
