"""Every cell of cells.csv computed a second time, from the predictions, by other code.

`python tests/support/independent_cells.py results/demo` checks a whole run,
`results/smoke config/smoke.yaml` another's.
Sampled rewards and the pair accuracy are taken from the stored samples and from run.json: no model is loaded.
"""

import argparse
import csv
import functools
import math
import statistics
import sys
from pathlib import Path

import numpy as np
import yaml
from pyarrow.parquet import read_table

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

from common.base.errors import UserError  # noqa: E402
from common.config.loading import load_configuration  # noqa: E402
from common.files.whole_files import read_json  # noqa: E402
from support import independent_scorer  # noqa: E402

COLUMNS = {"generation": "correct", "strict": "correct_strict", "likelihood": "correct_likelihood"}


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def more_than_half(votes: list[str]) -> str:
    """What most raters preferred; similar where no method has more than half of them."""
    return next((vote for vote in votes if votes.count(vote) > len(votes) / 2), "similar")


class Recomputed:
    """The cells of one run.

    Args:
        results: results folder of the preset.
        config: its configuration.
    """

    def __init__(self, results: Path, config: dict):
        self.results, self.config = results, config
        self.verdicts = functools.cache(self._verdicts)

    def _verdicts(self, folder: str, k: int) -> list[list[dict[str, bool]]]:
        """Verdicts of every run of a cell, item by item."""
        task = folder.rsplit("/", 1)[1]
        questions = {row["id"]: row for row in read_table(self.results / f"data/tasks/{task}/eval.parquet").to_pylist()}
        paths = sorted((self.results / folder).glob(f"k{k}_seed*.parquet"))
        assert len(paths) == (len(self.config["evaluation"]["seeds"]) if k else 1), folder
        runs = [sorted(read_table(path).to_pylist(), key=lambda row: row["id"]) for path in paths]
        return [[independent_scorer.verdicts(row, questions[row["id"]]) for row in run] for run in runs]

    def shares(self, folder: str, k: int, scoring: str = "generation") -> list[list[int]]:
        """1 for right, 0 for wrong, by run and item."""
        return [[int(one[COLUMNS[scoring]]) for one in run] for run in self.verdicts(folder, k)]

    def accuracy(self, folder: str, k: int, scoring: str = "generation") -> dict[str, float]:
        runs = self.shares(folder, k, scoring)
        items = [statistics.fmean(answers) for answers in zip(*runs, strict=True)]
        spread = statistics.stdev(items) / math.sqrt(len(items)) if len(items) > 1 else 0.0
        return {"value": 100 * statistics.fmean(items), "stderr": 100 * spread, "n": len(items)}

    def cell(self, name: str) -> dict[str, float | str]:
        """value, and where there are any stderr and n, of a cell."""
        table, *parts = name.split("/")
        return getattr(self, f"_{table}")(*parts)

    def _table3(self, model: str, method: str, task: str, k: str) -> dict[str, float]:
        return self.accuracy(f"eval/{model}/{method}/{task}", int(k[1:]))

    def _sensitivity(self, model: str, method: str, scoring: str, task: str, k: str) -> dict[str, float]:
        return self.accuracy(f"eval/{model}/{method}/{task}", int(k[1:]), scoring)

    def _markers(self, model: str, method: str, marker: str, task: str, k: str) -> dict[str, float]:
        crossed = f"markers/{model}/{method}/{marker}/{task}"
        folder = crossed if (self.results / crossed).exists() else f"eval/{model}/{method}/{task}"
        return self.accuracy(folder, int(k[1:]))

    def _paired(self, model: str, pair: str, task: str, k: str, part: str = "") -> dict[str, float]:
        if part:
            return {"value": self.adjusted(model)[pair, task, k]}
        first, second = (self.accuracy(f"eval/{model}/{method}/{task}", int(k[1:])) for method in pair.split("-"))
        return {"value": first["value"] - second["value"], "n": first["n"]}

    @functools.cached_property
    def tested(self) -> dict[tuple[str, str, str, str], float]:
        """Stored p-values by (model, pair, task, k)."""
        rows = rows_of(self.results / "tables/paired.csv")
        return {(r["model"], f"{r['first']}-{r['second']}", r["task"], f"k{r['k']}"): float(r["p"]) for r in rows}

    def adjusted(self, model: str) -> dict[tuple[str, str, str], float]:
        """Holm's correction of a model's stored p-values."""
        mine = sorted((p, key[1:]) for key, p in self.tested.items() if key[0] == model)
        found, largest = {}, 0.0
        for rank, (p, key) in enumerate(mine):
            largest = max(largest, min(1.0, p * (len(mine) - rank)))
            found[key] = largest
        return found

    def p_value(self, model: str, pair: str, task: str, k: str) -> tuple[float, float]:
        """The p-value of a comparison and how far a stored one may be off: exact for one run, resampled for several."""
        first, second = (np.array(self.shares(f"eval/{model}/{m}/{task}", int(k[1:]))) for m in pair.split("-"))
        difference = first - second
        if len(difference) == 1:
            wins, losses = int((difference > 0).sum()), int((difference < 0).sum())
            n, least = wins + losses, min(wins, losses)
            return min(1.0, 2 * sum(math.comb(n, i) for i in range(least + 1)) / 2**n) if n else 1.0, 1e-6
        generator = np.random.default_rng(12345)
        means = []
        for _ in range(4000):
            runs = generator.integers(0, difference.shape[0], difference.shape[0])
            items = generator.integers(0, difference.shape[1], difference.shape[1])
            means.append(difference[runs][:, items].mean())
        below, above = np.mean(np.array(means) <= 1e-9), np.mean(np.array(means) >= -1e-9)
        return min(1.0, 2 * min(below, above)), 0.09

    def _table1(self, key: str, model: str, method: str) -> dict[str, str]:
        return {"value": self.config["methods"][method]["training"][key]}

    def _table2(self, key: str, model: str, method: str) -> dict[str, object]:
        block = self.config["methods"][method]
        if method != "ppo":
            return {"value": block["training"].get(key, "-")}
        if key == "learning_rate":
            return {"value": [block["actor_learning_rate"], block["critic_learning_rate"]]}
        return {"value": block.get(key, "-")}

    def _table4(self, model: str, what: str) -> dict[str, float]:
        if what == "pair_accuracy":
            pairs = read_json(self.results / f"models/{model}/reward/run.json")["heldout_pairs"]
            assert (pairs["accuracy"] * pairs["pairs"] * 2) % 1 < 1e-9 or (
                pairs["accuracy"] * pairs["pairs"] * 2
            ) % 1 > 1 - 1e-9
            return {"value": 100 * pairs["accuracy"], "n": pairs["pairs"]}
        rewards = {
            stage: {
                row["id"]: row["reward"]
                for row in read_table(self.results / f"samples/{model}/{stage}.parquet").to_pylist()
                if row["source"] == "heldout"
            }
            for stage in ("rl_sft", "ppo")
        }
        first, third = rewards["rl_sft"], rewards["ppo"]
        values = [third[key] - first[key] for key in first] if what == "difference" else list(rewards[what].values())
        spread = statistics.stdev(values) / math.sqrt(len(values))
        return {"value": statistics.fmean(values), "stderr": spread, "n": len(values)}

    def _table5(self, model: str, method: str, name: str, part: str = "") -> dict[str, float]:
        if name[1:].isdecimal():
            return self.mean_over_tasks(model, method, int(name[1:]), part)
        if name == "unparseable":
            shots = self.config["evaluation"]["shots"]
            folders = [f"eval/{model}/{method}/{task}" for task in self.config["table3"]["tasks"]]
            return {"value": 100 * statistics.fmean(self.silent(folder, k) for folder in folders for k in shots)}
        if name.startswith("raters"):
            first, second = next(
                pair.rpartition("/")[2].split("-") for pair, _ in self.preferred
                if pair.startswith(f"{model}/") and {*pair.rpartition("/")[2].split("-")} == {method, part}
            )  # fmt: skip
            asked = method if name == "raters_won" else part
            return self._human_eval(model, f"{first}-{second}", "pooled", asked)
        mine, sft = (self.heldout(model, one) for one in (method, "sft"))
        alike = ("response", "tokens", "finish")
        decided = [key for key in mine if any(mine[key][column] != sft[key][column] for column in alike)]
        signs = [np.sign(mine[key]["reward"] - sft[key]["reward"]) for key in decided]
        wins, losses = signs.count(1), signs.count(-1)
        if name == "win_share":
            share, z2, n = wins / (wins + losses), 1.959963984540054**2, wins + losses
            middle, half = share + z2 / (2 * n), math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n)))
            ends = {"": share, "/low": (middle - half) / (1 + z2 / n), "/high": (middle + half) / (1 + z2 / n)}
            return {"value": 100 * ends[f"/{part}" if part else ""], "n": len(mine)}
        rewards = [row["reward"] for row in mine.values()]
        if name == "reward" and part:
            found = self.resampled([np.array([rewards])])
            return {"value": found[int(part == "high")], "tolerance": 0.1 * statistics.pstdev(rewards), "n": len(mine)}
        drawn = sum(row["drawn_tokens"] or 0 for row in mine.values())
        values = {
            "wins": wins,
            "losses": losses,
            "reward": statistics.fmean(rewards),
            "tokens": statistics.fmean(row["tokens"] for row in mine.values()),
            **{kind: sum(row[kind] or 0 for row in mine.values()) / max(drawn, 1) for kind in ("kl_k1", "kl_k3")},
        }
        return {"value": values[name], "n": len(mine)}

    def heldout(self, model: str, method: str) -> dict[str, dict]:
        rows = read_table(self.results / f"samples/{model}/{method}.parquet").to_pylist()
        return {row["id"]: row for row in rows if row["source"] == "heldout"}

    def silent(self, folder: str, k: int) -> float:
        """Share of answers of a cell that name no single choice."""
        task = folder.rsplit("/", 1)[1]
        questions = {row["id"]: row for row in read_table(self.results / f"data/tasks/{task}/eval.parquet").to_pylist()}
        rows = [
            row for path in (self.results / folder).glob(f"k{k}_seed*.parquet") for row in read_table(path).to_pylist()
        ]
        named = [independent_scorer.named_answers(row["generation"], questions[row["id"]]["accepted"]) for row in rows]
        return statistics.fmean(len(answers) != 1 for answers in named)

    def mean_over_tasks(self, model: str, method: str, k: int, part: str) -> dict[str, float]:
        """Accuracy of a row of Table 5, its difference from SFT, and the ends of that difference's interval."""
        tasks = self.config["table3"]["tasks"]
        mine, sft = (
            [np.array(self.shares(f"eval/{model}/{one}/{task}", k)) for task in tasks] for one in (method, "sft")
        )
        items = sum(task.shape[1] for task in mine)
        if not part:
            return {"value": 100 * statistics.fmean(float(task.mean()) for task in mine), "n": items}
        differences = [one - other for one, other in zip(mine, sft, strict=True)]
        mean = statistics.fmean(float(task.mean()) for task in differences)
        if part == "difference":
            return {"value": 100 * mean, "n": items}
        if not any(np.ptp(task) for task in differences):
            z2 = 1.959963984540054**2
            slack = statistics.fmean(z2 / (task.shape[1] + z2) for task in differences)
            return {"value": 100 * max(-1.0, min(1.0, mean + (slack if part == "high" else -slack))), "n": items}
        return {"value": 100 * self.resampled(differences)[int(part == "high")], "tolerance": 2.5, "n": items}

    def resampled(self, tasks: list[np.ndarray]) -> np.ndarray:
        """Ends of a mean's 95 % interval over tasks, runs and items of each drawn with replacement, in a plain loop."""
        generator = np.random.default_rng(54321)
        means = []
        for _ in range(2000):
            drawn = []
            for task in tasks:
                runs, items = (generator.integers(0, size, size) for size in task.shape)
                drawn.append(task[runs][:, items].mean())
            means.append(np.mean(drawn))
        return np.quantile(means, [0.025, 0.975])

    def _costs(self, model: str, method: str, what: str) -> dict[str, float]:
        chains = {
            "pretrained": [], "sft": ["sft"], "sft_best": ["sft_best"], "coh": ["coh"], "dpo": ["sft", "dpo"],
            "rl_sft": ["rl_sft"], "ppo": ["rl_sft", "reward", "ppo"],
        }  # fmt: skip
        data = {"sft": "sft", "sft_best": "coh", "coh": "coh", "dpo": "coh", "rl_sft": "rl_sft", "reward": "rl_reward",
                "ppo": "rl_prompts"}  # fmt: skip
        rl = self.config["rl"]
        scorer = {**rl["reward_models"], rl["actor"]: rl["reward"]}[model]
        owners = {name: scorer if name == "reward" else model for name in chains[method]}
        records = {name: read_json(self.results / f"models/{owner}/{name}/run.json") for name, owner in owners.items()}
        if what == "hours":
            return {"value": sum(one["provenance"]["seconds"] * one["processes"] for one in records.values()) / 3600}
        if what == "tokens":
            return {"value": sum(one["tokens_seen"]["total"] for one in records.values())}
        ids = [read_table(self.results / f"data/splits/{data[name]}.parquet")["id"].to_pylist() for name in records]
        return {"value": len({one for part in ids for one in part})}

    @functools.cached_property
    def preferred(self) -> dict[tuple[str, str], dict[str, str]]:
        """What each rater preferred, a method or similar: by pair and prompt, then by rater."""
        sides = read_json(self.results / "human_eval/key.json")["sides"]
        folder = self.results.parent.parent / "resources/human_eval/ratings" / self.results.name
        found: dict[tuple[str, str], dict[str, str]] = {}
        for rating in map(read_json, sorted(folder.glob("*.json"))):
            for entry in rating["ratings"] if len(rating["ratings"]) == len(sides) else []:
                side = sides[entry["item"]]
                votes = found.setdefault((side["pair"], side["prompt"]), {})
                votes[f"rater-{rating['alias']}"] = side.get(entry["choice"], "similar")
        return found

    def _human_eval(self, *parts: str) -> dict[str, float | str]:
        *pair, rater, what = parts
        stages = {"stage1": "rl_sft", "stage3": "ppo", "stage3_share": "ppo_share"}
        name = "/".join(pair) or f"{self.config['rl']['actor']}/rl_sft-ppo"
        first, second = name.rpartition("/")[2].split("-")
        asked = what if pair else stages.get(what, what)
        if rater == "paper":
            published = yaml.safe_load((ROOT / "resources/paper/human_evaluation.yaml").read_text(encoding="utf-8"))
            counted = {**published["preferred"], "similar": published["similar"]}
        else:
            prompts = [votes for (of, _), votes in self.preferred.items() if of == name]
            if not prompts:
                return {"value": "not rated"}
            given = [vote for votes in prompts for one, vote in votes.items() if rater in (one, "all-ratings")]
            if rater == "pooled":
                given = [more_than_half([*votes.values()]) for votes in prompts]
            counted = {method: given.count(method) for method in (first, "similar", second)}
        if asked.endswith("_share"):
            decided = counted[first] + counted[second]
            share = counted[second] / decided
            return {"value": 100 * share, "stderr": 100 * math.sqrt(share * (1 - share) / decided), "n": decided}
        return {"value": counted[asked], "n": sum(counted.values())}

    def _comparison(self, *parts: str) -> dict[str, str]:
        """The verdict of a run none of whose models is the paper's."""
        assert not [name for name, model in self.config["models"].items() if model.get("published")]
        assert parts[-1] == "verdict"
        mine = {*self.config["models"]} & {*parts}
        return {"value": "not comparable" if mine else "not run"}


