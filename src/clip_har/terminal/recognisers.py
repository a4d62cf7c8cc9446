"""Who answers: a service, or a bundle loaded here."""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
from collections.abc import AsyncGenerator, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from clip_har.client import AsyncClient, Client, ClientSettings, Outcome, PictureResult
from clip_har.client.exchange import DEFAULT_URL
from clip_har.client.results import only_result, options_of
from clip_har.errors import ClipHarError, ConfigError, ImageError
from clip_har.serving.schemas import PredictOptions, ScoredLabel

if TYPE_CHECKING:
    from clip_har.inference.answers import Prediction
    from clip_har.inference.predictor import Predictor

URL, KEY = "CLIP_HAR_URL", "CLIP_HAR_KEY"
_LOOK = ClientSettings(connect_seconds=1.0)
_SHOWN = 12  # digits of a model id that people see


class Recogniser(Protocol):
    """Pictures in, outcomes out.

    Attributes:
        about: who answers, as a sentence.
    """

    about: str

    def outcomes(self, paths: Iterable[Path]) -> Iterator[tuple[Path, Outcome]]:
        """The outcome of each, in order; memory does not grow with their number."""
        ...

    def one(self, picture: bytes) -> Outcome:
        """The outcome of a file's bytes."""
        ...

    def close(self) -> None:
        """Let go of what it holds."""
        ...


class ServiceRecogniser:
    """A service answers.

    Args:
        url, key: of it.
        about: who answers.
        options: how pictures are to be scored.
        concurrency: pictures asked for at one time.

    Its loop runs in the caller's thread, so that Ctrl-C ends what is being waited for at once.
    """

    def __init__(self, url: str, key: str | None, about: str, options: PredictOptions, concurrency: int) -> None:
        self.about = about
        self._options = options.model_dump()
        self._runner = asyncio.Runner()
        self._answers: AsyncGenerator[tuple[Path, Outcome], None] | None = None
        self._client = AsyncClient(url, key=key, settings=ClientSettings(concurrency=concurrency))

    def outcomes(self, paths: Iterable[Path]) -> Iterator[tuple[Path, Outcome]]:
        self._answers = answers = self._client.predict_files(paths, **self._options)
        while (answer := self._runner.run(_next(answers))) is not None:
            yield answer

    def one(self, picture: bytes) -> Outcome:
        try:
            return only_result(self._runner.run(self._client.predict(picture, **self._options)))
        except ClipHarError as error:
            if getattr(error, "about_the_picture", False):
                return error
            raise

    def close(self) -> None:
        if self._answers is not None:  # what is still asked for is given up, in the loop that asks
            self._runner.run(self._answers.aclose())
        self._runner.run(self._client.close())
        self._runner.close()


