"""The audits of one model, in order: fit the inner reading, read the held-out prompts, compare."""

from __future__ import annotations

import time

from ....errors import UsageError
from ....model.loading import LoadedModel
from ....progress import Progress, Silent
from ....studies.circuits import AuditStudy
from .consistency import consistency_of
from .discrepancy import discrepancy_of
from .inner_reader import InnerReader, listen
from .material import AuditQuestion, gather, held_out_rows
from .reasoning import inspections

FEWEST_PROMPTS = 24


def audit(
    loaded: LoadedModel,
    question: AuditQuestion,
    *,
    checkpoint: str = "",
    progress: Progress | None = None,
) -> AuditStudy:
    """The audits of one model: all three with a trigger, a ranking of prompts without."""
    start = time.perf_counter()
    progress = progress or Silent()
    if (count := len(question.prompts.prompts)) < FEWEST_PROMPTS:
        raise UsageError(f"an audit needs at least {FEWEST_PROMPTS} neutral prompts, got {count}")
    with progress.stage("fitting the inner reading on neutral prompts"):
        material = gather(loaded, question)
        fitted_on = listen(loaded, material.fit_rows)
        reader = InnerReader.fit(loaded, fitted_on)
    with progress.stage("reading the held-out prompts"):
        rows = held_out_rows(loaded, question, material)
        spoken = {
            group: listen(loaded, [asked.ids for asked in part]) for group, part in rows.items() if part
        }
    with progress.stage("comparing"):
        reasoning = inspections(loaded, question, material, spoken) if question.trigger else []
        consistency = consistency_of(reader, spoken) if question.trigger else None
        discrepancy = discrepancy_of(loaded, reader, fitted_on, rows, spoken)
    return AuditStudy(
        checkpoint=checkpoint,
        trigger=loaded.decode(question.trigger).strip(),
        controls=[loaded.decode(c).strip() for c in material.controls],
        placement=question.placement.value,
        reasoning=reasoning,
        consistency=consistency,
        discrepancy=discrepancy,
        seconds=time.perf_counter() - start,
    )
