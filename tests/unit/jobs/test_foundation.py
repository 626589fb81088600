"""Errors, files, digests, resumable state and batches: what every job stands on."""

import errno
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.base.batch_sizes import accumulation_steps
from common.base.errors import EXIT_MACHINE, Resumable, UserError, explain
from common.base.paths import SCRIPTS
from common.evaluation.answer_cache import ItemCache
from common.files import whole_files as files
from common.jobs import digest
from common.jobs.console import Console, Progress, format_seconds
from common.jobs.scratch import fingerprint
from common.training.checkpoints import MARKER, is_complete, mark_complete, newest_complete
from common.training.data_order import GlobalBatchSampler, filler_count
from support.sources import clear_digests, existing

ENTRY_POINTS = sorted(path.name for path in SCRIPTS.glob("*.py") if "\ndef main(" in path.read_text(encoding="utf-8"))
CONSOLE = Console("test")


def python(code: str, *arguments: object, **more: object) -> subprocess.Popen[str]:
    """A Python process with this project's modules on its path."""
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS), "CUDA_VISIBLE_DEVICES": ""}
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, text=True, **{**pipes, **more})


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes to end when the test ends."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


# --- errors ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "what"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EACCES, "permission denied"),
        (errno.EDQUOT, "the disk quota is used up"),
    ],
)
def test_machine_errors_are_explained(number: int, what: str) -> None:
    explained = explain(OSError(number, os.strerror(number), "/data/results/file"))
    assert explained is not None
    assert (explained.what, explained.where, explained.code) == (what, "/data/results/file", EXIT_MACHINE)
    assert explained.remedy.endswith("then run again")


def test_lack_of_memory_is_explained() -> None:
    device_error = type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory.\nTried to allocate 2 GiB")
    for error, where in ((MemoryError(), ""), (device_error, "CUDA out of memory.")):
        explained = explain(error)
        assert explained is not None
        assert (explained.what, explained.where, explained.code) == ("out of memory", where, EXIT_MACHINE)
        assert "per_device_batch_size" in explained.remedy


def test_bugs_are_not_explained_and_user_errors_stay_themselves() -> None:
    assert explain(ValueError("x")) is None
    assert explain(OSError(errno.EBADF, "bad file descriptor")) is None
    told = UserError("what", "where", "remedy")
    assert explain(told) is told


ENTRY_POINT = """
import argparse, errno, os, sys
from common.jobs.console import argument_parser, run_entry_point
from common.base.errors import Resumable, UserError
def work(arguments, console):
    console.say("at work")
    print("chatter of a library")
    raise_this = {raised}
    if raise_this:
        raise raise_this
sys.exit(run_entry_point(argument_parser("An entry point."), work))
"""
USER_ERROR = 'UserError("the rows are odd", "rows.json, row 3", "mend row 3")'


def run_entry_point(raised: str, folder: Path, settings_text: str = "{}") -> tuple[int, str, str]:
    """Exit code, terminal and log of an entry point that raises `raised`."""
    log = folder / "logs" / "job.log"
    process = python(ENTRY_POINT.replace("{raised}", raised), "--settings", settings_text, "--log", log)
    out, err = process.communicate(timeout=60)
    return process.returncode, out + err, log.read_text(encoding="utf-8") if log.exists() else ""


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        ("None", 0),
        ('ValueError("a bug")', 1),
        (USER_ERROR, 2),
        ('OSError(errno.ENOSPC, "No space", "/full")', 3),
        ("MemoryError()", 3),
        ('Resumable("stopped", "step 5")', 75),
        ("KeyboardInterrupt()", 130),
    ],
)
def test_exit_code_tells_the_kind_of_failure(raised: str, code: int, tmp_path: Path) -> None:
    assert run_entry_point(raised, tmp_path)[0] == code


