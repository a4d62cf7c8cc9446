"""Step: rank the candidates on the validation split."""

from typing import Annotated

from zenml import step

from clip_har.adaptation.base import AdaptedModel, ComparisonConfig
from clip_har.adaptation.open_vocabulary import OpenVocabularyReport
from clip_har.data.manifest import Manifest
from clip_har.evaluation.leaderboard import Entry, Leaderboard, compare
from materializers.leaderboard import LeaderboardMaterializer


@step(output_materializers=LeaderboardMaterializer)
def compare_methods(
    candidates: list[AdaptedModel],
    manifest: Manifest,
    comparison: ComparisonConfig,
    vocabularies: list[OpenVocabularyReport] = [],  # noqa: B006 - ZenML takes no Optional here, and nothing changes it
) -> Annotated[Leaderboard, "leaderboard"]:
    """The leaderboard, the best first; what was measured of other labels is shown and decides nothing."""
    measured = {report.name: report.verdict() for report in vocabularies}
    entries = [
        Entry(
            name=candidate.name,
            method=candidate.method,
            logits=candidate.validation_logits,
            trained_parameters=candidate.trained_parameters,
            open_vocabulary=measured.get(candidate.name, candidate.open_vocabulary),
            remarks=tuple(candidate.remarks),
        )
        for candidate in candidates
    ]
    return compare(entries, manifest.split("validation").label_indices, select_by=comparison.select_by)
