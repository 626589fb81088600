"""How jobs call their scripts: parameters and options, and what Snakemake is told of the score files they read."""

from functools import partial

from common.jobs.options import job_options

TRAINING = {name: COMPUTE[name] for name in ("device", "processes", "checkpoint_seconds", "stuck_seconds", "offload")}
TRAINING |= {"gpu": COMPUTE["gpus"], "stop_lead": COMPUTE["stop_lead_seconds"]}


options = partial(job_options, RESULTS)


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
    return {**called, "scratch": f"{RESULTS}/scratch/train_{method}/{{model}}"}


def no_settings(config):
    return {}


def know_scores(workflow):
    """Tell Snakemake which rule makes each score file that a rule reads, and which of them are lost.

    It would compare each of these files with every output of `evaluate_task`, two a draw, so that planning would grow with
    the square of the draws; in `dependencies` it looks first. And it would pass over a file that is gone as long as what was
    made of it is there; in `forcefiles` stands what is to be made all the same, if a job of this run reads it.
    """
    makers = {f"{RESULTS}/eval/": "evaluate_task", f"{RESULTS}/markers/": "evaluate_marker"}

    def ask_for_lost(reader, scores):
        def of_job(wildcards):
            if any(exists(path) for path in reader.output):
                workflow.dag.forcefiles.update(path for path in scores if not exists(path))
            return []

        return of_job

    for reader in workflow.rules:
        paths = [path for path in reader.input if isinstance(path, str)]
        scores = {path: maker for folder, maker in makers.items() for path in paths if folder in path}
        reader.dependencies.update(scores)
        if scores and reader.output:
            reader.set_input(ask_for_lost(reader, scores))
