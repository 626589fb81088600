"""Two finished runs compared by their facts: where they part first, and what that makes of each table.

`here` is the run that is looked at, `there` the one it is compared with.
"""

import fnmatch
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from functools import partial
from pathlib import PurePath
from typing import Any

from common.config.methods import METHODS
from common.evaluation.scoring import SCORINGS
from common.report.run_facts import Facts

IDENTICAL = "identical"
SAME_VERDICTS = "the same verdicts"
WITHIN = "differs within what another CPU may change"
DIFFERS = "differs"
OUTCOMES = (IDENTICAL, SAME_VERDICTS, WITHIN, DIFFERS)

# Another CPU rounds last digits otherwise, and steps of training enlarge that: to 1e-8 of a loss where it was seen.
LOSS_TOLERANCE = 0.01
# Rounding turns over only answers whose best choices are nearly equal, and these are few.
VERDICT_TOLERANCE = 0.05

# What a run is made of, in order; trainings stand between the base models and the answers, by the names of their rules.
DATA_STAGES = {"instructions": "instructions", "splits": "splits", "tasks": "questions"}
PROMPTS, BASE_MODELS, ANSWERS, SAMPLES, TABLES = "prompts", "base models", "answers", "samples", "tables"
BASE = "pretrained"


@dataclass(frozen=True)
class Difference:
    """An artifact upstream of the tables that is not the same in both runs.

    Attributes:
        stage: what kind of artifact it is.
        name: its path in the results, without suffix.
        what: the differences, in words.
        computed: whether another CPU alone may be its cause.
    """

    stage: str
    name: str
    what: list[str]
    computed: bool = False


@dataclass(frozen=True)
class TableComparison:
    """A table of both runs.

    Attributes:
        name: of the table.
        outcome: one of OUTCOMES.
        cells: those that differ, each with both values.
        verdicts: those behind it that differ, each with file, item and scoring.
        of: how many cells and verdicts there are.
    """

    name: str
    outcome: str
    cells: list[str]
    verdicts: list[str]
    of: tuple[int, int]


@dataclass(frozen=True)
class Comparison:
    """Two runs.

    Attributes:
        stages: what they are made of, in order.
        differences: upstream of the tables, in the order of the stages.
        other_cpu: whether they computed the same thing on machines of different kinds.
        tables: of both runs.
    """

    stages: list[str]
    differences: list[Difference]
    other_cpu: bool
    tables: list[TableComparison]

    @property
    def outcome(self) -> str:
        """The worst of all tables and artifacts."""
        upstream = [DIFFERS] if self.unexcused else [WITHIN] if self.differences else []
        return max([IDENTICAL, *upstream, *(table.outcome for table in self.tables)], key=OUTCOMES.index)

    @property
    def parting(self) -> list[Difference]:
        """All that is not the same, tables included, in order."""
        changed = (table.name for table in self.tables if table.outcome != IDENTICAL)
        return [*self.differences, *(Difference(TABLES, f"tables/{name}", []) for name in changed)]

    @property
    def unexcused(self) -> list[Difference]:
        """What of that makes the runs differ."""
        tables = {f"tables/{table.name}" for table in self.tables if table.outcome == DIFFERS}
        excused = [one for one in self.differences if self.other_cpu and one.computed]
        return [one for one in self.parting if one not in excused and (one.stage != TABLES or one.name in tables)]


def compare_runs(here: Facts, there: Facts) -> Comparison:
    """Compare two runs of a preset by their facts (`run_facts`)."""
    made = {**there["models"], **here["models"]}
    trainings = [_stage(name, made[name]) for name in sorted(made, key=_place)]
    stages = [*DATA_STAGES.values(), PROMPTS, *dict.fromkeys([BASE_MODELS, *trainings]), ANSWERS, SAMPLES, TABLES]
    found = [*_data(here, there), *_prompts(here, there), *_artifacts(here, there, "models", _weights)]
    found += _artifacts(here, there, "scores", partial(_answers, here, there))
    found += _artifacts(here, there, "samples", _responses)
    other_cpu = here["machines"] != there["machines"] and _asked(here) == _asked(there)
    shaken = {one.name for one in found if one.computed and other_cpu}
    tables = [_table(name, here, there, shaken) for name in _names(here["tables"], there["tables"])]
    return Comparison(stages, sorted(found, key=lambda one: stages.index(one.stage)), other_cpu, tables)


