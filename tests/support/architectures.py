"""A tiny random model of every architecture that transformers builds from numbers alone."""

from typing import Any

from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel, set_seed

VOCABULARY = 300
# Sizes by the names that configurations give them; each takes those it knows.
_SIZES: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "embedding_size"), 64),
    **dict.fromkeys(
        ("intermediate_size", "ffn_hidden_size", "decoder_ffn_dim", "dff", "intermediate_size_mlp", "d_inner"), 128
    ),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers", "encoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "num_key_value_heads", "n_head", "n_heads", "num_heads"), 4),
    **dict.fromkeys(("decoder_attention_heads", "num_experts", "num_local_experts", "n_routed_experts"), 4),
    **dict.fromkeys(("moe_num_experts", "linear_num_value_heads", "mamba_n_heads"), 4),
    "mamba_d_ssm": 128,
    "attention_hidden_size": 64,
    **dict.fromkeys(("num_experts_per_tok", "index_n_heads", "linear_num_key_heads", "moe_topk", "moe_k"), 2),
    **dict.fromkeys(("n_group", "topk_group", "n_shared_experts", "num_shared_experts", "moe_num_shared_experts"), 1),
    **dict.fromkeys(("first_k_dense_replace", "mamba_n_groups"), 1),
    **dict.fromkeys(
        ("head_dim", "q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "v_head_dim", "index_head_dim"), 16
    ),
    **dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim", "mamba_d_state", "mamba_chunk_size"), 16),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "mamba_d_head"), 32),
    **dict.fromkeys(("qk_rope_head_dim", "rotary_dim", "state_size"), 8),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "max_seq_len"), 512),
    **dict.fromkeys(("sliding_window", "local_attention", "attention_chunk_size", "index_topk"), 64),
    **dict.fromkeys(("initializer_range", "init_std"), 0.15),  # so that every token counts
}
_OFFSET = {"max_position_embeddings": 520}  # positions begin behind the padding id
_ROPE = {"rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 96}
_BANDS = {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
_LONG = {"short_factor": [1.0] * 8, "long_factor": [4.0] * 8}
# What an architecture needs beside, by its name; behind a colon, a form of it that computes otherwise.
_MORE: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1], "layer_types": None},
    "bert:decoder": {"is_decoder": True},
    **dict.fromkeys(("camembert", "data2vec-text", "roberta", "roberta-prelayernorm"), _OFFSET),
    **dict.fromkeys(("xlm-roberta", "xlm-roberta-xl"), _OFFSET),
    "cpmant": {"dim_head": 16, "dim_ff": 128},
    "deepseek_v2": {"n_group": 1, "topk_group": 1, "num_experts_per_tok": 2},
    "deepseek_v3": {"head_dim": 8},
    "falcon:alibi": {"alibi": True},
    "gemma4_text": {"vocab_size_per_layer_input": VOCABULARY},
    "gpt2:inverse": {"scale_attn_by_inverse_layer_idx": True},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": 32, "layer_types": None},
    "granite:scaled": {"logits_scaling": 2.0},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"], "num_local_experts": 0},
    **dict.fromkeys(("hunyuan_v1_dense", "hunyuan_v1_moe"), {"head_dim": 16}),
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1,
              "mamba_dt_rank": 8, "use_mamba_kernels": False, "layer_types": None},
    "lfm2": {"layer_types": ["conv", "full_attention"], "block_multiple_of": 16},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "llama:dynamic": {"rope_parameters": {**_ROPE, "rope_type": "dynamic"}},
    "llama:llama3": {"rope_parameters": {**_ROPE, **_BANDS, "rope_type": "llama3"}},
    "llama:yarn": {"rope_parameters": {**_ROPE, "rope_type": "yarn"}},
    "mamba2": {"num_heads": 8, "n_groups": 1, "chunk_size": 16},
    "minimax": {"layer_types": ["linear_attention", "full_attention"], "block_size": 16},
    "mistral": {"sliding_window": None},
    "modernbert-decoder": {"num_hidden_layers": 4, "layer_types": None},
    "nemotron": {"head_dim": 16, "num_key_value_heads": 2},
    "nemotron_h": {"hybrid_override_pattern": "M*-", "num_hidden_layers": 3, "mamba_num_heads": 8, "mamba_head_dim": 16,
                   "n_groups": 1, "ssm_state_size": 16, "chunk_size": 16, "layer_types": None},
    "olmo_hybrid": {"layer_types": ["linear_attention", "full_attention"]},
    "phi3:longrope": {"rope_parameters": {**_ROPE, "rope_type": "longrope", **_LONG}, "sliding_window": None,
                      "original_max_position_embeddings": 96},
    "recurrent_gemma": {"num_hidden_layers": 3, "num_key_value_heads": 1, "intermediate_size": 192, "lru_width": 64,
                        "attention_window_size": 64, "layer_types": None},
    "xlstm": {"num_blocks": 2},
}  # fmt: skip
_NAMES = """
afmoe apertus arcee aria_text axk2 bamba bart beam bert bert-generation bert:decoder big_bird bigbird_pegasus biogpt
bitnet blenderbot blenderbot-small bloom camembert codegen cohere cohere2 cpmant ctrl cwm data2vec-text
deepseek_v2 deepseek_v3 deepseek_v4 diffllama doge electra ernie ernie4_5 ernie4_5_moe exaone4 falcon falcon:alibi
falcon_h1 falcon_mamba flex_olmo gemma gemma2 gemma3_text gemma4_text glm glm4 glm4_moe glm4_moe_lite glm_moe_dsa
gpt2 gpt2:inverse gpt_bigcode gpt_neo gpt_neox gpt_neox_japanese gpt_oss gptj granite granite:scaled
granite_swa granitemoe granitemoe_swa granitemoehybrid granitemoeshared helium hunyuan_v1_dense hunyuan_v1_moe hy_v3
hy_v4 hyperclovax inkling2_text inkling_text internlm3 jais2 jamba jetmoe kolibri1 lfm2 lfm2_moe lfm3 llama
llama4_text llama:dynamic llama:llama3 llama:yarn mamba mamba2 marian mbart megatron-bert mellum minicpm3 minimax
minimax_m2 minimax_m3_vl_text ministral3 mistral mistral:window mixtral modernbert-decoder mpt mvp nanochat nemotron
nemotron_h olmo olmo2 olmo3 olmo_hybrid olmoe openai-gpt opt pegasus persimmon phi phi3 phi3:longrope phimoe plbart
qwen2 qwen2_moe qwen3 qwen3_5_text qwen3_moe qwen3_next recurrent_gemma rembert roberta roberta-prelayernorm
roc_bert roformer rwkv seed_oss smollm3 stablelm starcoder2 vaultgemma xglm xlm-roberta xlm-roberta-xl xlnet xlstm
"""
ARCHITECTURES = tuple(_NAMES.split())


