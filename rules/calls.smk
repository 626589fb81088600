"""How jobs call their scripts: parameters and options, and what Snakemake is told of the score files they read."""

from functools import partial

from common.jobs.options import job_options
from common.jobs.score_files import ask_for_lost, know_scores
from common.planning.job_resources import JobResources

SCRATCH = settings.scratch_folder(config, LOCATION)
# How each job is started; functions, whose values do not decide whether it is run again. An environment that is not
# activated is found as well; conda brings a Python of its own.
PYTHON = "python" if workflow.deployment_settings.deployment_method else shlex.quote(sys.executable)
START = {"python": lambda wildcards, output: PYTHON, "scripts": lambda wildcards, output: own("scripts")}
ASKED = JobResources(workflow, config, Path(LOCATION))
options = partial(job_options, RESULTS)
there = lambda path: exists(path)  # Snakemake looks for its workflow where this is called


def calls(name, part, *asked, **folders):
    """Parameters of a job: its script with the digest of its code, its part of the configuration, its options.

    Snakemake compares them with those of the last run, options aside, which follow from inputs and outputs. All are functions,
    evaluated where a job is planned: on a cluster each job starts a Snakemake of its own.

    Args:
        part: (config, **wildcards) -> settings.
        asked, folders: see `job_options`.
    """
    return {
        "script": f"{name}.py",
        "settings": lambda wildcards: canonical_json(part(config, **wildcards)),
        "code": lambda wildcards: digest.script_digest(f"{name}.py"),
        "options": options(*asked, **folders),
    }


def renders(name, part, **folders):
    """`calls` for what is written in a language."""
    return calls(name, lambda config: {**part(config), "language": LANGUAGE}, **folders)


def renders_table(name, part, **folders):
    return renders(name, part, output="<results>/tables", **folders)


def learns(method):
    """The names in the paths of a training job."""
    known = TRAINING_METHODS[method]
    names = {"method": method, "start": known.starts_from[0], "split": known.split, "heldout": known.heldout}
    return {"job": f"train_{method}/{{model}}", **{name: value for name, value in names.items() if value}}


def trains(method, part=settings.training_settings):
    """Parameters of a training job."""
    called = calls(f"train_{method}", partial(part, method=method), "offload", "checkpoint_seconds", "stuck_seconds")
    return {**called, "scratch": scratch(f"train_{method}/{{model}}")}


def scratch(job):
    """Where a job keeps what it resumes from."""
    return lambda wildcards, output: f"{SCRATCH}/{job.format(**wildcards)}"


def no_settings(config):
    return {}


def card_scores(wildcards):
    """The scores a model card shows."""
    scores, made = scores_of(**wildcards), f"{LOCATION}/hub/{wildcards.model}/{wildcards.method}"
    return scores + ask_for_lost(workflow, there, [made], [path.replace("<results>", LOCATION) for path in scores])