def test_user_error_is_told_without_a_traceback(tmp_path: Path) -> None:
    _, terminal, log = run_entry_point(USER_ERROR, tmp_path)
    told = "error: the rows are odd\n  where: rows.json, row 3\n  what to do: mend row 3\n"
    assert told in terminal
    assert told in log
    assert "Traceback" not in terminal + log


def test_bug_leaves_its_traceback_in_the_log_alone(tmp_path: Path) -> None:
    _, terminal, log = run_entry_point('ValueError("a bug")', tmp_path)
    assert "error: unexpected ValueError: a bug" in terminal
    assert f"please report it with the log {tmp_path}" in terminal
    assert "Traceback" not in terminal
    assert "Traceback (most recent call last)" in log
    assert "in work" in log


def test_machine_error_keeps_its_traceback_in_the_log(tmp_path: Path) -> None:
    _, terminal, log = run_entry_point('OSError(errno.ENOSPC, "No space", "/full")', tmp_path)
    assert "error: the disk is full\n  where: /full\n  what to do: free some space" in terminal
    assert "Traceback" not in terminal
    assert "Traceback" in log


def test_terminal_shows_what_is_for_people_and_the_log_shows_all(tmp_path: Path) -> None:
    _, terminal, log = run_entry_point("None", tmp_path)
    assert "at work" in terminal
    assert "chatter" not in terminal
    assert "at work" in log
    assert "chatter" in log


def test_log_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("in the way", encoding="utf-8")
    code, terminal, _ = run_entry_point("None", tmp_path)
    assert code == EXIT_MACHINE
    assert "cannot write the log" in terminal
    assert "Traceback" not in terminal


@pytest.mark.parametrize("text", ["{", "[]", "seed"])
def test_settings_that_are_no_json_object_are_refused(text: str, tmp_path: Path) -> None:
    code, terminal, _ = run_entry_point("None", tmp_path, text)
    assert code == 2
    assert "not JSON" in terminal or "not a JSON object" in terminal


def test_resumable_says_how_to_go_on() -> None:
    assert "run the same command again to resume" in str(Resumable("stopped", "step 5"))


