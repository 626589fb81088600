"""The published numbers: audited by themselves, compared with ours, and checked against the paper's claims."""


use rule plain_job as audit_paper with:
    input:
        PAPER_FILES,
    output:
        check_outputs("audit", "Audit of the published tables"),
    pathvars:
        job="audit_paper/all",
    localrule: True
    params:
        **calls("audit_paper", no_settings, paper=PAPER, output="<results>/report"),


use rule plain_job as compare_tables with:
    input:
        PAPER_FILES,
        table3="<results>/tables/table3.csv",
        hyper_parameters=expand("<results>/tables/{name}_cells.csv", name=["table1", "table2"]),
        words=WORDS,
    output:
        table_outputs("comparison"),
    pathvars:
        job="compare_tables/all",
    localrule: True
    params:
        **renders_table("compare_tables", settings.comparison_settings, paper=PAPER),


use rule plain_job as check_claims with:
    input:
        PAPER_FILES,
        table3="<results>/tables/table3.csv",
        paired=(["<results>/tables/paired.csv"] if len(METHODS) > 1 else []),
        table5=(["<results>/tables/table5.csv"] if TABLE5_ROWS else []),
        samples=STAGE_SAMPLES,
        ratings=RATING_SUMMARY,
    output:
        check_outputs("claims", "Claims of the paper"),
    pathvars:
        job="check_claims/all",
    localrule: True
    params:
        **calls("check_claims", settings.published_settings, paper=PAPER, output="<results>/report"),