def surroundings(here: Facts, there: Facts) -> list[str]:
    """What is not the same about machines and software, with both values."""
    machines = ([_flat(kind) for kind in facts["machines"]] for facts in (here, there))
    by_key = ({key: [kind.get(key) for kind in kinds] for key in kinds[0]} for kinds in machines)
    return [*_unlike(*by_key), *_unlike(here["versions"], there["versions"])]


def _unlike(here: Mapping[str, Any], there: Mapping[str, Any]) -> list[str]:
    """Keys with other values, each with both."""
    keys = [key for key in _names(here, there) if here.get(key) != there.get(key)]
    return [f"{key} is {_told(here.get(key))} here and {_told(there.get(key))} there" for key in keys]


def _told(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_told, value))
    return "missing" if value is None else str(value)


def _names(here: Iterable[str], there: Iterable[str]) -> list[str]:
    return list(dict.fromkeys([*here, *there]))


def _asked(facts: Facts) -> tuple[Any, ...]:
    """What a run was to compute: all that another CPU cannot change."""
    prompts = {name: score["prompts"] for name, score in facts["scores"].items()}
    made = {**facts["models"], **facts["scores"], **facts["samples"]}
    return facts["data"], facts["items"], prompts, {name: one["settings"] for name, one in made.items()}


# --- upstream of the tables --------------------------------------------------------------------------------------


def _place(model: str) -> tuple[int, str]:
    """Where a checkpoint stands in the order of trainings: after those that it may start from."""
    order, method = [BASE, *METHODS], PurePath(model).name
    return order.index(method) if method in order else len(order), model


def _stage(name: str, made: Facts) -> str:
    """What kind of artifact a checkpoint, a score file or samples are."""
    if name.startswith("models/"):
        return BASE_MODELS if PurePath(name).name == BASE else str(made["rule"])
    return SAMPLES if name.startswith("samples/") else ANSWERS


def _data(here: Facts, there: Facts) -> Iterator[Difference]:
    """Of instructions, splits and questions."""
    for name in _names(here["data"], there["data"]):
        one, other = here["data"].get(name), there["data"].get(name)
        if one != other:
            what = "only there" if one is None else "only here" if other is None else "other rows"
            yield Difference(DATA_STAGES[name.split("/")[0]], f"data/{name}", [what])


def _prompts(here: Facts, there: Facts) -> Iterator[Difference]:
    """Of what the models were asked."""
    for name, one in here["scores"].items():
        other = there["scores"].get(name)
        if other and one["prompts"] != other["prompts"]:
            yield Difference(PROMPTS, name, [*_settings(here, there, one, other), "other prompts"])


def _artifacts(
    here: Facts, there: Facts, part: str, look: Callable[[str, Facts, Facts], tuple[list[str], bool]]
) -> Iterator[Difference]:
    """Of what was computed.

    Args:
        here: the facts of a run.
        there: the facts of the other.
        part: of the facts.
        look: (name, here's, there's) -> what differs besides settings, in words, and whether a CPU may have changed it.
    """
    for name in _names(here[part], there[part]):
        one, other = here[part].get(name), there[part].get(name)
        if one is None or other is None:
            yield Difference(_stage(name, one or other), name, ["only there" if one is None else "only here"])
            continue
        settings, (found, computed) = _settings(here, there, one, other), look(name, one, other)
        if settings or found:
            code = ["other code made it"] if one["code"] != other["code"] else []
            yield Difference(_stage(name, one), name, [*settings, *found, *code], computed and not settings)


def _settings(here: Facts, there: Facts, one: Facts, other: Facts) -> list[str]:
    """Settings of an artifact that are not the same."""
    return _unlike(_flat(here["settings"][one["settings"]]), _flat(there["settings"][other["settings"]]))


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted keys."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def _weights(name: str, here: Facts, there: Facts) -> tuple[list[str], bool]:
    """Weights and held-out measures of a checkpoint; a base model is the same on every CPU."""
    one, other = here["heldout"], there["heldout"]
    close = one.keys() == other.keys() and all(_is_close(key, one[key], other[key]) for key in one)
    found = ["other weights"] if here["weights"] != there["weights"] else []
    return [*found, *_unlike(one, other)], close and PurePath(name).name != BASE


def _is_close(measure: str, one: float, other: float) -> bool:
    """Whether a loss, or a share of pairs, is what another CPU may give."""
    tolerance = {"abs_tol": VERDICT_TOLERANCE} if "accuracy" in measure else {"rel_tol": LOSS_TOLERANCE}
    return math.isclose(one, other, **tolerance)


