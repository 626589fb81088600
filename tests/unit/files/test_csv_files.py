"""CSV as the library's own writer of records writes it."""

import csv
import io
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from common.files.csv_files import records_to_csv

COLUMNS = ("step", "loss", "note")
VALUES = st.none() | st.integers() | st.floats() | st.text(st.characters(codec="utf-8"), max_size=8)


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from([*COLUMNS, "other"]), VALUES), max_size=5))
def test_records_are_written_as_the_librarys_writer_writes_them(records: list[dict[str, Any]]) -> None:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    assert records_to_csv(COLUMNS, records) == buffer.getvalue()
