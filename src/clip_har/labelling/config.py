"""What is chosen to be labelled, and how labels become data."""

from __future__ import annotations

from pydantic import Field

from clip_har.component import ComponentConfig


class LabellingConfig(ComponentConfig):
    """The choice of pictures to label, and what is done with labels."""

    budget: int = Field(100, ge=0, description="Pictures on a labelling sheet at most; 0: no sheet is made.")
    uncertainty: float = Field(
        0.5, ge=0, le=1, description="Weight of the model's doubt beside diversity in the choice, from 0 to 1."
    )
    folder: str | None = Field(
        None, min_length=1, description="Where labelled pictures are kept; `labelling` in the workspace if not given."
    )
    minimum: int = Field(
        20,
        ge=1,
        description="Labelled pictures not trained on yet without which `monitor.retrain=auto` does not train.",
    )
    new_labels: bool = Field(
        False,
        description="Whether a label that the model does not know becomes a class; it is left out, and named, if not.",
    )