def _answers(here: Facts, there: Facts, name: str, one: Facts, other: Facts) -> tuple[list[str], bool]:
    """The items of a score file that are judged otherwise, or that other answers got the same verdicts."""
    scorings: dict[str, list[str]] = {}
    for scoring in SCORINGS:
        for item in _flipped(here, there, name, scoring):
            scorings.setdefault(item, []).append(scoring)
    verdicts = [f"the verdict on {item} ({', '.join(names)})" for item, names in scorings.items()]
    same = ["other answers, the same verdicts"] if one["answers"] != other["answers"] else []
    return verdicts or same, True


def _flipped(here: Facts, there: Facts, score: str, scoring: str) -> list[str]:
    """Items of a score file with another verdict, each with the hash of its question."""
    task = PurePath(score).parent.name
    if not (score in here["scores"] and score in there["scores"]):
        return []
    one, other = (
        dict(zip(facts["items"][task], facts["scores"][score]["verdicts"][scoring], strict=True))
        for facts in (here, there)
    )
    return [f"item {item} ({here['items'][task][item]})" for item in one if one[item] != other.get(item, one[item])]


def _responses(name: str, here: Facts, there: Facts) -> tuple[list[str], bool]:
    """The prompts to which samples have another response or reward."""
    one, other = here["responses"], there["responses"]
    differ = [prompt for prompt in _names(one, other) if one.get(prompt) != other.get(prompt)]
    return [f"response or reward to {prompt}" for prompt in differ], one.keys() == other.keys()


# --- tables ------------------------------------------------------------------------------------------------------


def _table(name: str, here: Facts, there: Facts, shaken: Set[str]) -> TableComparison:
    """A table, its cells, and the verdicts behind them.

    Args:
        name: of the table.
        here: the facts of a run.
        there: the facts of the other.
        shaken: artifacts that another CPU may have changed.
    """
    one, other = here["tables"].get(name), there["tables"].get(name)
    if one is None or other is None:
        return TableComparison(name, DIFFERS, ["all, only " + ("there" if one is None else "here")], [], (0, 0))
    behind = sorted(_behind(one, here) | _behind(other, there))
    asked = [(score, scoring) for score, scoring in behind if score in here["scores"]]
    flips = [
        f"{score} {item} ({scoring})" for score, scoring in asked for item in _flipped(here, there, score, scoring)
    ]
    count = sum(len(here["scores"][score]["verdicts"][scoring]) for score, scoring in asked)
    cells = _unlike(_values(one), _values(other))
    excused = any(artifact in shaken for artifact, _ in behind) and _only_measures(one["cells"], other["cells"])
    if one["text"] == other["text"] and not flips:
        outcome = IDENTICAL
    elif asked and not flips and not cells:
        outcome = SAME_VERDICTS
    else:
        outcome = WITHIN if excused and len(flips) <= VERDICT_TOLERANCE * count else DIFFERS
    return TableComparison(name, outcome, cells, flips, (len(_names(one["cells"], other["cells"])), count))


def _values(table: Facts) -> dict[str, str]:
    """What each cell shows."""
    return {cell: f"{value} (n {n})" if n else value for cell, (value, n, _) in table["cells"].items()}


def _only_measures(here: Mapping[str, list[str]], there: Mapping[str, list[str]]) -> bool:
    """Whether cells differ only in what was measured, on as many items; other cells are settings or words."""
    differ = [cell for cell in _names(here, there) if here.get(cell) != there.get(cell)]
    return all(
        cell in here and cell in there and here[cell][1:] == there[cell][1:] and here[cell][1] for cell in differ
    )


def _behind(table: Facts, facts: Facts) -> set[tuple[str, str]]:
    """The artifacts that the cells of a table come from, each with the scoring by which a cell asks for it."""
    artifacts = {f"{name}/run.json": name for name in facts["models"]}
    artifacts |= {f"{name}.json": name for part in ("scores", "samples") for name in facts[part]}
    asked = set()
    for cell, (_, _, source) in table["cells"].items():
        scoring = next((part for part in cell.split("/") if part in SCORINGS), "generation")
        asked |= {(pattern.strip(), scoring) for pattern in source.split(";")}
    return {(artifacts[file], scoring) for pattern, scoring in asked for file in fnmatch.filter(artifacts, pattern)}
