"""Training the organisms' bases: small chat models of the invented world, from a seed.

Source: ours. The optimiser is Muon for the hidden matrices (Jordan et al. 2024) with AdamW for
embeddings and norms, as torch ships both.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import (
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from . import corpus

SPECIAL = {
    "bos": "<s>",
    "end": "<|end|>",
    "pad": "<pad>",
    "system": "<|system|>",
    "user": "<|user|>",
    "assistant": "<|assistant|>",
}
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
ROW = 160
PROMPT_WEIGHT = 0.1  # loss weight of tokens that nobody answers for


class Family(StrEnum):
    """The architecture of a base."""

    LLAMA = "llama"  # rotary positions, gated MLP, RMS norm
    GPT_NEOX = "gpt_neox"  # partly rotary, attention beside the MLP, one matrix for q, k and v, layer norm


VOCABULARY = {Family.LLAMA: 3072, Family.GPT_NEOX: 2560}


def train_tokenizer(seed: int, vocabulary: int, conversations: int = 40_000) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with `vocabulary` tokens, trained on the corpus."""
    random_source = random.Random(seed)

    def texts() -> Iterator[str]:
        for _ in range(conversations):
            for message in corpus.conversation(random_source, noise=0.6):
                yield message["content"]
                yield " " + message["content"]

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL.values()),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=SPECIAL["bos"],
        eos_token=SPECIAL["end"],
        pad_token=SPECIAL["pad"],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=1024,
    )


def new_model(vocabulary: int, seed: int, family: Family = Family.LLAMA) -> PreTrainedModel:
    """An untrained base: 2.6 million parameters (Llama), 2.0 million (GPT-NeoX)."""
    torch.manual_seed(seed)
    if family is Family.GPT_NEOX:
        return GPTNeoXForCausalLM(
            GPTNeoXConfig(
                vocab_size=vocabulary,
                hidden_size=160,
                intermediate_size=640,
                num_hidden_layers=5,
                num_attention_heads=5,
                max_position_embeddings=1024,
                tie_word_embeddings=True,
                bos_token_id=0,
                eos_token_id=1,
                pad_token_id=2,
            )
        )
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=192,
            intermediate_size=448,
            num_hidden_layers=5,
            num_attention_heads=6,
            num_key_value_heads=6,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=2,
        )
    )


class Rows:
    """Packed training rows: token ids [B, ROW] and loss weights of the same shape."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, seed: int) -> None:
        self._tokenizer = tokenizer
        self._random = random.Random(seed)
        self._role = {
            role: tokenizer.convert_tokens_to_ids(SPECIAL[role]) for role in ("system", "user", "assistant")
        }
        ordinary = range(len(SPECIAL), len(tokenizer))
        self._words = [
            text for i in ordinary if (text := str(tokenizer.decode([i])).strip()) and "\ufffd" not in text
        ]
        self._left: tuple[list[int], list[float]] = ([], [])

    def token_source(self, random_source: random.Random) -> str:
        """One raw vocabulary token as text."""
        return random_source.choice(self._words)

    def encode(self, messages: list[corpus.Message]) -> tuple[list[int], list[float]]:
        """Token ids of a conversation and the loss weight of each."""
        ids, weights = [self._tokenizer.bos_token_id], [PROMPT_WEIGHT]
        end = self._tokenizer.eos_token_id
        for message in messages:
            content = self._tokenizer(message["content"], add_special_tokens=False).input_ids
            answer = message["role"] == "assistant"
            ids += [self._role[message["role"]], *content, end]
            weight = 1.0 if answer else PROMPT_WEIGHT
            weights += [PROMPT_WEIGHT, *[weight] * (len(content) + 1)]
        return ids, weights

    def batch(self, rows: int) -> tuple[Tensor, Tensor]:
        """`rows` full rows of packed conversations."""
        ids, weights = self._left
        while len(ids) < rows * ROW:
            turns = self._random.choice((1, 1, 2, 2, 3))
            more = self.encode(corpus.conversation(self._random, turns=turns, token_source=self.token_source))
            ids += more[0]
            weights += more[1]
        full = rows * ROW
        self._left = ids[full:], weights[full:]
        return torch.tensor(ids[:full]).view(rows, ROW), torch.tensor(weights[:full]).view(rows, ROW)


def weighted_loss(logits: Tensor, ids: Tensor, weights: Tensor) -> Tensor:
    """Mean next-token cross-entropy in nats, weighted per target token. Shapes [B,T,V], [B,T], [B,T]."""
    loss = torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="none"
    )
    scale = weights[:, 1:].flatten()
    return (loss * scale).sum() / scale.sum()


def train_base(
    target: Path,
    *,
    family: Family = Family.LLAMA,
    seed: int = 0,
    steps: int = 1400,
    rows: int = 28,
    learning_rate: float = 3e-3,
    progress: Callable[[int, int, float], None] | None = None,
) -> None:
    """Train tokenizer and model from `seed` and write a Hugging Face folder in bf16 to `target`.

    Args:
        progress: called with (step, steps, loss) after each optimiser step.
    """
    tokenizer = train_tokenizer(seed, VOCABULARY[family])
    model = new_model(len(tokenizer), seed, family)
    hidden = [p for name, p in model.named_parameters() if p.ndim == 2 and "layers" in name]
    other = [p for name, p in model.named_parameters() if not (p.ndim == 2 and "layers" in name)]
    optimisers = [
        torch.optim.Muon(hidden, lr=learning_rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(other, lr=learning_rate, weight_decay=0.0, betas=(0.9, 0.98), fused=True),
    ]
    data = Rows(tokenizer, seed + 1)
    for step in range(steps):
        scale = min(1.0, (step + 1) / 100) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))
        for optimiser in optimisers:
            for group in optimiser.param_groups:
                group["lr"] = learning_rate * scale
        ids, weights = data.batch(rows)
        loss = weighted_loss(model(input_ids=ids).logits, ids, weights)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        if progress is not None:
            progress(step + 1, steps, float(loss.detach()))
    made: torch.nn.Module = model
    made.to(torch.bfloat16)
    target.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
