"""What a run needs before it is begun: memory, tokens, operations, hours and disk of every kind of job.

Nothing here was measured on the machine that is planned for. Every number follows from the configuration, the model's
shape and what resources/hardware states.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from common.base.batch_sizes import accumulation_steps
from common.config import settings
from common.config.methods import METHODS
from common.planning.hardware import INTERCONNECTS, Gpu
from common.planning.job_time import (
    Device,
    checkpoint_bytes,
    checkpoint_seconds,
    decoding_seconds,
    exchanged_bytes,
    forward_flops,
    offload_seconds,
    training_flops,
    with_checkpoints,
)
from common.planning.memory import Learnt, Memory, inference_memory, torch_memory, zero3_memory
from common.planning.model_shapes import ModelShape, find_shape
from common.planning.sequence_sizes import sequences
from common.planning.step_memory import step_memory

# Checkpoints on disk at once: two are kept, and a third is being written.
CHECKPOINTS = 3
FP32, BF16 = 4, 2
# Tokens of an answer's own words; most tokens sample_responses decodes at once.
ANSWER_TOKENS, SAMPLE_TOKENS = 4, 8192


@dataclass(frozen=True)
class JobPlan:
    """What one kind of job needs.

    Attributes:
        rule: of the workflow.
        model: name in the configuration.
        count: jobs of this kind.
        gpus: of each job.
        parameters: over all its models.
        memory: on each GPU, or on the CPU.
        tokens: of one job, each seen as often as it is.
        flops: of one job.
        seconds: of one job, by interconnect; None where the GPU type has no such link.
        step_seconds: of one optimizer step on the slowest link there is.
        checkpoint: bytes of one.
        disk: bytes of what the job leaves behind.
        estimated: whether sequence lengths are assumed.
    """

    rule: str
    model: str
    count: int
    gpus: int
    parameters: int
    memory: Memory
    tokens: float
    flops: float
    seconds: Mapping[str, float | None]
    step_seconds: float = 0.0
    checkpoint: float = 0.0
    disk: float = 0.0
    estimated: bool = True

    @property
    def name(self) -> str:
        return f"{self.rule} {self.model}"

    @property
    def host_memory(self) -> float:
        """Bytes of CPU memory."""
        return self.memory.host if self.gpus else self.memory.total

    @property
    def scratch(self) -> float:
        """Bytes of resumable state at most."""
        return CHECKPOINTS * self.checkpoint

    def gpu_hours(self, interconnect: str) -> float | None:
        """GPU-hours of all jobs of this kind."""
        seconds = self.seconds[interconnect]
        return None if seconds is None else self.count * self.gpus * seconds / 3600


class Planner:
    """Plans the jobs of one configuration.

    Args:
        config: the whole configuration, checked.
        gpu: type that is planned for.
        assumed: values of assumptions.yaml.
        results: directory of the preset's results, read for what is known already; it need not exist.
        gpus: GPUs of a rule where a profile says otherwise than the configuration.
        longest: tokens of the longest sequence by method, where it is known better than from counted words.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        gpu: Gpu,
        assumed: Mapping[str, float],
        results: Path,
        gpus: Mapping[str, int] | None = None,
        longest: Mapping[str, int] | None = None,
    ):
        self.config, self.gpu, self.assumed, self.results = config, gpu, assumed, results
        self._gpus, self._longest = gpus or {}, longest or {}
        self._shapes: dict[tuple[str, str], ModelShape] = {}

    def changed(self, config: Mapping[str, Any]) -> "Planner":
        """The same for other settings of the same models."""
        other = Planner(config, self.gpu, self.assumed, self.results, self._gpus, self._longest)
        other._shapes = self._shapes
        return other

    def jobs(self) -> Iterator[JobPlan]:
        """Every kind of job that trains or answers, in the order of the workflow."""
        table = self.config["table3"]
        trained = [method for method in table["methods"] if method != "pretrained"]
        for model in table["models"]:
            yield from (self.supervised(method, model) for method in trained)
        yield self.supervised("rl_sft", self.config["rl"]["actor"])
        yield self.reward()
        yield self.ppo()
        yield self.samples()
        for model in table["models"]:
            yield self.evaluation(model)

    def shape(self, model: str, kind: str = "language") -> ModelShape:
        """A configured model's size."""
        if (model, kind) not in self._shapes:
            self._shapes[model, kind] = find_shape(self.config, model, self.results, kind)
        return self._shapes[model, kind]

    def again(self, job: JobPlan) -> JobPlan:
        """The same job as this planner sees it."""
        single = {"train_reward": self.reward, "train_ppo": self.ppo, "sample_responses": self.samples}
        if job.rule in single:
            return single[job.rule]()
        if job.rule == "evaluate_task":
            return self.evaluation(job.model)
        return self.supervised(job.rule.removeprefix("train_"), job.model)

    # --- devices ----------------------------------------------------------------------------------------------------

    def device(self, rule: str) -> Device:
        """What a rule's jobs run on."""
        compute, prefix = self.config["compute"], "" if rule.startswith("train_") else "evaluation_"
        gpus = self._gpus.get(rule, compute[f"{prefix}gpus"])
        if compute["device"] == "cpu" or gpus == 0:
            return Device(None, compute[f"{prefix}threads"], self.assumed)
        return Device(self.gpu, gpus, self.assumed)

    def _deepspeed(self, device: Device) -> bool:
        """Whether ZeRO-3 is planned for; on a CPU, where it serves tests, plain torch is."""
        return device.gpu is not None and self.config["compute"]["engine"] != "torch"

    def _memory(
        self, device: Device, models: Sequence[Learnt], batch: int, length: int, accumulation: int, cache: float = 0.0
    ) -> Memory:  # fmt: skip
        """Memory of a training job; several trained models keep their activations at the same time."""
        compute = self.config["compute"]
        gpu, deepspeed = device.gpu is not None, self._deepspeed(device)
        keep = not deepspeed and accumulation == 1
        steps = [
            step_memory(
                model.shape.config, model.shape.kind, batch, length, torch.bfloat16 if deepspeed else torch.float32,
                compute["gradient_checkpointing"], gpu, keep,
            )
            for model in models if model.trained
        ]  # fmt: skip
        activations = float(sum(step.kept for step in steps) + max(step.peak - step.kept for step in steps))
        if not deepspeed:
            library = (
                "reserved_gb"
                if gpu
                else "cpu_overhead_gb"
                if sum(model.trained for model in models) == 1
                else "cpu_overhead_ppo_gb"
            )
            activations *= 1 + self.assumed["fragmentation" if gpu else "cpu_fragmentation"]
            return torch_memory(models, activations, accumulation > 1, cache, self.assumed[library] * 1e9)
        return zero3_memory(models, device.count, activations, cache, compute["offload"], self.assumed)

    def _weight_bytes(self, device: Device) -> int:
        return FP32 if device.gpu is None else BF16

    # --- training ---------------------------------------------------------------------------------------------------

    def supervised(self, method: str, model: str) -> JobPlan:
        """Fine-tuning on responses or on pairs of them."""
        training = self.config["methods"][method]["training"]
        return self._trained(method, model, training, self.shape(model))

    def reward(self) -> JobPlan:
        """The reward model."""
        model = self.config["rl"]["reward"]
        training = self.config["methods"]["reward"]["training"]
        return self._trained("reward", model, training, self.shape(model, "reward"))

    def _trained(
        self, method: str, name: str, training: Mapping[str, Any], shape: ModelShape
    ) -> JobPlan:  # fmt: skip
        """A job of TRL's trainers."""
        rule, together = f"train_{method}", METHODS[method].together
        models = [Learnt(shape)] + [Learnt(shape, False)] * METHODS[method].has_reference
        device = self.device(rule)
        data = sequences(self.config, method, training["max_length"], self.results, self.assumed)
        processes = device.count if device.gpu else 1
        accumulation = accumulation_steps(training["global_batch_size"], training["per_device_batch_size"], processes)
        batch = together * training["per_device_batch_size"]
        checkpointing = self.config["compute"]["gradient_checkpointing"]
        steps = training["epochs"] * math.ceil(data.count / training["global_batch_size"])
        tokens = training["epochs"] * data.count * together * data.mean
        looking = forward_flops(shape, data.mean) * METHODS[method].has_reference
        flops = tokens * (training_flops(shape, data.mean, checkpointing) + looking)
        computing = flops * self.assumed["padding"] / device.flops / steps
        return self._job(
            rule, name, device, models, tokens, flops, steps, computing, accumulation, 0.0,
            self._memory(device, models, batch, self._longest.get(method, data.longest), accumulation),
            not data.measured,
        )  # fmt: skip

    def ppo(self) -> JobPlan:
        """Actor, critic, reference and reward model under ZeRO-3, the actor whole on every GPU while it generates."""
        block, rl = self.config["methods"]["ppo"], self.config["rl"]
        actor = self.shape(rl["actor"])
        scorer = self.shape(rl["reward"], "reward")
        models = [Learnt(actor, whole=True), Learnt(scorer), Learnt(actor, False), Learnt(scorer, False)]
        device = self.device("train_ppo")
        data = sequences(self.config, "ppo", block["max_prompt_length"], self.results, self.assumed)
        answer = sequences(self.config, "rl_sft", block["max_new_tokens"], self.results, self.assumed)
        processes = device.count if device.gpu else 1
        accumulation = accumulation_steps(block["global_batch_size"], block["per_device_batch_size"], processes)
        steps = block["epochs"] * math.ceil(data.count / block["global_batch_size"])
        length = self._longest.get("ppo", data.longest + block["max_new_tokens"])
        mean = data.mean + answer.mean
        tokens = block["epochs"] * data.count * mean
        checkpointing = self.config["compute"]["gradient_checkpointing"]
        updates = block["updates_per_rollout"]
        learning = sum(training_flops(model.shape, mean, checkpointing) for model in models if model.trained)
        looking = forward_flops(actor, mean) * 2 + forward_flops(scorer, mean)
        flops = tokens * (updates * learning + looking)
        width = self._weight_bytes(device)
        episodes = block["global_batch_size"] // processes
        one = Device(device.gpu, 1 if device.gpu else device.count, self.assumed)
        generation = decoding_seconds(actor, one, block["max_new_tokens"], 1, width)
        cache = float(episodes * length * actor.cache_width * width)
        computing = flops * self.assumed["padding"] / device.flops / steps
        return self._job(
            "train_ppo", rl["actor"], device, models, tokens, flops, steps, computing,
            accumulation * updates, generation,
            self._memory(device, models, block["per_device_batch_size"], length, accumulation, cache),
            not data.measured,
        )  # fmt: skip

    def _job(
        self, rule: str, name: str, device: Device, models: Sequence[Learnt], tokens: float, flops: float, steps: int,
        computing: float, micro_steps: int, generation: float, memory: Memory, estimated: bool,
    ) -> JobPlan:  # fmt: skip
        """Put a training job together from what one optimizer step takes."""
        deepspeed = self._deepspeed(device)
        exchanged = exchanged_bytes(models, device.count) if deepspeed else 0.0
        whole = sum(BF16 * model.shape.parameters for model in models if model.whole) if deepspeed else 0
        waiting = offload_seconds(models, device, micro_steps, self.config["compute"]["offload"]) if deepspeed else 0.0
        shortest = micro_steps * self.assumed["training_step_seconds"] if deepspeed else 0.0
        step = {
            link: None if rate is None
            else max(computing, shortest, (micro_steps * exchanged + whole) / rate) + generation + waiting
            for link, rate in device.links().items()
        }  # fmt: skip
        size, every = checkpoint_bytes(models, deepspeed), self.config["compute"]["checkpoint_seconds"]
        seconds = {
            link: None if one is None else with_checkpoints(steps * one, size, every, self.assumed)
            for link, one in step.items()
        }
        left = models[0].shape.parameters * self._weight_bytes(device)
        return JobPlan(
            rule, name, 1, device.count if device.gpu else 0, sum(model.shape.parameters for model in models), memory,
            tokens, flops, seconds, max(one for one in step.values() if one is not None), size, float(left), estimated,
        )  # fmt: skip

    # --- answers ----------------------------------------------------------------------------------------------------

    def evaluation(self, model: str) -> JobPlan:
        """Answers of all checkpoints of one model: a job a checkpoint and task, those of the marker table included."""
        block, table = self.config["evaluation"], self.config["table3"]
        question = self.assumed["tokens_per_word"] * self.assumed["words_question"]
        items = block["items"] or self.assumed["items_per_task"]
        runs = len(settings.draws(self.config))
        count = (len(table["methods"]) + len(settings.crossed_pairs(self.config))) * len(table["tasks"])
        answer = block["extra_tokens"] + ANSWER_TOKENS
        job = self._answers("evaluate_task", model, count, items * runs, question, answer, block["batch_tokens"])
        return self._with_precision_check(job, runs, question, answer) if job.gpus else job

    def _with_precision_check(self, job: JobPlan, runs: int, question: float, answer: int) -> JobPlan:
        """Some items a draw are answered again in fp32: on the GPU where that model leaves a fifth of it free, else on
        the CPU, whose memory then holds it."""
        count = self.config["evaluation"]["precision_check_items"]
        if not count or self.config["evaluation"]["dtype"] == "float32":
            return job
        shape, size = self.shape(job.model), FP32 * job.parameters
        on_gpu = size < 0.8 * self.gpu.memory_gb * 1e9
        threads = self.config["compute"]["evaluation_threads"]
        device = Device(self.gpu, 1, self.assumed) if on_gpu else Device(None, threads, self.assumed)
        tokens = runs * count * (question + answer)
        seconds = tokens * forward_flops(shape, question + answer) / device.flops
        seconds += decoding_seconds(shape, device, answer, runs, FP32) + size / (self.assumed["disk_read_gb_s"] * 1e9)
        longer = {link: None if value is None else value + seconds for link, value in job.seconds.items()}
        parts = job.memory.parts if not on_gpu or job.memory.total > size else {"weights in fp32": float(size)}
        memory = Memory(parts, 0.0 if on_gpu else float(size), job.memory.moment)
        return replace(job, seconds=longer, memory=memory)

    def samples(self) -> JobPlan:
        """Responses of two stages of the RL arm to the held-out prompts."""
        actor = self.config["rl"]["actor"]
        data = sequences(self.config, "ppo", self.actor_context(), self.results, self.assumed)
        prompts, answer = self.config["splits"]["heldout"], self.config["table4"]["max_new_tokens"]
        return self._answers("sample_responses", actor, 2, prompts, data.mean, answer, SAMPLE_TOKENS)

    def actor_context(self) -> int:
        shape = self.shape(self.config["rl"]["actor"])
        return int(shape.config.max_position_embeddings)

    def _answers(
        self, rule: str, model: str, count: int, requests: float, prompt: float, answer: int, batch_tokens: int
    ) -> JobPlan:
        """A job that answers prompts of so many tokens in batches of at most `batch_tokens`."""
        device, shape = self.device(rule), self.shape(model)
        single = rule == "evaluate_task" and self.config["evaluation"]["dtype"] == "float32"
        width = FP32 if single else self._weight_bytes(device)
        rows = min(requests, max(1, batch_tokens // math.ceil(prompt + answer)))
        tokens = requests * (prompt + answer)
        flops = tokens * forward_flops(shape, prompt + answer)
        seconds = flops / device.flops + width * shape.parameters / (self.assumed["disk_read_gb_s"] * 1e9)
        seconds += decoding_seconds(shape, device, answer, math.ceil(requests / rows), width)
        cache = float(rows * (prompt + answer) * shape.cache_width * width)
        reserved = 1e9 * self.assumed["reserved_gb" if device.gpu else "cpu_overhead_gb"]
        fragmentation = self.assumed["fragmentation"] if device.gpu else 0.0
        memory = inference_memory(shape, width, cache, fragmentation, reserved)
        return JobPlan(
            rule, model, count, device.count if device.gpu else 0, shape.parameters, memory, tokens, flops,
            dict.fromkeys(INTERCONNECTS, seconds),
        )  # fmt: skip


@dataclass(frozen=True)
class DiskPlan:
    """Bytes on disk at most."""

    base_models: float
    trained_models: float
    resumable_state: float

    @property
    def total(self) -> float:
        return self.base_models + self.trained_models + self.resumable_state


def disk_bytes(planner: Planner, jobs: Sequence[JobPlan], together: bool) -> DiskPlan:
    """Downloads and prepared models (fp16 on the hub, fp32 for small models), trained models, resumable state.

    Args:
        planner: of the configuration.
        jobs: its plan.
        together: whether a scheduler runs every training that waits for no other at the same time; else one runs.
    """
    config = planner.config
    per_weight = {"hub": 2 * BF16, "local": BF16, "wheel": FP32 + 1, "random": FP32}
    names = {*config["table3"]["models"], *config["rl"].values()}
    base = sum(planner.shape(name).parameters * per_weight[config["models"][name]["source"]["kind"]] for name in names)
    trained, scratch = sum(job.count * job.disk for job in jobs), [job.scratch for job in jobs]
    independent = [job.scratch for job in jobs if job.rule not in ("train_ppo", "train_dpo")]
    return DiskPlan(float(base), trained, max(sum(independent) if together else 0.0, *scratch))


def needed_lead(job: JobPlan, assumed: Mapping[str, float]) -> float:
    """Seconds between SIGTERM and SIGKILL a job needs: the step that is under way, then its checkpoint."""
    return job.step_seconds + checkpoint_seconds(job.checkpoint, assumed)
