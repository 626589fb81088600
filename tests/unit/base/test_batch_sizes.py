"""Steps of accumulation that make up a global batch."""

import pytest

from common.base.batch_sizes import accumulation_steps
from common.base.errors import UserError


@pytest.mark.parametrize(
    ("global_batch", "per_device", "processes", "steps"),
    [(128, 16, 8, 1), (128, 16, 1, 8), (128, 4, 8, 4), (8, 8, 1, 1), (6, 1, 3, 2)],
)
def test_accumulation_makes_up_the_global_batch(global_batch: int, per_device: int, processes: int, steps: int) -> None:
    assert accumulation_steps(global_batch, per_device, processes) == steps
    assert steps * per_device * processes == global_batch


@pytest.mark.parametrize(("global_batch", "per_device", "processes"), [(128, 24, 1), (8, 16, 1), (8, 4, 3), (8, 1, 16)])
def test_batch_that_cannot_be_divided_is_an_error(global_batch: int, per_device: int, processes: int) -> None:
    with pytest.raises(UserError) as caught:
        accumulation_steps(global_batch, per_device, processes)
    assert "per_device_batch_size" in caught.value.where
    assert str(global_batch) in caught.value.what
