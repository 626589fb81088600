"""Tiny random models with the tokenizers of their families."""

from pathlib import Path

from common.models.loading import save_model
from common.models.sources import from_random
from common.models.tokenizer_fit import separate_padding

FAMILIES = {
    "llama": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
              "num_key_value_heads": 2, "max_position_embeddings": 1024, "tie_word_embeddings": False,
              "initializer_range": 0.1},
    "opt": {"hidden_size": 32, "ffn_dim": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "dropout": 0.0,
            "word_embed_proj_dim": 16, "do_layer_norm_before": False, "max_position_embeddings": 1024, "init_std": 0.2},
}  # fmt: skip


# Embedding, head and MLP have more elements than DeepSpeed leaves whole on every process (1e5): ZeRO-3 parts them.
WIDE = {
    "llama": {**FAMILIES["llama"], "hidden_size": 128, "intermediate_size": 1024},
    "opt": {**FAMILIES["opt"], "hidden_size": 128, "ffn_dim": 1024, "word_embed_proj_dim": 64},
}  # fmt: skip


def build_models(configs: dict[str, dict], vocabulary: int, corpus: list[str], folder: Path) -> dict[str, Path]:
    """A saved random model of each family."""
    folders = {}
    for family, config in configs.items():
        source = {"architecture": family, "vocabulary": vocabulary, "config": config}
        model, tokenizer = from_random(source, corpus, seed=3)
        separate_padding(model, tokenizer)
        folders[family] = folder / family
        save_model(model, tokenizer, folders[family])
    return folders
