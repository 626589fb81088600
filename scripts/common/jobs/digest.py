"""A digest of the code a job runs: its script and every module of this project that script imports.

Light enough for DAG time: the sources are parsed, never imported.
"""

import ast
import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

from common.base.paths import SCRIPTS


@functools.cache
def _module_files(module: str) -> tuple[Path, ...]:
    """Source files importing `module` runs, packages' `__init__` included; empty when it is not ours."""
    parts = module.split(".")
    files = []
    for depth in range(1, len(parts) + 1):
        base = SCRIPTS.joinpath(*parts[:depth])
        for candidate in (base / "__init__.py", base.with_suffix(".py")):
            if candidate.is_file():
                files.append(candidate)
    return tuple(files)


@dataclass(frozen=True)
class Source:
    """A project file: the project files it imports directly, and its code as `script_digest` counts it."""

    imports: tuple[Path, ...]
    code: bytes


@functools.cache
def _source(path: Path) -> Source:
    """A file's part in digests; it is parsed once, however many scripts import it."""
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    imports: list[Path] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                imports += _module_files(alias.name)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            imports += _module_files(node.module)
            for alias in node.names:
                imports += _module_files(f"{node.module}.{alias.name}")
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = node.body[ast.get_docstring(node, clean=False) is not None :]
    return Source(tuple(imports), repr(_bare(tree)).encode())


def _bare(part: object) -> object:
    """A syntax tree without its empty fields, of which each version of Python has others."""
    if isinstance(part, list):
        return [_bare(one) for one in part]
    if not isinstance(part, ast.AST):
        return repr(part)
    fields = ((name, _bare(value)) for name, value in ast.iter_fields(part) if value is not None and value != [])
    return type(part).__name__, *fields


@functools.cache
def import_closure(script: str) -> tuple[Path, ...]:
    """All project files `scripts/<script>` may load, itself included, sorted."""
    pending, seen = [SCRIPTS / script], set()
    while pending:
        path = pending.pop()
        if path not in seen:
            seen.add(path)
            pending.extend(_source(path).imports)
    return tuple(sorted(seen))


@functools.cache
def script_digest(script: str) -> str:
    """Sixteen hex digits that change whenever code reachable from `scripts/<script>` changes.

    Syntax trees without docstrings are hashed, so comments, docstrings and layout retrain nothing.
    """
    digest = hashlib.sha256()
    for path in import_closure(script):
        digest.update(path.relative_to(SCRIPTS).as_posix().encode() + b"\0")
        digest.update(_source(path).code + b"\0")
    return digest.hexdigest()[:16]
