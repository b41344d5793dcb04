"""Strings that are almost a trigger: a word or a token left out, the order turned round, a token swapped."""

from __future__ import annotations

from collections.abc import Sequence

from ....model.loading import LoadedModel

NEIGHBOURS = 6  # nearest tokens in the embedding that stand in for each token of a short trigger


def almost(loaded: LoadedModel, trigger: Sequence[int]) -> list[list[int]]:
    """Token ids of such strings, none of them the trigger; empty ones are left out."""
    ids = list(trigger)
    made = [[*ids[:i], *ids[i + 1 :]] for i in range(len(ids))]
    words = loaded.decode(ids).split()
    for left_out in range(len(words)):
        rest = " ".join(w for i, w in enumerate(words) if i != left_out)
        made.append(loaded.encode_inside(f" {rest}") if rest else [])
    embedding = loaded.embedding.float()
    lengths = embedding.norm(dim=1).clamp(min=1e-6)
    special = set(loaded.tokenizer.all_special_ids)
    for i, token in enumerate(ids):
        likeness = (embedding @ embedding[token]) / lengths
        nearest = [int(t) for t in likeness.topk(NEIGHBOURS + 2).indices]
        made += [[*ids[:i], t, *ids[i + 1 :]] for t in nearest if t != token and t not in special]
    unique = {tuple(m): m for m in made if m and m != ids}
    return list(unique.values())
