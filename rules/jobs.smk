"""What the jobs of all rules share: a rule says `use rule plain_job as NAME with`, or `launched_job` with a model, and names

pathvars  job="NAME/all": folder and name of its log and benchmark; with wildcards "{model}" in the place of `all`
input     named files become options, `words=path` is `--words path`; unnamed ones are read through a folder; output likewise
params    **calls(...): script, settings, options; a launched job also `scratch`, where it keeps what it resumes from
"""


rule plain_job:
    log:
        "<results>/logs/<job>.log",
    benchmark:
        "<results>/benchmarks/<job>.tsv"
    pathvars:
        job="plain_job/all",
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        **ASKED.plain(mem_mb=2000),
    params:
        **START,
    shell:
        "exec {params.python} {params.scripts:q}/{params.script} --settings {params.settings:q} {params.options} --log {log:q}"


rule launched_job:
    log:
        "<results>/logs/<job>.log",
    benchmark:
        "<results>/benchmarks/<job>.tsv"
    pathvars:
        job="launched_job/all",
    conda:
        "../envs/evaluate.yaml"
    threads: ASKED.answering_threads
    resources:
        **ASKED.answering,
    params:
        **START,
        further="",
    shell:
        "exec {params.python} {params.scripts:q}/launch.py --gpus {resources.gpu} --device {resources.device} --threads {threads}"
        " --processes {resources.processes} --nodes {resources.nodes} --stop-lead {resources.stop_lead}"
        " {params.scripts:q}/{params.script} --settings {params.settings:q} {params.options} {params.further}"
        " --scratch {params.scratch:q} --log {log:q}"
