"""What a search found, and each setting that it tried."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from clip_har.adaptation.base import MethodConfig
from clip_har.adaptation.search.config import SearchConfig, with_settings
from clip_har.component import ComponentConfig
from clip_har.hashing import canonical_json


class Trial(ComponentConfig):
    """One setting that was tried."""

    number: int = Field(description="Its place in the search, from 0.")
    state: Literal["complete", "pruned", "failed"] = Field(description="How it ended.")
    settings: dict[str, Any] = Field(description="Dotted names of fields and their values.")
    figures: dict[str, float] = Field({}, description="On the validation split; of a pruned trial the best until then.")
    validations: int = Field(0, description="How often the training was validated; 0 for methods that do not train.")
    reason: str = Field("", description="What a failed trial failed of.")


class SearchResult(ComponentConfig):
    """A finished search."""

    method: str = Field(description="The candidate's adaptation method.")
    config: SearchConfig = Field(description="What was searched for.")
    trials: tuple[Trial, ...] = Field(min_length=1, description="Everything that was tried, in order.")
    best: int = Field(description="Number of the best trial.")
    own: int | None = Field(description="Number of the trial with the candidate's own settings, if they were in reach.")
    importance: dict[str, float] = Field(
        {}, description="Share of the figure's variance that each field explains (fANOVA); empty for few trials."
    )
    samples: int = Field(description="Photographs in the validation split.")

    @property
    def settings(self) -> dict[str, Any]:
        """The best values: dotted names and values."""
        return self.trials[self.best].settings

    def applied_to(self, method: MethodConfig) -> MethodConfig:
        """A candidate's config with the best values."""
        return with_settings(method, self.settings)

    def remark(self) -> str:
        """For the leaderboard: how the settings were found."""
        found = ", ".join(f"{name} {canonical_json(value)}" for name, value in self.settings.items())
        if self.best == self.own:
            return f"A search of {len(self.trials)} trials found nothing better than the candidate's own settings ({found})."
        return f"A search of {len(self.trials)} trials on the validation split found {found}."

    def summary(self) -> dict[str, Any]:
        """The figures alone, for `metrics.json`."""
        states = [trial.state for trial in self.trials]
        own = None if self.own is None else self.trials[self.own].figures
        return {
            "trials": {state: states.count(state) for state in ("complete", "pruned", "failed")},
            "best": self.trials[self.best].figures,
            "own": own or None,
            "settings": self.settings,
        }
