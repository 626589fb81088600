"""The project's own source files, by name."""

from common.base.paths import SCRIPTS
from common.jobs import digest


def existing(*modules: str) -> set[str]:
    """Paths below `scripts/` of modules of `common`; a name that is no module fails, as after a rename."""
    paths = {f"common/{module}" for module in modules}
    missing = {path for path in paths if not (SCRIPTS / path).is_file()}
    assert not missing, f"no such module: {sorted(missing)}"
    return paths


def clear_digests() -> None:
    """Forget what was read of the sources, for a test that edits some."""
    for function in (digest._module_files, digest._source, digest.import_closure, digest.script_digest):
        function.cache_clear()
