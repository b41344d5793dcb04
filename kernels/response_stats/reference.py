"""The definition of the response statistics, in plain torch: every logit written out, [R, V] in float32."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .statistics import NO_TOKEN, ResponseStats

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, Int64
    from torch import Tensor

    from .arguments import Task


def stats(task: Task) -> ResponseStats:
    """Statistics by definition; see `ResponseStats`."""
    logits = _logits(task, task.hidden)
    log_p = torch.log_softmax(logits, dim=1)
    top_token = _first_maximum(logits)
    divergence = row_count = gain = gain_token = None
    if task.references is not None:
        log_q = torch.log_softmax(_logits(task, task.references.hidden), dim=1)[task.references.of]
        divergence = (log_p.exp() * (log_p - log_q)).sum(dim=1).clamp(min=0.0)
        if task.groups is not None:
            rise = log_p.exp() - log_q.exp()
            row_count = torch.bincount(task.groups, minlength=task.group_count)
            gain = torch.full((task.group_count,), torch.nan, device=logits.device)
            gain_token = torch.full((task.group_count,), NO_TOKEN, device=logits.device)
            for group in row_count.nonzero()[:, 0].tolist():
                mean = rise[task.groups == group].mean(dim=0)
                gain[group] = mean.max()
                gain_token[group] = _first_maximum(mean[None])[0]
    return ResponseStats(
        log_sum_exp=torch.logsumexp(logits, dim=1),
        entropy=-(log_p.exp() * log_p).sum(dim=1),
        top_token=top_token,
        top_probability=log_p.gather(1, top_token[:, None])[:, 0].exp(),
        divergence=divergence,
        row_count=row_count,
        gain=gain,
        gain_token=gain_token,
    )


def _logits(task: Task, hidden: Float[Tensor, "n d"]) -> Float32[Tensor, "n V"]:
    logits = hidden.float() @ task.unembedding.float().T + task.bias
    return logits if task.softcap is None else task.softcap * torch.tanh(logits / task.softcap)


def _first_maximum(matrix: Float32[Tensor, "n V"]) -> Int64[Tensor, " n"]:
    """The lowest column that reaches the maximum, which torch.argmax does not promise."""
    columns = torch.arange(matrix.shape[1], device=matrix.device)
    reached = matrix == matrix.amax(dim=1, keepdim=True)
    return torch.where(reached, columns, matrix.shape[1]).amin(dim=1)
