"""Which numbers a device computes with."""

import pytest
import torch

from common.models.devices import default_dtype


@pytest.mark.parametrize("supported", [True, False])
def test_an_old_card_that_only_emulates_bf16_gets_fp16(supported: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or supported
    )
    assert default_dtype(gpu=True) == (torch.bfloat16 if supported else torch.float16)
    assert default_dtype(gpu=False) == torch.float32
