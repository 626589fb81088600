"""Compare a finished run with the expected results of its preset, or with another run, and say where they part.

python scripts/verify_run.py --results results/demo --expected resources/expected/demo
python scripts/verify_run.py --results results/demo --against results-other.tar

Exit codes: 0 where nothing differs by more than another CPU may change, 1 where something does, 2 where there is
nothing to compare. docs/reproduce.md says which results are promised to be equal where.
"""

import common.base.quick_start

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from common.base.errors import UserError
from common.jobs.console import Console, run_entry_point
from common.report.archives import archived_preset, restore_archive
from common.report.run_comparison import DIFFERS, IDENTICAL, Comparison, TableComparison, compare_runs, surroundings
from common.report.run_facts import Facts, read_facts, run_facts

EXIT_DIFFERS = 1
# Cells, verdicts and other details of one line; --all shows the rest.
SHOWN = 5


def facts_of(run: Path) -> Facts:
    """The facts of a results folder, or of the results in an archive.

    Raises:
        UserError: when there is no finished run in it.
    """
    if not run.is_file():
        return run_facts(run)
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / archived_preset(run)
        restore_archive(run, results)
        try:
            return run_facts(results)
        except UserError as error:
            where = error.where.replace(str(results), str(run))
            raise UserError(error.what, where, "pack a finished run: make archive") from error


def facts_to_expect(expected: Path | None, against: Path | None) -> Facts:
    """The facts that are kept for a preset in the folder `expected`, or those of the run `against`.

    Raises:
        UserError: when there are none.
    """
    if against:
        if not against.exists():
            raise UserError("there is no such run", str(against), "name a results folder, or a file of make archive")
        return facts_of(against)
    kept = (expected or Path()) / "facts.json"
    if not kept.is_file():
        remedy = "compare with another run, a folder or an archive: make verify AGAINST=results-other.tar"
        raise UserError("no expected results are kept for this preset", str(kept), remedy)
    return read_facts(kept)


def shortened(parts: Sequence[str], shown: int) -> list[str]:
    more = [f"and {len(parts) - shown} more, which --all shows"] if len(parts) > shown else []
    return [*parts[:shown], *more]


def table_lines(table: TableComparison, shown: int) -> Iterator[str]:
    """The outcome of a table, then its cells and verdicts that differ."""
    yield f"{table.name:<14}{table.outcome}"
    if table.outcome == IDENTICAL:
        return
    if not table.cells and not table.verdicts:
        yield "  its text alone; cells and verdicts are the same"
    for what, parts, count in zip(("cells", "verdicts"), (table.cells, table.verdicts), table.of, strict=True):
        if parts:
            yield f"  {len(parts)} of {count} {what} differ"
            yield from (f"    {part}" for part in shortened(parts, shown))


def parting_lines(comparison: Comparison, shown: int) -> Iterator[str]:
    """What both runs share, the first artifact that they do not, and what follows it."""
    if not comparison.parting:
        yield f"the same: {', '.join(comparison.stages)}"
        return
    first, *others = comparison.parting
    yield f"the same: {', '.join(comparison.stages[: comparison.stages.index(first.stage)]) or 'nothing'}"
    yield f"they part at {first.stage}: {first.name}"
    yield from (f"  {part}" for part in shortened(first.what, shown))
    if others:
        counts = Counter(one.stage for one in others)
        yield f"after it also: {', '.join(f'{stage} ({count})' for stage, count in counts.items())}"


def work(arguments: argparse.Namespace, console: Console) -> None:
    here, there = facts_of(arguments.results), facts_to_expect(arguments.expected, arguments.against)
    names = f"here {arguments.results}, there {arguments.against or arguments.expected}"
    if here["preset"] != there["preset"]:
        what = f"two presets cannot be compared: `{here['preset']}` and `{there['preset']}`"
        raise UserError(what, names, "name two runs of one preset, each in a folder of its name")
    comparison, shown = compare_runs(here, there), sys.maxsize if arguments.all else SHOWN
    print(names)
    for table in comparison.tables:
        print(*table_lines(table, shown), sep="\n")
    print(*parting_lines(comparison, shown), sep="\n")
    if around := surroundings(here, there) if comparison.parting else []:
        print(f"machines and software: {'; '.join(around)}")
    if comparison.outcome == DIFFERS:
        first = comparison.unexcused[0]
        remedy = "docs/reproduce.md says which results are the same where"
        raise UserError("the runs differ", f"from {first.stage} on: {first.name}", remedy, EXIT_DIFFERS)
    print(f"in all: {comparison.outcome}")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, help="results folder of a preset, or an archive")
    other = parser.add_mutually_exclusive_group(required=True)
    other.add_argument("--expected", type=Path, help="folder of the facts that are kept for the preset")
    other.add_argument("--against", type=Path, help="results folder or archive of another run")
    parser.add_argument("--all", action="store_true", help="show every cell and item that differs")
    parser.set_defaults(log=None)
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
