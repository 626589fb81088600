"""Scoring that several processes share."""

import pytest
import torch

from common.models.sorted_batches import score_in_batches


@pytest.mark.parametrize("processes", [1, 2, 3, 8])
def test_shared_scoring_runs_the_same_number_of_batches_everywhere(processes: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda values: None)
    lengths, model = [5, 9, 2, 7, 7, 1, 8], torch.nn.Identity()
    batches: list[list[list[int]]] = []

    def score(chosen: list[int]) -> list[torch.Tensor]:
        assert not model.training
        batches[-1].append(chosen)
        return [torch.tensor([0.1 * i for i in chosen]), torch.tensor([float(-i) for i in chosen])]

    totals = torch.zeros(2, 7, dtype=torch.float64)
    for rank in range(processes):
        batches.append([])
        totals += torch.tensor(
            score_in_batches(model, lengths, 2, score, "cpu", (rank, processes)), dtype=torch.float64
        )
    assert len({len(each) for each in batches}) == 1
    assert totals[0].tolist() == [float(torch.tensor(0.1 * i)) for i in range(7)]
    assert totals[1].tolist() == [float(-i) for i in range(7)]
    assert model.training
    if processes == 1:
        assert batches == [[[1, 6], [3, 4], [0, 2], [5]]]
