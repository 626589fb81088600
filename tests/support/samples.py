"""What a row of sampled responses holds where no further response was drawn."""

NOT_DRAWN: dict[str, None] = dict.fromkeys(("drawn_tokens", "kl_k1", "kl_k3"))