def test_progress_shows_rate_and_end(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(CONSOLE, 40, "items", done=10, every=3600)
    progress.update(20)
    progress.update(40, "loss 1.5")
    assert capsys.readouterr().err == "[test] [####################] 40/40 items  loss 1.5\n"
    assert [format_seconds(value) for value in (0, 75.2, 3700)] == ["0:00", "1:15", "1:01:40"]


# --- files ----------------------------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, str]:
    """Every file under `folder`, hidden and temporary ones included."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in found}


def test_new_directory_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def fill(text: str, fail: bool) -> None:
        with files.new_directory(tmp_path / "deep" / "model") as folder:
            (folder / "a.txt").write_text(text, encoding="utf-8")
            if fail:
                raise RuntimeError("half-way")

    with pytest.raises(RuntimeError):
        fill("half", fail=True)
    assert list((tmp_path / "deep").iterdir()) == []
    fill("old", fail=False)
    assert contents(tmp_path) == {"deep/model/a.txt": "old"}
    with pytest.raises(RuntimeError):
        fill("half", fail=True)
    assert contents(tmp_path) == {"deep/model/a.txt": "old"}
    fill("new", fail=False)
    assert contents(tmp_path) == {"deep/model/a.txt": "new"}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["model"]


def test_new_directory_is_readable_and_drops_old_files(tmp_path: Path) -> None:
    for name in ("first", "second"):
        with files.new_directory(tmp_path / "model") as folder:
            (folder / "inner").mkdir()
            (folder / "inner" / name).write_text(name, encoding="utf-8")
    assert contents(tmp_path) == {"model/inner/second": "second"}
    assert (tmp_path / "model").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("failing", ["fsync", "replace", "chmod"])
@pytest.mark.parametrize(
    "write",
    [
        lambda path: files.write_bytes(path, b"new"),
        lambda path: files.write_text(path, "new"),
        lambda path: files.write_json(path, {"new": 1}),
    ],
    ids=["bytes", "text", "json"],
)
def test_failed_write_leaves_the_old_file_and_nothing_else(
    write, failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    target = tmp_path / "score.json"
    target.write_text("old", encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(files.os, failing, full)
        with pytest.raises(OSError, match="No space"):
            write(target)
    assert contents(tmp_path) == {"score.json": "old"}
    write(target)
    assert "new" in contents(tmp_path)["score.json"]


def test_json_is_written_readably_and_never_with_nan(tmp_path: Path) -> None:
    files.write_json(tmp_path / "deep" / "a.json", {"b": "\u00e9", "a": [1]})
    assert files.read_json(tmp_path / "deep" / "a.json") == {"b": "\u00e9", "a": [1]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "b.json", {"loss": float("nan")})
    assert set(contents(tmp_path)) == {"deep/a.json"}


@pytest.mark.parametrize(
    ("content", "where"),
    [
        (b'{"a": 1,\n "b": }', "line 2, column 7"),
        (b"[1, 2, 3\n", "line 2, column 1"),
        (b"", "line 1, column 1"),
        (b'{"a": "caf\xe9"}', "byte 10"),
        (b"[" * 200_000, ""),
    ],
    ids=["syntax", "cut off", "empty", "latin-1", "deep"],
)
def test_unreadable_json_names_the_place(content: bytes, where: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        files.read_json(path)
    assert caught.value.where.startswith(str(path))
    assert caught.value.where.endswith(where)
    assert caught.value.remedy


def test_missing_json_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        files.read_json(tmp_path / "absent.json")
    assert caught.value.where == str(tmp_path / "absent.json")


def test_canonical_json_has_one_spelling() -> None:
    assert files.canonical_json({"b": [1, 2.0], "a": "\u00e9"}) == '{"a":"\u00e9","b":[1,2.0]}'
    assert files.canonical_json({"a": 1, "b": 2}) != files.canonical_json({"a": 2, "b": 1})
    assert fingerprint(a=1, b={"c": 2, "d": 3}) == fingerprint(b={"d": 3, "c": 2}, a=1) != fingerprint(a=1, b=2)


# --- digests --------------------------------------------------------------------------------------------------

LOADED = """
import importlib, json, sys
from pathlib import Path
root = Path(sys.argv[1])
ours = {path.stem for path in root.iterdir()}
def project():
    return {n: m for n, m in sys.modules.items() if n.split(".")[0] in ours and getattr(m, "__file__", None)}
loaded = {}
for script in sys.argv[2:]:
    for name in project():
        del sys.modules[name]
    importlib.import_module(Path(script).stem)
    found = {str(Path(m.__file__).resolve().relative_to(root)) for m in project().values()}
    loaded[script] = sorted(found)
print("LOADED", json.dumps(loaded))
"""


@pytest.fixture(scope="module")
def loaded() -> dict[str, list[str]]:
    """Project files each entry point really loads, found by importing them one after the other."""
    out, err = python(LOADED, SCRIPTS, *ENTRY_POINTS).communicate(timeout=300)
    assert "LOADED" in out, err
    return json.loads(out.split("LOADED", 1)[1])


@pytest.mark.parametrize("script", ENTRY_POINTS)
def test_import_closure_covers_what_is_really_loaded(script: str, loaded: dict[str, list[str]]) -> None:
    closure = {path.relative_to(SCRIPTS).as_posix() for path in digest.import_closure(script)}
    assert script in loaded[script]
    assert set(loaded[script]) - closure == set()
    assert set(loaded[script]) >= {script, "common/__init__.py", "common/base/errors.py"}


def test_import_closure_stays_small_for_light_scripts() -> None:
    closure = {path.relative_to(SCRIPTS).as_posix() for path in digest.import_closure("collect_cells.py")}
    assert closure.isdisjoint(existing("training/frame.py", "evaluation/scoring.py", "models/loading.py"))
    assert "common/tables/table.py" in closure


PROBE = '''"""What the module is for."""

import math

LIMIT = 3  # a comment


class Probe:
    """A class."""

    def area(self, radius: float) -> float:
        """Of a circle."""
        return math.pi * radius**2 if radius < LIMIT else 0.0
'''


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of scripts/ with a module `common.probe` and a script `ask.py` that imports it."""
    folder = tmp_path / "scripts"
    shutil.copytree(SCRIPTS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "common" / "probe.py").write_text(PROBE, encoding="utf-8")
    (folder / "ask.py").write_text("def main():\n    from common import probe\n", encoding="utf-8")
    monkeypatch.setattr(digest, "SCRIPTS", folder)
    yield folder
    clear_digests()


def fresh_digest(script: str) -> str:
    clear_digests()
    return digest.script_digest(script)


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_digest_does_not_depend_on_where_the_code_lies(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_copy = fresh_digest("evaluate_task.py")
    monkeypatch.setattr(digest, "SCRIPTS", SCRIPTS)
    assert fresh_digest("evaluate_task.py") == of_copy
    assert len(of_copy) == 16


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# a comment", "# another comment"),
        ('"""What the module is for."""', '"""Something else."""'),
        ('    """A class."""\n', ""),
        ("Of a circle", "Of a disc"),
        ("math.pi * radius**2", "(\n            math.pi\n            * radius ** 2)"),
        ("LIMIT = 3", "\n\nLIMIT = (3)"),
    ],
)
def test_digest_ignores_comments_docstrings_and_layout(copied: Path, old: str, new: str) -> None:
    before = fresh_digest("ask.py")
    rewrite(copied / "common" / "probe.py", old, new)
    assert fresh_digest("ask.py") == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("LIMIT = 3", "LIMIT = 4"),
        ("else 0.0", "else 0"),
        ("<", "<="),
        ("radius**2", "radius**2.0"),
        ("LIMIT = 3", 'LIMIT = 3\n"""Not a docstring of anything that has one."""'),
    ],
)
def test_digest_notices_changed_code(copied: Path, old: str, new: str) -> None:
    before = fresh_digest("ask.py")
    rewrite(copied / "common" / "probe.py", old, new)
    assert fresh_digest("ask.py") != before


