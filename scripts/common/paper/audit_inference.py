"""The audit's checks of what the numbers can show: cells below chance, noise, ratings, counts, contradicted claims."""

import math

from common.paper import proportions
from common.paper.audit_digits import doubtful_cells
from common.paper.audit_findings import Finding
from common.paper.claim_evidence import PublishedEvidence
from common.paper.claims import FAILS, check_published
from common.paper.published import Published
from common.stats.intervals import wilson_interval
from common.stats.significance import LEVEL, mcnemar_p_value, p_value_number, p_value_text
from common.tables.table import Table

POWER = 0.8
TRUE_SHARES = (0.75, 0.6)


def check_below_chance(published: Published) -> Finding:
    rows, data = [], []
    for cell in published.table3:
        items, chance = published.items(cell.task), published.facts["tasks"][cell.task]["chance"]
        right = round(cell.percent / 100 * items)
        low, high = wilson_interval(right, items)
        if published.runs(cell.k) == 1 and high < chance:
            interval = f"{100 * low:.1f}\u2013{100 * high:.1f}"
            rows.append([cell.name, cell.text, f"{right:,} of {items:,}", interval, f"{100 * chance:.1f}"])
            data.append({"cell": cell.name, "percent": cell.percent, "right": right, "items": items, "chance": chance})
    answer = f"{len(data)} cells lie clearly below guessing."
    if data:
        lowest = min(data, key=lambda entry: entry["percent"])
        answer += f" The lowest, {lowest['cell']}, is {lowest['right']} of {lowest['items']:,} items."
        answer += (
            " Generated text is scored, so less than guessing means that answers were often not in the asked form;"
            " differences from these cells mix form and ability."
        )
    table = Table("Cells of one run below chance", ["Cell", "Printed", "Right", "95 % interval", "Chance"], rows)
    method = "The count behind each cell of one run; below chance when the upper end of its 95 % Wilson interval is."
    question = "Which zero-shot accuracies are clearly lower than those of guessing?"
    data_entry = {"cells": data}
    return Finding(
        name="below_chance",
        title="Cells below chance",
        question=question,
        method=method,
        answer=answer,
        tables=[table],
        data=data_entry,
    )


def check_noise(published: Published) -> Finding:
    widths = {task: 100 * proportions.resolvable_difference(published.items(task)) for task in published.tasks}
    narrow, wide = min(widths, key=lambda task: widths[task]), max(widths, key=lambda task: widths[task])
    answer = (
        f"From {widths[narrow]:.1f} points ({narrow}) to {widths[wide]:.1f} points ({wide}). Training again with "
        "another seed would add a spread of its own, of which no number of the paper tells."
    )
    method = (
        "Half-width of the 95 % interval of a difference near 50 %, the systems taken as independent samples. Toward 0 "
        "or 100 % it is smaller; on the same items it usually is, but the paper gives no answers item by item."
    )
    rows = [[task, f"{published.items(task):,}", f"\u00b1{width:.1f}"] for task, width in widths.items()]
    table = Table("Noise of a difference of two cells, in points", ["Task", "Items", "95 % half-width"], rows)
    question = "How large must a difference of two cells be to stand out from noise?"
    return Finding(
        name="noise",
        title="What a difference must be to show",
        question=question,
        method=method,
        answer=answer,
        tables=[table],
        data=widths,
    )


