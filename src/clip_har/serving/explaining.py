"""Heat maps: slow, in torch, and therefore one at a time in a thread of their own."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from clip_har.errors import ImageError, ModelError
from clip_har.serving.admission import Ticket
from clip_har.serving.errors import DeadlineExceeded, TooManyRequests, Unavailable, Unprocessable, of_image
from clip_har.serving.served_model import ServedModel

if TYPE_CHECKING:
    from clip_har.inference.explanation import Explanation

_WAITING = 4


class Explaining:
    """Draws heat maps, one after another; a few may wait."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="explain")
        self._inside = 0

    async def explain(self, model: ServedModel, image: bytes | None, label: str | None, ticket: Ticket) -> Explanation:
        """Where in a picture a label's score comes from. The first time the encoders are loaded in torch.

        Raises:
            TooManyRequests: if too many wait already; DeadlineExceeded, if it takes too long.
            Unprocessable: if the model's encoder has nothing to look at.
        """
        if self._inside >= _WAITING:
            raise TooManyRequests("Heat maps are drawn one at a time, and several wait already.", retry_after=5.0)
        try:
            future = self._pool.submit(model.predictor.explain, image, label)
        except RuntimeError as error:
            raise Unavailable("The service is shutting down.", retry_after=1.0) from error
        self._inside += 1
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._left))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), max(0.0, ticket.seconds_left))
        except TimeoutError as error:
            raise DeadlineExceeded(
                "The heat map was not drawn within the deadline; the first one of a model takes longest.",
                retry_after=5.0,
            ) from error
        except ImageError as error:
            raise of_image(error) from error
        except ModelError as error:
            raise Unprocessable(str(error), field="explain") from error

    def close(self) -> None:
        """Draw no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _left(self) -> None:
        self._inside -= 1
