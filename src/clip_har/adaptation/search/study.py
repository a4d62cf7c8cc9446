"""The study: trials drawn, fitted, given up where they are hopeless, and kept on disk so that a killed search goes on.

Settings are drawn by a tree-structured Parzen estimator (Bergstra et al. 2011, "Algorithms for Hyper-Parameter
Optimization"), as Optuna has it (Akiba et al. 2019). The sampler of each trial is seeded by the search's seed and the
number of trials that have ended, so that a search that was cut off draws what it would have drawn.
"""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from clip_har.adaptation import METHODS
from clip_har.adaptation.base import AdaptationContext, MethodConfig
from clip_har.adaptation.search.config import SearchConfig, setting_of, with_settings
from clip_har.adaptation.search.result import SearchResult, Trial
from clip_har.adaptation.search.space import SearchSpace
from clip_har.errors import ClipHarError, TrainingError
from clip_har.storage import exclusive
from clip_har.training.interruption import TrainingInterrupted
from clip_har.training.memory import is_out_of_memory, release_memory
from clip_har.training.scores import validation_scores

OnTrial = Callable[[Trial], None]

_NAME = "search"
_SECONDS_FOR_ANOTHER = 10.0
_STARTUP_TRIALS = 6  # drawn at random before TPE looks at them
_TRIALS_BEFORE_PRUNING = 4
_VALIDATIONS_BEFORE_PRUNING = 3  # the first is before any training, and slow starters are not hopeless
_TRIALS_FOR_IMPORTANCE = 8
# What is kept with a trial in the study.
_FIGURES, _REASON, _CUT_OFF, _REPEATED = "figures", "reason", "cut_off", "repeated"
_TOLD = "told"  # kept with the study: how many trials `on_trial` was called with
_STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


def run_search(
    config: SearchConfig,
    method: MethodConfig,
    context: AdaptationContext,
    file: str | Path,
    *,
    on_trial: OnTrial | None = None,
) -> SearchResult:
    """Try settings of a method until there are enough trials, or time is up.

    Args:
        method: the candidate's own config; its settings are the first trial, if they are in reach.
        context: what each trial is fitted on, with an encoder of its own. Its key is not used: a trial that is cut off is
            done again from its start.
        file: SQLite database of this search. Trials that ended in it are not done again.
        on_trial: called once with each trial that ends; after a kill perhaps again with the last.

    Raises:
        TrainingError: if no trial came to its end, or the database cannot be used.
        DataError: if another process is working on the same search.
    """
    file = Path(file)
    with exclusive(file.with_name(f"{file.name}.lock"), wait=_SECONDS_FOR_ANOTHER), _study(config, file) as study:
        return _Search(config, method, context, study, on_trial).run()


@contextmanager
def _study(config: SearchConfig, file: Path) -> Iterator[optuna.Study]:
    """The study in a database, new or as it was left; what was running then is marked as cut off."""
    import sqlalchemy.exc

    told = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = None
    try:
        try:
            storage = optuna.storages.RDBStorage(f"sqlite:///{file.absolute()}")
        except RuntimeError as error:  # of another version of Optuna
            raise optuna.exceptions.StorageInternalError(str(error)) from error
        study = optuna.create_study(
            storage=storage,
            study_name=_NAME,
            direction="maximize" if config.select_by == "accuracy" else "minimize",
            load_if_exists=True,
            pruner=_pruner(config),
        )
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            _cut_off(study, trial)
        yield study
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise TrainingError(
            f"The search's database {file} cannot be used ({error}). Move it away to begin the search anew."
        ) from error
    finally:
        optuna.logging.set_verbosity(told)
        if storage is not None:
            storage.remove_session()
            storage.engine.dispose()


def _pruner(config: SearchConfig) -> optuna.pruners.BasePruner:
    if config.pruner == "median":
        return optuna.pruners.MedianPruner(_TRIALS_BEFORE_PRUNING, n_warmup_steps=_VALIDATIONS_BEFORE_PRUNING)
    if config.pruner == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=_VALIDATIONS_BEFORE_PRUNING)
    return optuna.pruners.NopPruner()


