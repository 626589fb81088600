"""Scores: one job per checkpoint and task, all numbers of shots and seeds from one model load."""


use rule launched_job as evaluate_task with:
    input:
        "<results>/data/tasks/{task}/train.parquet",
        "<results>/data/tasks/{task}/eval.parquet",
        model="<results>/models/{model}/{method}",
    output:
        grid_scores(["{model}"], ["{method}"], ["{task}"]),
    pathvars:
        job="evaluate_task/{model}_{method}_{task}",
    params:
        **calls(
            "evaluate_task",
            settings.evaluation_settings,
            task="<results>/data/tasks/{task}",
            output="<results>/eval/{model}/{method}/{task}",
        ),
        further=draw_options(),
        scratch=f"{RESULTS}/scratch/evaluate_task/{{model}}_{{method}}_{{task}}",


# One checkpoint, asked with another marker than its own.
use rule evaluate_task as evaluate_marker with:
    output:
        crossed_scores([("{method}", "{marker}")], ["{model}"], ["{task}"]),
    pathvars:
        job="evaluate_marker/{model}_{method}_{marker}_{task}",
    params:
        options=options(task="<results>/data/tasks/{task}", output="<results>/markers/{model}/{method}/{marker}/{task}"),
        further=draw_options(config["marker_table"]["shots"]),
        scratch=f"{RESULTS}/scratch/evaluate_marker/{{model}}_{{method}}_{{marker}}_{{task}}",
