"""The blind comparison of methods, two at a time, by people: rating page, key, and the score of the ratings."""


use rule plain_job as build_human_eval with:
    input:
        samples=[f"<results>/samples/{'/'.join(rated)}.parquet" for rated in selection.rated_checkpoints(config)],
        template=own("resources/human_eval/sheet.html"),
        style=own("resources/human_eval/sheet.css"),
        script=own("resources/human_eval/sheet.js"),
    output:
        RATING_PAGE,
    pathvars:
        job="build_human_eval/all",
    localrule: True
    params:
        **calls("build_human_eval", settings.human_eval_settings, output="<results>/human_eval"),


use rule plain_job as score_human_eval with:
    input:
        PAPER_SCHEMA,
        items_="<results>/human_eval/items.json",
        key="<results>/human_eval/key.json",
        published=own("resources/paper/human_evaluation.yaml"),
        ratings=lambda wildcards: rating_files(config["preset"], PLACES),
        words=WORDS,
    output:
        table_outputs("human_eval"),
        summary=RATING_SUMMARY,
    pathvars:
        job="score_human_eval/all",
    localrule: True
    params:
        **renders("score_human_eval", settings.human_eval_table_settings, tables="<results>/tables"),