def _cut_off(study: optuna.Study, trial: FrozenTrial | optuna.Trial) -> None:
    """Mark a trial as one that did not come to its end, and is to be done again."""
    study._storage.set_trial_user_attr(trial._trial_id, _CUT_OFF, True)
    study.tell(trial.number, state=TrialState.FAIL)


@dataclass
class _Search:
    config: SearchConfig
    method: MethodConfig
    context: AdaptationContext
    study: optuna.Study
    on_trial: OnTrial | None

    def __post_init__(self) -> None:
        self.space = SearchSpace(self.config, self.method)
        self.own = self.space.own()
        self.truth = self.context.validation.label_indices

    def run(self) -> SearchResult:
        config, until = self.config, monotonic() + (self.config.timeout or math.inf)
        ended = self._ended()
        self._tell(ended)  # what ended just before it was killed
        while len(ended) < config.trials and monotonic() < until:
            self._show(ended, "")
            trial = self._draw(ended)
            if trial is None:
                logging.getLogger(__name__).info("All settings of the search have been tried.")
                break
            self._try(trial, ended)
            ended = self._ended()
            self._tell(ended)
        return self._result(ended[: config.trials])

    def _tell(self, ended: list[FrozenTrial]) -> None:
        """Call `on_trial` with those of the ended trials that it has not had."""
        if self.on_trial is None:
            return
        for number in range(self.study.user_attrs.get(_TOLD, 0), len(ended)):
            self.on_trial(self._row(number, ended[number]))
            self.study.set_user_attr(_TOLD, number + 1)

    def _ended(self) -> list[FrozenTrial]:
        """Trials that count, in order: those that came to an end, or failed by themselves."""
        return [
            trial
            for trial in self.study.get_trials(deepcopy=False, states=tuple(_STATES))
            if not trial.user_attrs.keys() & {_CUT_OFF, _REPEATED}
        ]

    def _draw(self, ended: list[FrozenTrial]) -> optuna.Trial | None:
        """The next trial, with settings that have not been tried; None if all have."""
        generator = np.random.default_rng([self._seed(), len(ended)])
        seed = int(generator.integers(2**31))
        if self.config.sampler == "tpe":
            self.study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=_STARTUP_TRIALS)
        else:
            self.study.sampler = optuna.samplers.RandomSampler(seed=seed)
        if not ended and self.own is not None and not self.study.get_trials(states=(TrialState.WAITING,)):
            self.study.enqueue_trial(self.own)
        tried = {self.space.key(trial.params) for trial in ended}
        trial = self.study.ask(fixed_distributions=self.space.distributions)
        if self.space.key(trial.params) not in tried:
            return trial
        trial.set_user_attr(_REPEATED, True)
        self.study.tell(trial, state=TrialState.FAIL)
        other = self.space.untried(tried, generator)
        if other is None:
            return None
        self.study.enqueue_trial(other)
        return self.study.ask(fixed_distributions=self.space.distributions)

    def _seed(self) -> int:
        return self.context.seed if self.config.seed is None else self.config.seed

    def _try(self, trial: optuna.Trial, ended: list[FrozenTrial]) -> None:
        """Fit with a trial's settings and tell the study how it went."""
        best: dict[str, float] | None = None
        validations = 0

        def on_validation(row: dict[str, float]) -> None:
            nonlocal best, validations
            scores = {name: row[name] for name in ("accuracy", "log_loss")}
            if best is None or self._rank(scores) > self._rank(best):
                best = scores
            # the best so far: that is the state that would be kept; counted over all fits of the method
            trial.report(self._value(best), validations)
            validations += 1
            if trial.should_prune():
                raise optuna.TrialPruned

        try:
            settings = self.space.settings(trial.params)
            figures = self._fit(settings, on_validation, lambda note: self._show(ended, note))
            if not all(map(math.isfinite, figures.values())):
                raise TrainingError(f"The figures on the validation split are not finite: {figures}.")
        except optuna.TrialPruned:
            trial.set_user_attr(_FIGURES, best)
            self.study.tell(trial, state=TrialState.PRUNED)
        except TrainingInterrupted:
            _cut_off(self.study, trial)
            raise
        except (ClipHarError, RuntimeError, MemoryError) as error:
            if not isinstance(error, ClipHarError) and not is_out_of_memory(error):
                _cut_off(self.study, trial)
                raise
            release_memory(self.context.encoder.device)
            trial.set_user_attr(_REASON, str(error) or type(error).__name__)
            self.study.tell(trial, state=TrialState.FAIL)
        except BaseException:
            _cut_off(self.study, trial)
            raise
        else:
            trial.set_user_attr(_FIGURES, figures)
            self.study.tell(trial, self._value(figures))

    def _fit(
        self, settings: dict[str, Any], on_validation: Callable[[dict[str, float]], None], note: Callable[[str], None]
    ) -> dict[str, float]:
        """Figures on the validation split after a fit."""
        method = with_settings(self.method, settings)
        if setting_of(method, "training.checkpoint") is not None:
            method = with_settings(method, {"training.checkpoint": None})
        encoder = copy.copy(self.context.encoder)  # methods may change the model, and nothing else
        encoder.model = copy.deepcopy(encoder.model)
        context = replace(
            self.context,
            encoder=encoder,
            progress=lambda done, total, text: note(text),
            on_validation=on_validation,
            key="",
        )
        adapted = METHODS.get(method.method)(method).adapt(context, self.config.candidate)
        return validation_scores(adapted.validation_logits, self.truth)

    def _show(self, ended: list[FrozenTrial], note: str) -> None:
        """Progress, with the best so far."""
        figures = [trial.user_attrs[_FIGURES] for trial in ended if trial.state == TrialState.COMPLETE]
        by = self.config.select_by
        best = f"best {by} {max(figures, key=self._rank)[by]:.4g}" if figures else ""
        self.context.progress(len(ended), self.config.trials, f"{best} {note}".strip())

    def _value(self, figures: dict[str, float]) -> float:
        """What the study is told: the figure; of equal accuracies the one with the lower loss is higher."""
        if self.config.select_by == "log_loss":
            return figures["log_loss"]
        loss = figures["log_loss"]
        return figures["accuracy"] - loss / (1 + loss) / (len(self.truth) + 1)  # less than one photograph

    def _rank(self, figures: dict[str, float]) -> float:
        """Higher for better figures."""
        return self._value(figures) if self.config.select_by == "accuracy" else -self._value(figures)

    def _row(self, number: int, trial: FrozenTrial) -> Trial:
        return Trial(
            number=number,
            state=_STATES[trial.state],
            settings=self.space.settings(trial.params),
            figures=trial.user_attrs.get(_FIGURES) or {},
            validations=len(trial.intermediate_values),
            reason=trial.user_attrs.get(_REASON, ""),
        )

    def _result(self, ended: list[FrozenTrial]) -> SearchResult:
        rows = tuple(self._row(number, trial) for number, trial in enumerate(ended))
        complete = [row for row in rows if row.state == "complete"]
        best = max(complete, key=lambda row: self._rank(row.figures), default=None)  # the first of equals
        if best is None:
            reasons = [row.reason for row in rows if row.reason]
            raise TrainingError(
                f"search.{self.config.candidate}: none of {len(rows)} trials came to its end."
                + (f" The last failed of: {reasons[-1]}" if reasons else " Give the search more time, or more trials.")
            )
        own = None if self.own is None or self.space.key(ended[0].params) != self.space.key(self.own) else 0
        return SearchResult(
            method=self.method.method,
            config=self.config,
            trials=rows,
            best=best.number,
            own=own,
            importance=self._importance(rows),
            samples=len(self.truth),
        )

    def _importance(self, rows: tuple[Trial, ...]) -> dict[str, float]:
        complete = [row for row in rows if row.state == "complete"]
        values = {self._value(row.figures) for row in complete}
        if len(self.space.distributions) < 2 or len(complete) < _TRIALS_FOR_IMPORTANCE or len(values) < 2:
            return {}
        from optuna.importance import FanovaImportanceEvaluator, get_param_importances

        found = get_param_importances(self.study, evaluator=FanovaImportanceEvaluator(seed=self._seed()))
        return {name: float(share) for name, share in found.items()}