def test_digest_concerns_only_reachable_code(copied: Path) -> None:
    rewrite(copied / "common" / "evaluation" / "scoring.py", "import re\n", "import re\n\nimport common.probe\n")
    before = {script: fresh_digest(script) for script in ("train_sft.py", "evaluate_task.py", "ask.py")}
    rewrite(copied / "common" / "probe.py", "LIMIT = 3", "LIMIT = 4")
    changed = {script for script, old in before.items() if fresh_digest(script) != old}
    assert changed == {"evaluate_task.py", "ask.py"}


def test_digest_notices_every_module_of_the_closure(copied: Path) -> None:
    unnoticed, before = [], fresh_digest("prepare_task.py")
    for path in digest.import_closure("prepare_task.py"):
        original = path.read_bytes()
        path.write_bytes(original + b"\nADDED = 1\n")
        if fresh_digest("prepare_task.py") == before:
            unnoticed.append(path.name)
        path.write_bytes(original)
    assert unnoticed == []
    assert fresh_digest("prepare_task.py") == before


# --- provenance -----------------------------------------------------------------------------------------------

RECORDED = """
import sys
from common.jobs.provenance import Provenance
if sys.argv[1] == "computing":
    import torch
print(*Provenance("render_table3.py", {}).record()["hardware"], "torch" in sys.modules)
"""
MACHINE = "machine cpu cpus"


@pytest.mark.parametrize(
    ("job", "told"),
    [("rendering", f"{MACHINE} False"), ("computing", f"{MACHINE} threads cpu_capability gpus kernels True")],
)
def test_only_a_job_that_computed_with_pytorch_loads_it_and_tells_what_on(job: str, told: str) -> None:
    output, _ = python(RECORDED, job).communicate(timeout=60)
    assert output.split() == told.split()


