"""The watchdog's last resort: a process whose interpreter stands still ends, and not as a bug."""

import signal
import subprocess
import sys

from common.base.paths import ROOT

# PyDLL calls keep the interpreter's lock: no thread of Python runs any more.
STUCK = """
import ctypes, sys
sys.path.insert(0, "scripts")
from common.jobs.console import Console
from common.training import watchdog
watchdog.GRACE = 0.3
watchdog.Watchdog((0, 1), Console("job"), stuck_seconds=0.3, lead=60.0).watch()
ctypes.PyDLL(None).sleep(60)
"""


def test_a_process_that_holds_the_interpreter_is_ended_by_the_alarm() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STUCK], cwd=ROOT, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == -signal.SIGALRM, done.stderr
    assert 'File "<string>", line 8' in done.stderr


def test_a_job_that_ends_in_time_is_left_alone() -> None:
    calm = (
        STUCK.replace("ctypes.PyDLL(None).sleep(60)", "")
        .replace(".watch()", "")
        .replace("watchdog.Watch", "w = watchdog.Watch")
    )
    calm += "w.watch()\nw.pause()\nimport time\ntime.sleep(2)\n"
    done = subprocess.run(
        [sys.executable, "-c", calm], cwd=ROOT, capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
