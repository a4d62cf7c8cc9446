"""What a PromotionReport says, done: the pointer moved or not, the decision and the figures written down."""

from __future__ import annotations

from clip_har.registry.champion import Registry
from clip_har.registry.records import Decision
from clip_har.registry.report import PromotionReport


def act_on(registry: Registry, report: PromotionReport, run: str = "") -> Decision | None:
    """Promote the challenger, or record that the champion stays; None where the two are the same model.

    Args:
        run: the run that decided.

    Raises:
        RegistryError: if the champion is another by now than the one that was compared.
    """
    challenger, champion = report.challenger.model_id, report.champion and report.champion.model_id
    if challenger == champion:
        return None
    figures = {check.name: check.figure for check in report.checks}
    if report.outcome == "promoted":
        decision = registry.promote(challenger, instead_of=champion, reasons=report.reasons, figures=figures, run=run)
    else:
        decision = registry.keep(challenger, reasons=report.reasons, figures=figures, run=run)
    if report.comparisons:
        newest = report.comparisons[0]
        known = {name: estimate.value for name, estimate in newest.metrics.items()}
        registry.annotate(challenger, metrics=known | {"ece": newest.ece.value})
    return decision
