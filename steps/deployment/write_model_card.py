"""Step: write a bundle's model card from what runs have measured. Never cached: a later run may know more."""

from typing import Annotated

from zenml import step

from clip_har.models.bundle import ModelBundle
from clip_har.registry.hub.card import render_model_card
from clip_har.registry.hub.config import HubConfig
from clip_har.registry.hub.reports import reports_of


@step(enable_cache=False)
def write_model_card(bundle: ModelBundle, hub: HubConfig, outputs: str) -> Annotated[str, "model_card"]:
    """The card as Markdown."""
    return render_model_card(bundle, reports_of(bundle, outputs), hub)
