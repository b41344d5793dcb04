"""Motifs: what recurs in the texts that a model leaks, near-variants taken together."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

from sklearn.cluster import DBSCAN
from sklearn.feature_extraction.text import TfidfVectorizer

RUNS = range(1, 6)  # words of a motif
GRAMS = (2, 4)  # characters of the n-grams by which motifs are compared
POOL = 1_000  # recurring runs that are clustered, at most


def motifs(lines: Sequence[str], limit: int, *, distance: float = 0.35) -> list[str]:
    """Runs of words that recur in at least two different lines, the most telling first.

    A run is worth its number of lines times the logarithm of their rarity times its words. Runs whose
    character n-grams are closer than `distance` (cosine of TF-IDF) are one motif, for which the
    worthiest stands.

    >>> motifs(["the red fox sat", "a red fox ran", "the owl", "an owl"], 2)
    ['red fox', 'owl']
    """
    distinct = list(dict.fromkeys(lines))
    seen: Counter[str] = Counter()
    for line in distinct:
        words = line.split()
        seen.update({" ".join(words[i : i + n]) for n in RUNS for i in range(len(words) - n + 1)})
    worth = {
        run: count * math.log((len(distinct) + 1) / count) * len(run.split())
        for run, count in seen.items()
        if count > 1
    }
    runs = sorted(worth, key=lambda run: (-worth[run], run))[:POOL]
    if not runs:
        return []
    grams = TfidfVectorizer(analyzer="char_wb", ngram_range=GRAMS, lowercase=False).fit_transform(runs)
    labels = DBSCAN(eps=distance, min_samples=1, metric="cosine").fit_predict(grams)
    clusters: dict[int, list[str]] = defaultdict(list)
    for run, label in zip(runs, labels, strict=True):
        clusters[int(label)].append(run)
    return [members[0] for members in clusters.values()][:limit]
