"""Whether the machine that will train has what the run needs, checked before anything is spent."""


# Runs where training jobs run, with the GPUs they ask for. A newer file of pins or hardware must not train anything again.
use rule plain_job as check_machine with:
    input:
        ancient(HARDWARE_FILES),
    output:
        output="<results>/report/machine.json",
    pathvars:
        job="check_machine/all",
    retries: 0  # what it finds does not heal
    conda:
        "../envs/train.yaml"
    resources:
        **ASKED.checking,
    params:
        **calls("check_machine", machine_settings, "gpu", results="<results>"),
