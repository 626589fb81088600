"""The tokenizer of a base model, made fit for every job before it is stored: vocabulary, end of text, padding.

Training, PPO, evaluation and the sample responses read the stored one: what is put right here is right in all of them.
"""

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, processors
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerFast

from common.base.errors import UserError

# Texts that must, and that should, come back from encoding and decoding.
ENGLISH = 'The quick brown fox; isn\'t it 42 + 17 = 59? (Yes: "no" & a-b_c/d @home #1, 50% more!)'
KOREAN = "다음 문장을 읽고 답하세요."
# Vocabularies above this size hold words, not only characters.
CHARACTERS = 1000
# Tokens that end a text in tokenizers that do not say so.
ENDS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|im_end|>", "[EOS]")


def fit_tokenizer(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, where: str) -> list[str]:
    """Make sure that a tokenizer serves its model, and set EOS and padding in both.

    Args:
        model: as loaded.
        tokenizer: as loaded; its EOS, padding and template may change.
        where: what both were made from, for messages.

    Returns:
        What was changed or is worth knowing, a sentence each.

    Raises:
        UserError: when it has no usable vocabulary, no EOS, or ids that the model has no embedding for.
    """
    if not tokenizer.is_fast:
        remedy = "store it as tokenizer.json, for example with a converter of transformers"
        raise UserError(f"{type(tokenizer).__name__} tells no offsets, which training needs", where, remedy)
    check_vocabulary(tokenizer, where)
    notes = []
    if not _comes_back(tokenizer, KOREAN):
        notes.append("the tokenizer loses Korean text: what it does not know becomes an unknown token")
    if not _reads_as_its_file(tokenizer):
        notes.append(f"{type(tokenizer).__name__} of transformers splits texts otherwise than tokenizer.json says")
    notes += set_eos(model, tokenizer, where)
    if removed := append_nothing(tokenizer):
        notes.append(f"the tokenizer put {' '.join(removed)} behind every text; it no longer does")
    check_ids(tokenizer, _rows(model), where)
    given = tokenizer.pad_token
    separate_padding(model, tokenizer)
    if tokenizer.pad_token != given:
        named = f"padding with {given}, which ends texts" if given else "no padding token"
        notes.append(f"the tokenizer names {named}; {tokenizer.pad_token} is taken for it")
    return notes


def check_vocabulary(tokenizer: PreTrainedTokenizerFast, where: str) -> None:
    """Refuse a tokenizer that loses plain English.

    Raises:
        UserError: naming how many tokens it has and what comes back.
    """
    remedy = "copy the tokenizer's files (tokenizer.json, or vocabulary and merges) of this model into the directory"
    if not _comes_back(tokenizer, ENGLISH):
        back = tokenizer.decode(_encode(tokenizer, ENGLISH))[:60]
        what = (
            f"the tokenizer has {len(tokenizer)} tokens and loses plain English: {ENGLISH[:19]!r}... becomes {back!r}"
        )
        raise UserError(what, where, remedy)
    if len(tokenizer) > CHARACTERS and len(_encode(tokenizer, ENGLISH)) > 0.9 * len(ENGLISH):
        what = (
            f"the tokenizer has {len(tokenizer)} tokens but splits every word into characters: its merges are missing"
        )
        raise UserError(what, where, remedy)


def _encode(tokenizer: PreTrainedTokenizerFast, text: str, whole: bool = False) -> list[int]:
    """Token ids of a text, with what the tokenizer adds to a whole one or without."""
    ids: list[int] = tokenizer(text, add_special_tokens=whole, split_special_tokens=True)["input_ids"]
    return ids


def _comes_back(tokenizer: PreTrainedTokenizerFast, text: str) -> bool:
    """Whether decoding gives a text back, but for case and spaces."""
    ids = _encode(tokenizer, text)
    back = str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))
    same = "".join(back.split()).casefold() == "".join(text.split()).casefold()
    return same and tokenizer.unk_token_id not in ids


def _reads_as_its_file(tokenizer: PreTrainedTokenizerFast) -> bool:
    """Whether transformers' class for this kind of model splits texts as the tokenizer's own file says."""
    file = Path(tokenizer.name_or_path) / "tokenizer.json"
    if not file.is_file():
        return True
    stored = Tokenizer.from_file(str(file))
    return all(
        stored.encode(text, add_special_tokens=False).ids == _encode(tokenizer, text) for text in (ENGLISH, KOREAN)
    )


