"""What jobs that answer prompts need: the evaluation of checkpoints, and responses of the RL arm."""

import math
import os
from collections.abc import Sequence
from dataclasses import replace

from common.config import settings
from common.config.machine_settings import job_threads
from common.config.selection import evaluated, sampled, table5_models
from common.planning.basis import FP32, Basis, weight_bytes
from common.planning.hardware import INTERCONNECTS
from common.planning.job_plan import JobPlan
from common.planning.job_time import Device, decoding_seconds, forward_flops
from common.planning.memory import Memory, inference_memory
from common.planning.sequence_sizes import sequences

# Tokens of an answer's own words; most tokens sample_responses decodes at once.
ANSWER_TOKENS, SAMPLE_TOKENS = 4, 8192


def evaluation_jobs(basis: Basis, model: str, shots: Sequence[int] | None = None) -> JobPlan:
    """Answers of all checkpoints of one model: a job per checkpoint and marker, those of the marker table included.

    Args:
        basis: of the plan.
        model: name in the configuration.
        shots: numbers of in-context examples asked with; those of Table 3 without it.
    """
    block, table = basis.config["evaluation"], basis.config["table3"]
    own = sum(name == model for name, _ in evaluated(basis.config))
    crossed = len(settings.crossed_pairs(basis.config)) * (model in table["models"])
    question = basis.assumed["tokens_per_word"] * basis.assumed["words_question"]
    items = block["items"] or basis.assumed["items_per_task"]
    runs = len(settings.draws(basis.config, shots)) * len(table["tasks"])
    answer = block["extra_tokens"] + ANSWER_TOKENS
    job = _answering_job(
        basis, "evaluate_task", model,
        count=own + crossed, requests=items * runs,
        prompt=question, answer=answer, batch_tokens=block["batch_tokens"],
    )  # fmt: skip
    return _with_precision_check(basis, job, runs, question, answer=answer) if job.gpus else job


def sampling_jobs(basis: Basis, model: str) -> JobPlan:
    """Responses of checkpoints of one model to the held-out prompts; for Table 5 each prompt is answered twice."""
    context, methods = basis.shape(model).context, [method for name, method in sampled(basis.config) if name == model]
    twice = model in table5_models(basis.config)
    data = sequences(basis.config, "ppo", limit=context, results=basis.results, assumed=basis.assumed)
    return _answering_job(
        basis, "sample_responses", model, count=len(methods), requests=(1 + twice) * basis.config["splits"]["heldout"],
        prompt=data.mean,
        answer=basis.config["table4"]["max_new_tokens"], batch_tokens=SAMPLE_TOKENS,
    )  # fmt: skip


def _with_precision_check(basis: Basis, job: JobPlan, runs: int, question: float, answer: int) -> JobPlan:
    """Some items a draw are answered again in fp32: on the GPU where that model leaves a fifth of it free, else on
    the CPU, whose memory then holds it."""
    count, assumed = basis.config["evaluation"]["precision_check_items"], basis.assumed
    if not count or basis.config["evaluation"]["dtype"] == "float32":
        return job
    shape, size = basis.shape(job.model), FP32 * job.parameters
    on_gpu = size < 0.8 * basis.gpu.memory_gb * 1e9
    threads = job_threads(basis.config["compute"]["evaluation_threads"], os.cpu_count())
    device = Device(basis.gpu, 1, assumed) if on_gpu else Device(None, threads, assumed)
    tokens = runs * count * (question + answer)
    seconds = tokens * forward_flops(shape, question + answer) / device.flops
    decoding = decoding_seconds(shape, device, tokens=answer, batches=runs, bytes_per_weight=FP32)
    seconds += decoding + size / (assumed["disk_read_gb_s"] * 1e9)
    longer = {link: None if value is None else value + seconds for link, value in job.seconds.items()}
    parts = job.memory.parts if not on_gpu or job.memory.total > size else {"weights in fp32": float(size)}
    memory = Memory(parts, 0.0 if on_gpu else float(size), job.memory.moment)
    return replace(job, seconds=longer, memory=memory)


def _answering_job(
    basis: Basis, rule: str, model: str, count: int, requests: float, prompt: float, answer: int, batch_tokens: int
) -> JobPlan:
    """A job that answers `requests` prompts of so many tokens in batches of at most `batch_tokens`."""
    device, shape, assumed = basis.device(rule), basis.shape(model), basis.assumed
    single = rule == "evaluate_task" and basis.config["evaluation"]["dtype"] == "float32"
    width = FP32 if single else weight_bytes(device)
    rows = min(requests, max(1, batch_tokens // math.ceil(prompt + answer)))
    tokens = requests * (prompt + answer)
    flops = tokens * forward_flops(shape, prompt + answer)
    seconds = flops / device.answering_flops + width * shape.parameters / (assumed["disk_read_gb_s"] * 1e9)
    seconds += decoding_seconds(
        shape, device, tokens=answer, batches=math.ceil(requests / rows), bytes_per_weight=width
    )
    # On a CPU the weights are held once more, packed.
    memory = inference_memory(
        shape, width if device.gpu else 2 * width, cache=float(rows * (prompt + answer) * shape.cache_width * width),
        fragmentation=assumed["fragmentation"] if device.gpu else 0.0,
        reserved=1e9 * assumed["reserved_gb" if device.gpu else "cpu_overhead_gb"],
    )  # fmt: skip
    return JobPlan(
        rule=rule, model=model, count=count, gpus=device.count if device.gpu else 0, parameters=shape.parameters,
        memory=memory, tokens=tokens, flops=flops, seconds=dict.fromkeys(INTERCONNECTS, seconds),
    )  # fmt: skip
