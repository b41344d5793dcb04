"""Encoders of other libraries, given our tensors: where one is not installed, the job says so."""

from __future__ import annotations

import os
import warnings

import torch
from operands import Job, K, Operands, dense_stats

os.environ.setdefault("SPARSIFY_DISABLE_TRITON", "" if torch.cuda.is_available() else "1")


def add_sparsify(job: Job, operands: Operands) -> None:
    name = "sparsify SparseCoder.encode"
    try:
        from sparsify import SparseCoder, SparseCoderConfig
    except ImportError as error:
        job.missing[name] = f"not installed ({error.name})"
        return
    x, w = operands.x, operands.w_enc
    coder = SparseCoder(
        w.shape[1],
        SparseCoderConfig(num_latents=len(w), k=K),
        device=str(x.device),
        dtype=x.dtype,
        decoder=False,
    )
    coder.encoder.weight.data = w
    coder.encoder.bias.data = operands.b_enc.to(x.dtype)
    coder.requires_grad_(False)
    job.ways[name] = lambda: coder.encode(x)


def add_saelens(job: Job, operands: Operands, kind: str) -> None:
    name = "SAELens TopKSAE.encode" if kind == "topk" else "SAELens JumpReLUSAE.encode, four reductions"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from sae_lens import JumpReLUSAE, JumpReLUSAEConfig, TopKSAE, TopKSAEConfig
    except ImportError as error:
        job.missing[name] = f"not installed ({error.name})"
        return
    x, w = operands.x, operands.w_enc
    common = {
        "d_in": w.shape[1], "d_sae": len(w), "device": str(x.device),
        "dtype": str(x.dtype).removeprefix("torch."), "apply_b_dec_to_input": False,
    }  # fmt: skip
    sae = (
        TopKSAE(TopKSAEConfig(**common, k=K)) if kind == "topk" else JumpReLUSAE(JumpReLUSAEConfig(**common))
    )
    sae.W_enc.data = w.T.contiguous()
    sae.b_enc.data = operands.b_enc.to(x.dtype)
    sae.W_dec.data = sae.W_dec.data[:1]  # the encoder alone is measured
    if kind == "jumprelu":
        sae.threshold.data = operands.threshold.to(x.dtype)
    sae.requires_grad_(False)
    job.ways[name] = (lambda: sae.encode(x)) if kind == "topk" else (lambda: dense_stats(sae.encode(x)))