def check_ratings(published: Published) -> Finding:
    ratings = published.ratings
    wins, losses, similar = ratings["preferred"]["ppo"], ratings["preferred"]["rl_sft"], ratings["similar"]
    decided, total = wins + losses, wins + losses + similar
    p_value, best = mcnemar_p_value(wins, losses), mcnemar_p_value(decided, 0)
    exact, wilson = proportions.exact_interval(wins, decided), wilson_interval(wins, decided)
    of_all, least = proportions.exact_interval(wins, total), proportions.least_unanimous()
    needed = {share: proportions.ratings_needed(share, POWER) for share in TRUE_SHARES}

    def span(interval: tuple[float, float]) -> str:
        return f"{100 * interval[0]:.0f}\u2013{100 * interval[1]:.0f} %"

    rows = [
        ["Exact sign test, two-sided", p_value_text(p_value)],
        [f"Smallest p-value that {decided} decided ratings can give", p_value_number(best)],
        ["Stage 3 among decided ratings, exact 95 % interval", f"{100 * wins / decided:.0f} %, {span(exact)}"],
        ["The same, Wilson interval", span(wilson)],
        ["Stage 3 among all ratings, exact 95 % interval", f"{100 * wins / total:.0f} %, {span(of_all)}"],
        ["Fewest decided ratings for p < 0.05 if all agree", str(least)],
        *(
            [f"Fewest decided ratings for {100 * POWER:.0f} % power at a true share of {100 * share:.0f} %", str(n)]
            for share, n in needed.items()
        ),
    ]
    reach = "would reach" if best <= LEVEL else "would not reach"
    answer = (
        f"They do not tell the stages apart ({p_value_text(p_value)}): stage 3's share of decided ratings may be "
        f"anything in {span(exact)} (exact 95 % interval). Even {decided} agreeing ratings {reach} the 5 % level. They "
        f"can show that this rater found {similar} of {total} pairs alike; they cannot show agreement between raters, "
        "nor stand for other prompts."
    )
    question = (
        f"{total} examples, {ratings['raters']} rater: stage 3 preferred in {wins}, stage 1 in {losses}, similar in "
        f"{similar}. What follows?"
    )
    method = "Exact sign test on the decided ratings; Clopper-Pearson and Wilson intervals of the preference share."
    extreme = sum(math.comb(decided, n) for n in range(decided + 1) if abs(2 * n - decided) >= abs(wins - losses))
    by_hand = (
        f"{decided} tosses of a fair coin come out {wins} : {losses} or further apart, either way, in {extreme} of "
        f"{2**decided} cases."
    )
    data = {
        "p_value": p_value, "smallest_p_value": best, "exact_interval": list(exact), "wilson_interval": list(wilson),
        "exact_interval_of_all": list(of_all), "least_unanimous": least,
        "needed": {str(share): n for share, n in needed.items()},
    }  # fmt: skip
    table = Table("The ratings", ["Quantity", "Value"], rows)
    title = f"What {wins} : {losses} : {similar} can show"
    return Finding(
        name="ratings",
        title=title,
        question=question,
        method=method,
        answer=answer,
        tables=[table],
        by_hand=by_hand,
        data=data,
    )


def check_prompt_counts(published: Published) -> Finding:
    facts = published.facts
    total, per_prompt = sum(facts["splits"].values()), facts["reward_pairs"] / facts["splits"]["rl_reward"]
    most = math.comb(facts["responses_per_prompt"], 2)
    agree = "add up to" if total == facts["prompts"] else f"add up to {total:,}, not to"
    answer = (
        f"The splits of RL {agree} {facts['prompts']:,} prompts. {facts['reward_pairs']:,} pairs are "
        f"{per_prompt:.2f} a prompt, of at most {most} that {facts['responses_per_prompt']} responses give; which "
        "pairs were taken is not said."
    )
    rows = [[name, f"{count:,}"] for name, count in facts["splits"].items()]
    table = Table("Prompts by split", ["Split", "Prompts"], rows)
    question = "Do the numbers of prompts and pairs in section 3.1 agree with each other?"
    data = {"total": total, "pairs_per_prompt": per_prompt, "most_pairs": most}
    return Finding(
        name="prompts",
        title="Counts of section 3.1",
        question=question,
        method="Sums and ratios.",
        answer=answer,
        tables=[table],
        data=data,
    )


def check_sentences(published: Published) -> Finding:
    evidence, rows, data = PublishedEvidence(published), [], []
    doubtful = doubtful_cells(published)
    for claim in published.claims:
        verdict = check_published(claim, published, evidence)
        if verdict.as_printed == FAILS:
            against = [one.contrast for one in verdict.judged if one.contrast.difference <= 0]
            listed = [
                f"{contrast.where} ({contrast.first:.2f} to {contrast.second:.2f})"
                + ("\u2020" if doubtful.intersection(contrast.cells) else "")
                for contrast in against
            ]
            reading = claim.get("reading", claim["text"])["en"]
            where = ", ".join(claim["where"])
            rows.append([claim["text"]["en"], where, reading, "; ".join(listed) or verdict.summary, verdict.at_n])
            data.append({"claim": claim["id"], "contrary": [c.where for c in against], "at_n": verdict.at_n})
    sentences = len({claim["text"]["en"] for claim in published.claims})
    answer = (
        f"{len(data)} of {len(published.claims)} readings of {sentences} sentences, given below, do not hold for the "
        "numbers as printed."
    )
    header = ["Claim (in our words)", "Where", "Read as", "Contrary", "At the stated n"]
    note = "\u2020 rests on a cell that is not reachable or stands in a repeated row."
    table = Table("Claims the numbers contradict", header, rows, notes=[note] if doubtful else [])
    question = "Which statements of abstract, section 5.3 and conclusion do not hold for the printed numbers?"
    method = "Every claim is checked on the published numbers; all claims, with p-values, are in claims.md."
    title = "Sentences the numbers contradict"
    return Finding(
        name="sentences",
        title=title,
        question=question,
        method=method,
        answer=answer,
        tables=[table],
        data={"claims": data},
    )