# --- resumable state ------------------------------------------------------------------------------------------

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


@settings(deadline=None, max_examples=100)
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


HOLDER = """
import sys
from pathlib import Path
from common.jobs.console import Console
from common.jobs.scratch import writer_lock
with writer_lock(Path(sys.argv[1]), Console("holder")):
    print("held", flush=True)
    sys.stdin.readline()
print("released", flush=True)
"""


def two_writers(lock: Path, started: list[subprocess.Popen[str]]) -> tuple[subprocess.Popen, subprocess.Popen]:
    """A process that holds the lock and one that waits for it."""
    for _ in range(2):
        started.append(python(HOLDER, lock))
        if len(started) == 1:
            assert started[0].stdout.readline() == "held\n"
    told = started[1].stderr.readline()
    assert "waiting: another process still writes here" in told
    assert str(started[0].pid) in told
    assert select.select([started[1].stdout], [], [], 0.3)[0] == []
    return started[0], started[1]


def test_second_writer_waits_until_the_first_ends(tmp_path: Path, started: list[subprocess.Popen[str]]) -> None:
    first, second = two_writers(tmp_path / "deep" / "writer.lock", started)
    first.stdin.write("\n")
    first.stdin.flush()
    assert first.stdout.readline() == "released\n"
    assert second.stdout.readline() == "held\n"


def test_killed_writer_releases_its_lock(tmp_path: Path, started: list[subprocess.Popen[str]]) -> None:
    first, second = two_writers(tmp_path / "writer.lock", started)
    first.send_signal(signal.SIGKILL)
    assert second.stdout.readline() == "held\n"
    assert json.loads((tmp_path / "writer.lock").read_text(encoding="utf-8"))["pid"] == second.pid


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    """Complete checkpoints at steps 8, 9 and 10."""
    for step in (8, 9, 10):
        folder = tmp_path / f"checkpoint-{step}"
        (folder / "state").mkdir(parents=True)
        (folder / "weights").write_bytes(b"w" * step)
        (folder / "state" / "optimizer").write_bytes(b"o" * step)
        mark_complete(folder)
    return tmp_path


def torn(checkpoint: Path, way: str) -> None:
    if way == "no marker":
        (checkpoint / MARKER).unlink()
    elif way == "cut marker":
        (checkpoint / MARKER).write_bytes((checkpoint / MARKER).read_bytes()[:-5])
    elif way == "changed file":
        (checkpoint / "state" / "optimizer").write_bytes(b"o" * 9 + b"p")
    else:
        (checkpoint / "weights").unlink()


def test_newest_complete_checkpoint_counts_by_number(checkpoints: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert newest_complete(checkpoints, CONSOLE) == checkpoints / "checkpoint-10"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("way", ["no marker", "cut marker", "changed file", "missing file"])
def test_torn_checkpoints_are_passed_over_with_a_message(
    checkpoints: Path, way: str, capsys: pytest.CaptureFixture[str]
) -> None:
    torn(checkpoints / "checkpoint-10", way)
    assert not is_complete(checkpoints / "checkpoint-10")
    assert newest_complete(checkpoints, CONSOLE) == checkpoints / "checkpoint-9"
    told = f"[test] skipping the incomplete checkpoint {checkpoints / 'checkpoint-10'}\n"
    assert capsys.readouterr().err == told


def test_no_complete_checkpoint_means_a_fresh_start(checkpoints: Path, tmp_path: Path) -> None:
    for step in (8, 9, 10):
        torn(checkpoints / f"checkpoint-{step}", "no marker")
    assert newest_complete(checkpoints, CONSOLE) is None
    assert newest_complete(tmp_path / "absent", CONSOLE) is None


# --- batches --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("global_batch", "per_device", "processes", "steps"),
    [(128, 16, 8, 1), (128, 16, 1, 8), (128, 4, 8, 4), (8, 8, 1, 1), (6, 1, 3, 2)],
)
def test_accumulation_makes_up_the_global_batch(global_batch: int, per_device: int, processes: int, steps: int) -> None:
    assert accumulation_steps(global_batch, per_device, processes) == steps
    assert steps * per_device * processes == global_batch


