"""Which models are served: the champion and, if wanted, a challenger; changed under load without a failed request."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from clip_har.errors import ClipHarError
from clip_har.serving.config import VersionsConfig
from clip_har.serving.errors import NotFound, Unavailable
from clip_har.serving.served_model import Role, ServedModel
from clip_har.serving.settings import Source

logger = logging.getLogger("clip_har.serving")
_Result = TypeVar("_Result")
_TRY_AGAIN = 30.0  # seconds after which a version that did not load is tried once more


@dataclass(frozen=True)
class ReloadError:
    """A version that could not be served.

    Attributes:
        role: what it was to be.
        path: its bundle; None if there is none.
        message: why not.
        time: when, in seconds since the epoch.
    """

    role: str
    path: Path | None
    message: str
    time: float


class Versions:
    """The models of a process. Loading happens in a thread; a change is one assignment, made when all is well.

    Requests that have begun go on with the model that they began with.

    Args:
        source: where the models come from.
        config: which, and when they are looked for.
        load: loads one; blocking.
        changed: told (champion or challenger, the model until now, the model from now on) of every change.
        failed: told the folder of a version that could not be loaded.

    Attributes:
        champion: the model that answers; None before the first is loaded.
        challenger: the second one, if there is one.
        reload_errors: what went wrong last, by role; emptied when the role is filled again.
    """

    def __init__(
        self,
        source: Source,
        config: VersionsConfig,
        load: Callable[[Path, Role], ServedModel],
        changed: Callable[[str, ServedModel | None, ServedModel | None], None] = lambda place, old, new: None,
        failed: Callable[[Path | None], None] = lambda path: None,
    ) -> None:
        self.champion: ServedModel | None = None
        self.challenger: ServedModel | None = None
        self.reload_errors: dict[str, ReloadError] = {}
        self._source, self._config = source, config
        self._load, self._changed, self._could_not = load, changed, failed
        self._paths: dict[str, Path | None] = {"champion": None, "challenger": None}
        self._looking = asyncio.Lock()

    def pick(self, key: str, version: str | None = None) -> ServedModel:
        """The model that answers a request: equal keys, equal models.

        Args:
            version: model id, or its beginning, that must answer, whatever the challenger's share says.

        Raises:
            Unavailable: before the first is loaded.
            NotFound: if no model of that version is served.
        """
        if self.champion is None:
            raise Unavailable(self.why_none(), retry_after=1.0)
        if version:
            served = [model for model in (self.champion, self.challenger) if model is not None]
            for model in served:
                if model.model_id.startswith(version):
                    return model
            ids = ", ".join(model.model_id for model in served)
            raise NotFound(f"There is no version {version[:80]!r} of the model here; served: {ids}.", field="version")
        if self.challenger is not None and draw(key) < self._config.challenger_share:
            return self.challenger
        return self.champion

    @property
    def shadow(self) -> ServedModel | None:
        """The model that answers beside the champion without being heard, if that is wanted."""
        return self.challenger if self._config.shadow else None

    def why_none(self) -> str:
        """Why there is no model yet, as a sentence."""
        error = self.reload_errors.get("champion")
        return "The model is being loaded." if error is None else f"The model cannot be served: {error.message}"

    async def look(self) -> None:
        """Load what is wanted and not served yet. What cannot be loaded is said, and what is served stays."""
        async with self._looking:
            await self._fill("champion", self._source.wanted)
            if self._config.challenger is not None:
                name = self._config.challenger
                await self._fill("challenger", lambda: (self._source.challenger(name), "challenger"))

    async def watch(self) -> None:
        """Look again and again; ends only by being cancelled."""
        while True:
            await asyncio.sleep(self._config.watch_seconds)
            await self.look()

    async def _fill(self, place: str, wanted: Callable[[], tuple[Path | None, str]]) -> None:
        failed = self.reload_errors.get(place)
        path: Path | None = None
        try:
            path, role = await _in_thread(wanted)
            served = getattr(self, place)
            if path is not None and path == self._paths[place]:
                self.reload_errors.pop(place, None)  # what had failed is no longer wanted
                if served.role != role:
                    served.role = role
                return
            if failed is not None and failed.path == path and time.time() - failed.time < _TRY_AGAIN:
                return
            if path is None or self._is_champion(place, path):
                self._replace(place, None, None)
                return
            began = time.monotonic()
            model = await _in_thread(lambda: self._load(path, role))
        except ClipHarError as error:
            self._failed(place, path, str(error), failed)
        except Exception as error:  # a model that breaks what loads it must not take the service along
            logger.exception("A version could not be loaded.")
            self._failed(place, path, f"{type(error).__name__}: {error}", failed)
        else:
            self._replace(place, model, path)
            seconds = time.monotonic() - began
            logger.info(
                "%s %s is served by %s, after %.1f s. %s",
                role.capitalize(),
                model.model_id[:12],
                model.runtime_name,
                seconds,
                model.self_test,
            )

    def _is_champion(self, place: str, path: Path) -> bool:
        return place == "challenger" and path == self._paths["champion"]

    def _replace(self, place: str, model: ServedModel | None, path: Path | None) -> None:
        old = getattr(self, place)
        setattr(self, place, model)
        self._paths[place] = path
        self.reload_errors.pop(place, None)
        if old is not model:
            self._changed(place, old, model)

    def _failed(self, place: str, path: Path | None, message: str, before: ReloadError | None) -> None:
        self.reload_errors[place] = ReloadError(place, path, message, time.time())
        if before is None or (before.path, before.message) != (path, message):
            logger.error("The %s %s cannot be served: %s", place, path or "", message)
            self._could_not(path)


async def _in_thread(work: Callable[[], _Result]) -> _Result:
    """What a thread gives that nobody waits for at the end of the process: loading may take minutes, and cannot be stopped."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_Result] = loop.create_future()

    def settle(set_it: Callable[[Any], None], value: Any) -> None:
        if not done.done():
            set_it(value)

    def run() -> None:
        try:
            settled = (done.set_result, work())
        except BaseException as error:  # raised where it is awaited
            settled = (done.set_exception, error)
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, *settled)

    threading.Thread(target=run, name="load", daemon=True).start()
    return await done


def draw(key: str) -> float:
    """A number from 0 to 1 that depends on the key only, spread evenly over keys."""
    return int.from_bytes(hashlib.blake2b(key.encode("utf-8", "replace"), digest_size=8).digest()) / 2**64
