"""Tables rendered from scores, models and samples, and the cells of all of them."""


use rule plain_job as render_table1 with:
    input:
        TRAINED_MODELS,
        words=WORDS,
    output:
        table_outputs("table1"),
    pathvars:
        job="render_table1/all",
    localrule: True
    params:
        **renders_table("render_table1", settings.table1_settings, models="<results>/models"),


use rule plain_job as render_table2 with:
    input:
        RL_MODELS,
        words=WORDS,
    output:
        table_outputs("table2"),
    pathvars:
        job="render_table2/all",
    localrule: True
    params:
        **renders_table("render_table2", settings.table4_settings, models="<results>/models"),


use rule plain_job as render_table3 with:
    input:
        grid_scores(TABLE3_ROWS),
        TASK_SUMMARIES,
        TRAINED_MODELS,
        words=WORDS,
    output:
        table_outputs("table3"),
    pathvars:
        job="render_table3/all",
    localrule: True
    params:
        **renders_table("render_table3", settings.table3_settings, eval="<results>/eval", models="<results>/models"),


use rule plain_job as render_table4 with:
    input:
        PAPER_SCHEMA,
        samples=STAGE_SAMPLES,
        reward=f"<results>/models/{REWARD}/reward",
        published=own("resources/paper/table4.yaml"),
        words=WORDS,
    output:
        table_outputs("table4"),
    pathvars:
        job="render_table4/all",
    localrule: True
    params:
        **renders_table("render_table4", settings.table4_settings),


use rule plain_job as render_sensitivity with:
    input:
        grid_scores(TABLE3_ROWS),
        TASK_SUMMARIES,
        words=WORDS,
    output:
        table_outputs("sensitivity"),
    pathvars:
        job="render_sensitivity/all",
    localrule: True
    params:
        **renders_table("render_sensitivity", settings.sensitivity_settings, eval="<results>/eval"),


use rule render_sensitivity as render_paired with:
    output:
        table_outputs("paired"),
    pathvars:
        job="render_paired/all",
    localrule: True
    params:
        **renders_table("render_paired", settings.sensitivity_settings, eval="<results>/eval"),


use rule plain_job as render_markers with:
    input:
        marker_table_scores(),
        TASK_SUMMARIES,
        words=WORDS,
    output:
        table_outputs("markers"),
    pathvars:
        job="render_markers/all",
    localrule: True
    params:
        **renders_table("render_markers", settings.marker_settings, results="<results>"),


use rule plain_job as render_table5 with:
    input:
        grid_scores(TABLE5_ROWS),
        TASK_SUMMARIES,
        expand("<results>/samples/{pair}.parquet", pair=map("/".join, TABLE5_ROWS)),
        REWARD_MODELS,
        RATING_SUMMARY,
        words=WORDS,
    output:
        table_outputs("table5"),
    pathvars:
        job="render_table5/all",
    localrule: True
    params:
        **renders_table("render_table5", one_base_settings.table5_settings, results="<results>"),


use rule plain_job as render_costs with:
    input:
        COMPARED_MODELS,
        expand("<results>/data/splits/{split}.parquet", split=one_base_settings.learnt_splits(config)),
        words=WORDS,
    output:
        table_outputs("costs"),
    pathvars:
        job="render_costs/all",
    localrule: True
    params:
        **renders_table(
            "render_costs", one_base_settings.costs_settings, models="<results>/models", splits="<results>/data/splits"
        ),


use rule plain_job as collect_cells with:
    input:
        cells=CELLS,
    output:
        output=ALL_CELLS,
    pathvars:
        job="collect_cells/all",
    localrule: True
    params:
        **calls("collect_cells", no_settings),