def same(value: object, text: str, tolerance: float) -> bool:
    """Whether a cell's text is a value, to the digits it has."""
    if isinstance(value, list):
        return [float(part) for part in text.split(",")] == [float(f"{part:g}") for part in value]
    if isinstance(value, str):
        return text == value
    return abs(float(text) - float(value)) <= tolerance


def check(results: Path, config: dict) -> tuple[int, list[str]]:
    """How many cells were computed, and the names of those that come out otherwise."""
    recomputed, wrong = Recomputed(results, config), []
    rows = rows_of(results / "tables/cells.csv")
    for row in rows:
        mine = recomputed.cell(row["cell"])
        tolerance = mine.pop("tolerance", 5.1e-5)  # wider for the ends of resampled intervals
        wrong += [
            f"{row['cell']} {key}: {row[key]}, not {value}"
            for key, value in mine.items()
            if not same(value, row[key], tolerance)
        ]
    for key, stored in recomputed.tested.items():
        value, tolerance = recomputed.p_value(*key)
        wrong += [f"{key} p: {stored}, not {value}"] if abs(value - stored) > tolerance else []
    return len(rows), wrong


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="results folder of a preset, for example results/demo")
    parser.add_argument("overlays", type=Path, nargs="*", help="configuration overlays it was run with")
    arguments = parser.parse_args(argv)
    if not (arguments.results / "tables/cells.csv").is_file():
        parser.error(f"no results: {arguments.results}/tables/cells.csv does not exist")
    try:
        config = load_configuration(ROOT / "config.yaml", arguments.overlays, {})
    except UserError as error:
        parser.error(str(error))
    count, problems = check(arguments.results, config)
    print(*problems, f"{count} cells computed again, {len(problems)} values differ", sep="\n")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