def set_eos(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, where: str) -> list[str]:
    """Give a tokenizer without EOS the token that ends its texts; a note if it had none.

    Raises:
        UserError: when nothing in it can be taken for one.
    """
    if tokenizer.eos_token:
        return []
    vocabulary = tokenizer.get_vocab()
    special = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    named = [tokenizer.convert_ids_to_tokens(i) for i in _eos_ids(model) if i in vocabulary.values()]
    candidates = [*(token for token in named if token in special), tokenizer.sep_token, *ENDS]
    found = next((token for token in candidates if token and token in vocabulary), None)
    if found is None:
        remedy = "set `eos_token` in the model's tokenizer_config.json to the token that ends its texts"
        raise UserError("the tokenizer has no EOS, so that no response could end", where, remedy)
    tokenizer.eos_token = found
    return [f"the tokenizer has no EOS; {found} is taken for it"]


def _eos_ids(model: PreTrainedModel) -> list[int]:
    """What the model's configurations call EOS."""
    values = [getattr(config, "eos_token_id", None) for config in (model.generation_config, model.config)]
    return [i for value in values for i in (value if isinstance(value, list) else [value]) if isinstance(i, int)]


def append_nothing(tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """Take off what the tokenizer puts behind every text, such as EOS: a prompt goes on. What it puts before stays.

    Returns:
        The tokens it put there.
    """
    text = "prompt"
    bare, whole = _encode(tokenizer, text), _encode(tokenizer, text, whole=True)
    start = next((i for i in range(len(whole)) if whole[i : i + len(bare)] == bare), 0)
    before, behind = (tokenizer.convert_ids_to_tokens(ids) for ids in (whole[:start], whole[start + len(bare) :]))
    if behind:
        template = " ".join([*before, "$A"])
        known = [(token, tokenizer.convert_tokens_to_ids(token)) for token in dict.fromkeys(before)]
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(template, f"{template} $B:1", known)
    return list(behind)


def _rows(model: PreTrainedModel) -> int:
    """Tokens the model has an embedding for, going in and coming out."""
    layers: list[Any] = [model.get_input_embeddings(), model.get_output_embeddings()]
    return min(len(layer.weight) for layer in layers if layer is not None)


def check_ids(tokenizer: PreTrainedTokenizerFast, rows: int, where: str) -> None:
    """Refuse a tokenizer with more ids than the model has embeddings, or with far fewer.

    Args:
        tokenizer: of the model.
        rows: of the model's embeddings.
        where: the model's directory, for the message.

    Raises:
        UserError: naming a token and both numbers.
    """
    vocabulary = tokenizer.get_vocab()
    token, largest = max(vocabulary.items(), key=lambda item: item[1])
    if largest >= rows:
        what = f"the tokenizer's {token!r} has id {largest}, the model's embeddings have {rows} rows"
        remedy = "call `model.resize_token_embeddings(len(tokenizer))` and save the model again, or remove the token"
        raise UserError(what, where, remedy)
    if 2 * len(vocabulary) < rows:
        what = f"the tokenizer has {len(vocabulary)} tokens for {rows} embeddings: it is not this model's"
        raise UserError(what, where, "copy the files of the model's own tokenizer into the directory")


def separate_padding(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    """Choose what to pad with, best not EOS, and tell the model.

    Labels and masks follow from lengths, so any token serves; some libraries still take a padding token in a text for
    padding. A tokenizer with no special token besides EOS pads with it.
    """
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        candidates = [tokenizer.unk_token, *tokenizer.all_special_tokens]
        spare = [token for token in candidates if token and token != tokenizer.eos_token]
        tokenizer.pad_token = spare[0] if spare else tokenizer.eos_token
    model.config.pad_token_id = tokenizer.pad_token_id
    model.config.eos_token_id = tokenizer.eos_token_id
    try:
        model.generation_config.validate(strict=True)
    except ValueError:  # it could not be stored, and generation here reads none of it
        model.generation_config = GenerationConfig(bos_token_id=tokenizer.bos_token_id)
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.eos_token_id = tokenizer.eos_token_id


def check_stored(tokenizer: PreTrainedTokenizerFast, stored: Any, where: str) -> None:
    """Compare a tokenizer with the one that later jobs will load.

    Raises:
        UserError: when storing has changed it.
    """
    for text in (ENGLISH, KOREAN):
        if _encode(tokenizer, text, whole=True) != _encode(stored, text, whole=True):
            remedy = "store the tokenizer as one tokenizer.json without code of its own"
            raise UserError("the tokenizer reads a text otherwise once it is stored", where, remedy)
