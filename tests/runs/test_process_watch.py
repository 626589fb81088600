"""The watch of the chaos test over writers: it sees one that does not hold its job's lock."""

import json
import subprocess
import sys
from pathlib import Path

from process_watch import WriterWatch, kill_sessions

WRITER = "import sys, time; file = open(sys.argv[1], 'w'); print(flush=True); time.sleep(60)"


def test_a_writer_without_its_jobs_lock_is_seen(tmp_path: Path) -> None:
    job = tmp_path / "train_sft" / "model"
    job.mkdir(parents=True)
    command = [sys.executable, "-c", WRITER, str(job / "state")]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert writer.stdout is not None
        writer.stdout.readline()
        watch = WriterWatch(tmp_path)
        watch.sessions.add(writer.pid)
        for holder, violations in ((writer.pid, 0), (1, 1)):
            (job / "writer.lock").write_text(json.dumps({"pid": holder}))
            watch.look()
            assert len(watch.violations) == violations
        assert watch.seen.total() == 2
    finally:
        kill_sessions(writer.pid)
        writer.communicate()