class Ids:
    """What the check and the generators need of a tokenizer, for a vocabulary without words."""

    eos_token_id = 2
    all_special_ids = (0, 1, 2, 3)

    def get_vocab(self) -> dict[str, int]:
        return {str(i): i for i in range(VOCABULARY)}

    def decode(self, tokens: list[int], **options: Any) -> str:
        return " ".join(map(str, tokens))


def configuration(name: str, **values: Any) -> PretrainedConfig:
    """A tiny one of the architecture, with a layer of each type it has."""
    kind = name.split(":")[0]
    usual = AutoConfig.for_model(kind)
    known = usual.to_dict()
    chosen = {key: value for key, value in _SIZES.items() if known.get(key) is not None}
    types = list(dict.fromkeys(getattr(usual, "layer_types", None) or []))
    if len(types) > 1:
        chosen |= {"layer_types": types, "num_hidden_layers": len(types)}
    more = {**_MORE.get(name, {}), **values}
    if more.get("layer_types", types) is None:
        chosen = {key: value for key, value in chosen.items() if key != "layer_types"}
        chosen["num_hidden_layers"] = _SIZES["num_hidden_layers"]
        more.pop("layer_types")
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3}
    return AutoConfig.for_model(kind, **{"vocab_size": VOCABULARY, **chosen, **ids, **more})


def build(name: str, **values: Any) -> PreTrainedModel:
    """The model of one of ARCHITECTURES, drawn anew in the same way each time; `values` change its configuration."""
    set_seed(1)
    return AutoModelForCausalLM.from_config(configuration(name, **values))
