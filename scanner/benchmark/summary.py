"""What a whole run amounts to: every figure of every detector in every setting. No model is run here."""

from __future__ import annotations

from ..report.benchmark.summary import Curve, DetectorResult, Summary
from .breakdown import beside_twins, by_group, fine_tuned_share
from .calibration import calibrations
from .curves import curves
from .figure_fit import fits
from .measures import measures
from .operating_points import roc_points
from .organism_rows import organism_rows
from .records import Benchmark, Environment, Setting
from .samples import Sample, samples_of
from .setting_curves import setting_curves
from .verdicts import named_by, verdicts


def summarise(benchmark: Benchmark) -> Summary:
    """All figures of a run.

    Raises:
        ValueError: one organism twice under the same detector and setting.
    """
    samples = samples_of(benchmark.records)
    kinds = {record.truth.organism: record.truth.kind for record in benchmark.records}
    over_settings = setting_curves(samples)
    present = {setting for _, setting in samples}
    return Summary(
        facts=_facts(benchmark.environment),
        command_line=benchmark.environment.command_line,
        settings=tuple(setting.value for setting in Setting if setting.value in present),
        detectors=tuple(dict.fromkeys(detector for detector, _ in samples)),
        backdoors=sum(kind == "backdoor" for kind in kinds.values()),
        benign=sum(kind == "benign" for kind in kinds.values()),
        results=tuple(
            detector_result(sample, detector, setting, over_settings.get((detector, setting), ()))
            for (detector, setting), sample in samples.items()
        ),
        organisms=organism_rows(samples),
    )


def detector_result(
    sample: Sample, detector: str, setting: str, over_settings: tuple[Curve, ...] = ()
) -> DetectorResult:
    """All figures of one detector in one setting."""
    return DetectorResult(
        detector=detector,
        setting=setting,
        overall=measures(sample),
        groups=by_group(sample),
        fine_tuned=fine_tuned_share(sample),
        twins=beside_twins(sample),
        calibrated=calibrations(sample),
        fitted=fits(sample),
        curves=(*curves(sample), *over_settings),
        roc=roc_points(sample.positive_scores, sample.negative_scores),
        verdicts=verdicts(sample),
        named_by=named_by(sample),
    )


def _facts(environment: Environment) -> tuple[tuple[str, str], ...]:
    return (
        ("started", environment.started),
        ("machine", environment.machine),
        ("cores", f"{environment.cores}"),
        ("workers", f"{environment.workers}, threads of each: {environment.threads_per_worker}"),
        ("budget", environment.budget),
        ("seed", f"{environment.seed}"),
        ("versions", ", ".join(f"{name} {version}" for name, version in environment.versions.items())),
        *(("beside", source) for source in environment.beside),
    )
