"""Made-up results and the report page of them."""

from pathlib import Path

import build_report
from common.base.paths import ROOT
from common.config.loading import load_configuration
from common.config.settings import report_settings
from common.data.prompts import few_shot_prompt
from common.files.csv_files import to_csv
from common.files.parquet import write_parquet
from common.files.whole_files import canonical_json, sha256_of_text, write_json, write_text
from common.tables.cells import CELL_COLUMNS
from common.tables.table import Table, write_table
from support.browser import HOSTILE

TASK = "sst2"
MODEL = "smollm2-135m"
MARKER = "Response:"
RECORD = {"rule": "evaluate_task", "script": "scripts/evaluate_task.py", "script_digest": "0" * 16, "commit": "a" * 40,
          "dirty": False, "settings": {"examples": "shared"}, "versions": {"python": "3"}, "hardware": {"cpu": "a CPU"},
          "started": "2026-01-01T00:00:00+00:00", "seconds": 2.0}  # fmt: skip
CELLS = [f"table3/{MODEL}/{method}/{TASK}/k0" for method in ("pretrained", "sft")]


def write_results(results: Path, texts: list[str]) -> None:
    """Results of two methods on one zero-shot task whose generations are `texts`."""
    questions = [
        {"id": f"i{i}", "question": f"{text}?\n", "answers": ["Yes", "No"], "accepted": [["Yes"], ["No"]], "gold": 0}
        for i, text in enumerate(texts)
    ]
    for part in ("train", "eval"):
        write_parquet(results / f"data/tasks/{TASK}/{part}.parquet", questions, tuple(questions[0]))
    write_json(
        results / f"data/tasks/{TASK}/summary.json", {"title": "SST2", "train": {"usable": 4}, "eval": {"usable": 4}}
    )
    manifest = {"prompts_found": 9, "prompts_used": 8, "counts": {"sft": 8}, "ties": {"pairs": 1, "share": 0.5}}
    write_json(results / "data/splits/manifest.json", manifest)
    rows = []
    for method, value in (("pretrained", 20.0), ("sft", 100.0)):
        stem = results / f"eval/{MODEL}/{method}/{TASK}/k0_seed0"
        answers = [
            {
                "id": question["id"],
                "prompt_hash": sha256_of_text(few_shot_prompt([], question["question"], MARKER)),
                "generation": text, "parsed": None, "parse": "none", "gold": "Yes", "correct": bool(i % 2),
                "correct_strict": False, "correct_likelihood": True,
            }
            for i, (question, text) in enumerate(zip(questions, texts, strict=True))
        ]  # fmt: skip
        write_parquet(stem.with_suffix(".parquet"), answers, tuple(answers[0]))
        right = {"generation": 1, "strict": 0, "likelihood": len(texts)}
        scorings = {name: {"correct": count} for name, count in right.items()}
        score = {"k": 0, "seed": 0, "n": len(texts), "scorings": scorings, "marker": MARKER, "provenance": RECORD}
        write_json(stem.with_suffix(".json"), score)
        name = f"table3/{MODEL}/{method}/{TASK}/k0"
        rows.append(
            [name, "table3", f"{MODEL}/{method}", f"{TASK}/k0", value, 1, 4, f"eval/{MODEL}/{method}/{TASK}/k0_seed*"]
        )
    for scoring in ("strict", "likelihood"):
        place = f"{MODEL}/sft/{scoring}"
        name, source = f"sensitivity/{place}/{TASK}/k0", f"eval/{MODEL}/sft/{TASK}/k0_seed*"
        rows.append([name, "sensitivity", place, f"{TASK}/k0", 0, 1, 4, source])
    write_text(results / "tables/cells.csv", to_csv(CELL_COLUMNS, rows))
    write_json(results / f"models/{MODEL}/pretrained/run.json", {"parameters": 7, "weights_sha256": "b" * 64})
    hostile = "\n".join(HOSTILE)
    lines = [["SmolLM2", "Pretrained", "20.0\n1\u201340"], ["SmolLM2", "SFT", "100.0\n90\u2013100"]]
    table3 = Table("Table 3", ["Model", "Method", "k=0"], lines, [("", 2), ("SST2", 1)], frozenset({(1, 2)}),
                   ["A note."], {(i, 2): name for i, name in enumerate(CELLS)})  # fmt: skip
    write_table(table3, results / "tables", "table3")
    for name in ("table1", "table2", "table4", "human_eval", "sensitivity", "comparison"):
        write_table(
            Table(f"Table {name}", ["Model", "A", "B"], [[hostile, hostile, hostile]]), results / "tables", name
        )
    write_text(results / "tables/comparison.csv", "table,published,verdict\ntable3,83.27,not run\n")
    compared = {"where": hostile, "first": 1.0, "second": 2.0, "difference": -1.0, "interval": [-2.0, 0.0], "n": 4}
    p_values = {"p": 0.1, "p_holm": 0.5, "p_worst_pairing": 0.6}
    verdict = {
        "as_printed": "holds", "at_n": "undecided", "whatever_the_pairing": True, "summary": hostile,
        "comparisons": [{**compared, **p_values, "at_n": "undecided", "cells": [hostile], "doubtful": True}],
    }  # fmt: skip
    texts_of_claim = {"en": hostile, "ko": "\uc8fc\uc7a5"}
    claim = {"id": "a-claim", "where": ["abstract"], "text": texts_of_claim, "published": verdict}
    claim["this_run"] = [{"models": hostile, "the_papers_models": False, **verdict}]
    write_json(results / "report/claims.json", {"claims": [claim]})
    data = {"reachable": {"unreachable": ["x"], "cells": 72}, "repeated": {"repeated": ["y"]}}
    told = {"question": "?", "method": "m", "answer": hostile, "by_hand": "", "tables": []}
    findings = [{"name": name, "title": name, "data": found, **told} for name, found in data.items()]
    write_json(results / "report/audit.json", {"findings": findings})


def build(results: Path, *, words: Path | None = None, items: int = 8) -> Path:
    """The page of these results, with a figure."""
    config = load_configuration(ROOT / "config.yaml", [], {"report": {"items_per_cell": items}})
    config["table3"]["tasks"] = [TASK]
    config["evaluation"]["shots"], config["marker_table"]["shots"] = [0], []
    figure = results / "figures/accuracy.svg"
    write_text(figure, '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 90 40"><title>t</title><desc>told</desc>'
               '<g id="a"><path d="M0 0H90" style="stroke: #1b1f2a"/></g></svg>')  # fmt: skip
    names = ("table1", "table2", "table3", "table4", "human_eval", "sensitivity", "comparison")
    command = [
        "--settings",
        canonical_json(report_settings(config)),
        "--results",
        str(results),
        "--figures",
        str(figure),
    ]
    command += ["--tables", *(str(results / f"tables/{name}.json") for name in names)]
    command += ["--template", str(ROOT / "resources/report"), "--output", str(results / "report/report.html")]
    command += ["--words", str(words)] if words else []
    assert build_report.main(command) == 0
    return results / "report/report.html"
