"""Scores: one job per checkpoint, which answers all numbers of shots and seeds of all tasks from one model load."""


use rule launched_job as evaluate_task with:
    input:
        QUESTIONS,
        model="<results>/models/{model}/{method}",
    output:
        grid_scores([("{model}", "{method}")]),
    pathvars:
        job="evaluate_task/{model}_{method}",
    priority: 1  # longer than what else there is to do then
    params:
        **calls(
            "evaluate_task",
            settings.evaluation_settings,
            task=expand("<results>/data/tasks/{task}", task=TASKS),
            output=expand("<results>/eval/{{model}}/{{method}}/{task}", task=TASKS),
        ),
        further=draw_options(),
        scratch=scratch("evaluate_task/{model}_{method}"),


# One checkpoint, asked with another marker than its own.
use rule evaluate_task as evaluate_marker with:
    output:
        crossed_scores([("{method}", "{marker}")], ["{model}"]),
    pathvars:
        job="evaluate_marker/{model}_{method}_{marker}",
    priority: 0
    params:
        options=options(
            task=expand("<results>/data/tasks/{task}", task=TASKS),
            output=expand("<results>/markers/{{model}}/{{method}}/{{marker}}/{task}", task=TASKS),
        ),
        further=draw_options(config["marker_table"]["shots"]),
        scratch=scratch("evaluate_marker/{model}_{method}_{marker}"),
