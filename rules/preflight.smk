"""Whether the machine that will train has what the run needs, asked before anything is spent."""

from common.config.machine_settings import machine_settings


rule check_machine:
    """Runs where training jobs run, with the GPUs they ask for."""
    output:
        "<results>/report/machine.json",
    log:
        "<results>/logs/check_machine/all.log",
    benchmark:
        "<results>/benchmarks/check_machine/all.tsv"
    conda:
        "../envs/train.yaml"
    threads: 1
    resources:
        gpu=config["compute"]["gpus"],
        mem_mb=4000,
    params:
        settings=canonical_json(machine_settings(config)),
        code=script_digest("check_machine.py"),
        results=subpath(output[0], ancestor=2),
    shell:
        "exec python scripts/check_machine.py --settings {params.settings:q} --gpus {resources.gpu}"
        " --results {params.results:q} --output {output:q} --log {log:q}"