@pytest.mark.parametrize(("global_batch", "per_device", "processes"), [(128, 24, 1), (8, 16, 1), (8, 4, 3), (8, 1, 16)])
def test_batch_that_cannot_be_divided_is_an_error(global_batch: int, per_device: int, processes: int) -> None:
    with pytest.raises(UserError) as caught:
        accumulation_steps(global_batch, per_device, processes)
    assert "per_device_batch_size" in caught.value.where
    assert str(global_batch) in caught.value.what


def sampler(examples: int, global_batch: int, seed: int = 3, epoch: int = 0, equal: bool = False) -> list[int]:
    """Rows of one epoch; lengths vary unless `equal`, fillers are shortest."""
    lengths = [1 if equal else 5 + (7 * i) % 11 for i in range(examples)]
    lengths += [1] * filler_count(examples, global_batch)
    made = GlobalBatchSampler(lengths, examples, global_batch, seed)
    made.set_epoch(epoch)
    rows = list(made)
    assert len(made) == len(rows)
    return rows


def batches(rows: list[int], size: int) -> list[list[int]]:
    return [rows[i : i + size] for i in range(0, len(rows), size)]


SHAPES = [(1, 1), (1, 8), (16, 8), (21, 8), (100, 7), (5, 128)]


@pytest.mark.parametrize(("examples", "global_batch"), SHAPES)
def test_each_epoch_is_a_permutation_of_all_rows(examples: int, global_batch: int) -> None:
    whole = examples + filler_count(examples, global_batch)
    assert whole % global_batch == 0
    assert whole - examples < global_batch
    for epoch in range(3):
        assert sorted(sampler(examples, global_batch, epoch=epoch)) == list(range(whole))


@pytest.mark.parametrize(("examples", "global_batch"), SHAPES)
def test_global_batches_hold_the_same_rows_as_without_sorting(examples: int, global_batch: int) -> None:
    by_length = batches(sampler(examples, global_batch), global_batch)
    unsorted = batches(sampler(examples, global_batch, equal=True), global_batch)
    assert [set(batch) for batch in by_length] == [set(batch) for batch in unsorted]


def test_lengths_descend_inside_a_global_batch_only() -> None:
    lengths = [5 + (7 * i) % 11 for i in range(64)]
    ordered = [lengths[i] for i in sampler(64, 8)]
    assert all(batch == sorted(batch, reverse=True) for batch in batches(ordered, 8))
    assert ordered != sorted(ordered, reverse=True)


@pytest.mark.parametrize(("examples", "global_batch"), SHAPES)
def test_fillers_stand_in_the_last_global_batch(examples: int, global_batch: int) -> None:
    *whole, last = batches(sampler(examples, global_batch), global_batch)
    assert [row for batch in whole for row in batch if row >= examples] == []
    assert sum(row >= examples for row in last) == filler_count(examples, global_batch)


def test_order_depends_on_seed_and_epoch_alone() -> None:
    orders = {(seed, epoch): sampler(64, 8, seed, epoch) for seed in (0, 1, 2) for epoch in (0, 1, 2)}
    assert len(set(map(tuple, orders.values()))) == 9
    assert all(sampler(64, 8, *key) == order for key, order in orders.items())


def test_sampler_gives_the_same_order_each_time_it_is_read() -> None:
    made = GlobalBatchSampler([3, 1, 2, 5], 4, 2, seed=1)
    assert list(made) == list(made)


def test_rows_that_make_up_no_whole_batches_are_refused() -> None:
    with pytest.raises(ValueError, match="whole global batches"):
        GlobalBatchSampler([1] * 9, 9, 8, seed=0)
