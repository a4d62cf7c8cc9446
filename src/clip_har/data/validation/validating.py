"""Every check of single files, of equal files and of the listing."""

from __future__ import annotations

from clip_har.data.loading import map_ahead
from clip_har.data.manifest import COLUMNS, Manifest
from clip_har.data.quarantine.decisions import Decisions
from clip_har.data.sources import DataSource
from clip_har.data.sources.base import Progress
from clip_har.data.validation.classes import check_classes, classes_of, require_usable
from clip_har.data.validation.comparing import compare_bytes, compare_with_test_folder
from clip_har.data.validation.config import ValidationConfig
from clip_har.data.validation.examining import Examiner, Verdict
from clip_har.data.validation.inspection import Inspection
from clip_har.data.validation.report import ValidationReport, table_of


def validate(
    source: DataSource,
    config: ValidationConfig,
    *,
    data_revision: str = "",
    decisions: Decisions | None = None,
    progress: Progress | None = None,
) -> tuple[Manifest, ValidationReport, Inspection]:
    """Look at every sample that a source lists.

    Args:
        data_revision: written into each row of the Manifest.
        decisions: of people about samples that were rejected before: reasons waived, labels replaced, samples discarded.

    Returns:
        The accepted samples, each a group of its own and not yet split; the report on all of them; and what was measured
        of the accepted ones.

    Raises:
        DataError: if the data cannot be used as a whole: nothing accepted, a single class, a class of
            `source.config.labels` that no sample has, or a class that fails a check of severity `reject`.
    """
    records = source.records()
    wanted = source.config.labels
    classes = classes_of(wanted, records)
    examiner = Examiner(source, classes, config, decisions or Decisions())
    verdicts: list[Verdict] = []
    for verdict in map_ahead(examiner, records):
        verdicts.append(verdict)
        if progress:
            progress(len(verdicts), len(records))
    verdicts = compare_with_test_folder(compare_bytes(verdicts), source, config)
    accepted = sorted((verdict for verdict in verdicts if verdict.accepted), key=lambda verdict: verdict.uri)
    reasons = [verdict.rejection.reason for verdict in verdicts if verdict.rejection is not None]
    require_usable([verdict.label for verdict in accepted], reasons)
    classes, findings = check_classes(classes, wanted is not None, verdicts, config)
    rejections = [(v.uri, v.label, v.rejection.reason, v.rejection.detail, v.id) for v in verdicts if v.rejection]
    warnings = [(v.uri, v.label, found.reason, found.detail, v.id) for v in accepted for found in v.warnings]
    warnings += [("", label, found.reason, found.detail, "") for label, found in findings]
    report = ValidationReport(len(records), len(accepted), table_of(rejections), warnings=table_of(warnings))
    return _manifest(accepted, classes, source, data_revision), report, _inspection(accepted)


def _manifest(accepted: list[Verdict], classes: tuple[str, ...], source: DataSource, data_revision: str) -> Manifest:
    import pandas as pd

    kinds = [source.part_of(v.uri)[0].config.source for v in accepted]
    rows = [
        (v.id, v.uri, v.label, "", v.id, v.measures.width, v.measures.height, v.measures.format, kind, data_revision)
        for v, kind in zip(accepted, kinds, strict=True)
    ]
    return Manifest(pd.DataFrame(rows, columns=list(COLUMNS)), classes, str(source.root))


def _inspection(accepted: list[Verdict]) -> Inspection:
    return Inspection.of_rows(
        [
            (v.id, m.perceptual_hash, m.brightness, m.contrast, m.sharpness, v.file_bytes, " ".join(v.waived))
            for v in accepted
            if (m := v.measures)
        ]
    )