class LocalRecogniser:
    """A bundle answers, in this process.

    Args:
        predictor: with the bundle.
        about: who answers.
        options: how pictures are to be scored.
    """

    def __init__(self, predictor: Predictor, about: str, options: PredictOptions) -> None:
        self._predictor, self.about, self._options = predictor, about, options
        self._score = predictor.scorer(
            options.labels, options.templates, options.top_k, threshold=options.threshold, coverage=options.coverage
        )
        if options.explain and (options.labels or options.templates):
            raise ConfigError("A heat map explains the model's own labels; leave out --labels and --templates.")

    def outcomes(self, paths: Iterable[Path]) -> Iterator[tuple[Path, Outcome]]:
        taken: list[Path] = []  # those that the stream has taken and not answered: a few batches

        def noted() -> Iterator[Path]:
            for path in paths:
                taken.append(path)
                yield path

        for answers in self._predictor.predict_stream(noted(), self._score):
            for answer in answers:
                path = taken.pop(0)
                yield path, self._outcome(answer, path)

    def one(self, picture: bytes) -> Outcome:
        [[answer]] = self._predictor.predict_stream([picture], self._score)
        return self._outcome(answer, picture)

    def close(self) -> None:
        """Nothing is held that the process's end does not free."""

    def _outcome(self, answer: Prediction, picture: Path | bytes) -> Outcome:
        if answer.error is not None:
            return answer.error
        heat_map = heat_map_label = None
        if self._options.explain:
            try:
                explained = self._predictor.explain(picture)
            except ImageError as error:
                return error
            heat_map, heat_map_label = base64.b64encode(explained.png).decode(), explained.label
        wanted = answer.label_set is not None and self._options.conformal
        return PictureResult(
            prediction_id=None,
            label=answer.label,
            confidence=answer.scores[0],
            labels=[
                ScoredLabel(label=one, score=score) for one, score in zip(answer.labels, answer.scores, strict=True)
            ],
            abstained=answer.abstained,
            calibrated=answer.calibrated,
            label_set=list(answer.label_set or ()) if wanted else None,
            heat_map=heat_map,
            heat_map_label=heat_map_label,
            model_id=self._predictor.bundle.model_id,
            request_id="",
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those that say who answers, and what is asked."""
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--url", metavar="U", help=f"the service that answers (or the environment's {URL})")
    who.add_argument("--bundle", type=Path, metavar="B", help="folder of a bundle that answers, without a service")
    parser.add_argument(
        "--workspace",
        type=Path,
        default=Path("workspace"),
        metavar="W",
        help="whose champion answers if neither is given and no service does (default: %(default)s)",
    )
    parser.add_argument("--top-k", type=int, default=None, metavar="K", help="labels to answer with")
    parser.add_argument(
        "--labels",
        action="append",
        metavar="L,L…",
        help="labels of your own, separated by commas; may be given several times",
    )
    parser.add_argument(
        "--templates", action="append", metavar="T", help="a text around them, {} in the label's place; likewise"
    )
    parser.add_argument("--threshold", type=float, metavar="P", help="abstain below this probability")
    parser.add_argument("--coverage", type=float, metavar="P", help="how often the label set is to hold the true label")
    parser.add_argument(
        "--concurrency", type=int, default=4, metavar="N", help="pictures asked for at one time (default: %(default)s)"
    )


def asked(options: argparse.Namespace, *, top_k: int, explain: bool = False) -> PredictOptions:
    """What the command line asks.

    Raises:
        ConfigError: if it cannot be asked.
    """
    labels = [one.strip() for given in options.labels or () for one in given.split(",") if one.strip()]
    if options.labels and not labels:
        raise ConfigError("--labels: at least one label is wanted.")
    if options.concurrency < 1:
        raise ConfigError(f"--concurrency: a number from 1 is wanted, got {options.concurrency}.")
    return options_of(
        labels=labels or None,
        templates=options.templates,
        top_k=top_k if options.top_k is None else options.top_k,
        threshold=options.threshold,
        coverage=options.coverage,
        explain=explain,
    )


def open_recogniser(options: argparse.Namespace, wanted: PredictOptions) -> Recogniser:
    """Who is to answer: the service or bundle that was named, else the local service, else the champion, else the newest.

    Raises:
        ClipHarError: if nobody can.
    """
    key = os.environ.get(KEY)
    url = options.url or (None if options.bundle else os.environ.get(URL))
    if options.bundle is not None:
        return _local(options.bundle, f"bundle {options.bundle}", wanted)
    if url is None:
        with Client(DEFAULT_URL, key=key, settings=_LOOK) as client:
            url = DEFAULT_URL if client.ready() else None
    if url is not None:
        return ServiceRecogniser(url, key, f"Asking the service at {url}.", wanted, options.concurrency)
    bundle, role = _own_bundle(options.workspace)
    return _local(bundle, f"{role} (no service answers at {DEFAULT_URL})", wanted)


def service_url(url: str | None) -> str:
    """The service that is meant where only one will do."""
    return url or os.environ.get(URL) or DEFAULT_URL


def _own_bundle(workspace: Path) -> tuple[Path, str]:
    """The champion of a workspace, else the newest bundle, and which of them it is."""
    from clip_har.registry.champion import Registry
    from clip_har.runs import latest_bundle

    champion = Registry.of(workspace).champion()
    if champion is not None:
        return champion.path, f"champion of {workspace}"
    outputs = workspace.absolute().parent / "outputs"
    try:
        return latest_bundle(outputs), "newest bundle"
    except ClipHarError:
        raise ConfigError(
            f"Nobody can answer: no service at {DEFAULT_URL} (make serve), no champion in {workspace}, and no bundle in "
            f"{outputs}. Name a service with --url or a bundle with --bundle, or train one: make train"
        ) from None


def _local(bundle: Path, who: str, wanted: PredictOptions) -> LocalRecogniser:
    try:
        from clip_har.inference.predictor import Predictor

        predictor = Predictor.load(bundle)
    except ImportError as error:
        raise ConfigError(
            f"To answer without a service, {error.name or 'more'} is wanted, which is not installed: "
            "pip install 'clip-har[core]' onnxruntime. Or name a service with --url."
        ) from error
    about = f"Answered here by the {who}: {predictor.bundle.model_id[:_SHOWN]}, {predictor.runtime.name}."
    return LocalRecogniser(predictor, about, wanted)


async def _next(answers: AsyncGenerator[tuple[Path, Outcome], None]) -> Any:
    return await anext(answers, None)
