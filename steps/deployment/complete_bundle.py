"""The bundle as it is promoted and published: with its accepted forms and its reference profile."""

from collections.abc import Sequence
from pathlib import Path

from clip_har.export.exporting import MadeForms, with_exports
from clip_har.export.report import ExportReport
from clip_har.models.bundle import ModelBundle
from clip_har.monitoring.profile import ReferenceProfile


def complete_bundle(
    bundle: ModelBundle,
    forms: MadeForms,
    report: ExportReport,
    profiles: Sequence[ReferenceProfile],
    target: Path,
) -> ModelBundle:
    """A copy of the bundle in another folder, with attachments; its core and id are the same.

    Args:
        profiles: one, or none if none was to be made.
    """
    copy = with_exports(bundle, forms, report, target)
    for profile in profiles:
        profile.attach(copy)
    return copy
