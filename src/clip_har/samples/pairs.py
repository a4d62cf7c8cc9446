"""Pictures with captions, for contrastive pretraining."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from clip_har.component import ComponentConfig
from clip_har.samples.actions import ACTIONS, check_actions
from clip_har.samples.made import made_already, recipe
from clip_har.samples.nuisances import Nuisances
from clip_har.samples.parallel import map_in_processes
from clip_har.samples.sample import scene_seed
from clip_har.storage import new_folder, write_json

if TYPE_CHECKING:
    from PIL import Image

Progress = Callable[[int, int], None]
"""Called as `progress(done, total)`."""

NOTE = "pairs.json"
TABLE = "pairs.parquet"


class PairsConfig(ComponentConfig):
    """Which pictures and captions to draw. Their scenes are none of those of any `SampleConfig`."""

    count: int = Field(20_000, ge=1, description="Pictures; actions take turns in random order.")
    actions: tuple[str, ...] = Field(ACTIONS, min_length=1, description="The actions that are shown and told of.")
    seed: int = Field(0, description="Another seed gives other pictures.")
    width: int = Field(120, ge=8, le=4096, description="Width of the pictures, in pixels.")
    height: int = Field(80, ge=8, le=4096, description="Height of the pictures, in pixels.")
    captions_per_image: int = Field(4, ge=1, le=16, description="Captions of each picture.")
    nuisances: Nuisances = Field(Nuisances(), description="Dials of all pictures.")

    @field_validator("actions")
    @classmethod
    def _known(cls, actions: tuple[str, ...]) -> tuple[str, ...]:
        return check_actions(actions)


@dataclass(frozen=True, slots=True)
class _Task:
    action: str
    seed: int
    config: PairsConfig


def _draw_pair(task: _Task) -> tuple[bytes, list[str], str]:
    from clip_har.samples.captions import caption_scene
    from clip_har.samples.describe import describe_scene
    from clip_har.samples.drawing.render import encode_scene

    config = task.config
    scene = describe_scene(task.action, task.seed, config.nuisances)
    data = encode_scene(scene, config.width, config.height)
    return data, caption_scene(scene, config.captions_per_image), task.action


def _tasks(config: PairsConfig) -> Iterator[_Task]:
    """Every action once in each round, the rounds in different orders."""
    actions: list[str] = []
    for number in range(config.count):
        if not actions:
            actions = Random(f"pairs/{config.seed}/{number}").sample(config.actions, len(config.actions))
        yield _Task(actions.pop(), scene_seed("pairs", config.seed, number), config)


def _encoded_pairs(config: PairsConfig, workers: int | None) -> Iterator[tuple[bytes, list[str], str]]:
    return map_in_processes(_draw_pair, _tasks(config), config.count, workers)


def draw_pairs(
    count: int,
    actions: tuple[str, ...] = ACTIONS,
    seed: int = 0,
    width: int = 120,
    height: int = 80,
    captions_per_image: int = 4,
    nuisances: Nuisances | None = None,
    workers: int | None = None,
) -> Iterator[tuple[Image.Image, list[str], str]]:
    """Draw pictures with their captions, one after the other; the same arguments give the same pairs.

    Args:
        workers: processes; as many as the machine has cores if not given, which changes nothing but the time.
        others: see `PairsConfig`.

    Yields:
        An RGB picture, its captions, and its action.

    Raises:
        ConfigError: if an argument cannot be used.
    """
    from clip_har.component import validated

    chosen = {"count": count, "actions": actions, "seed": seed, "width": width, "height": height}
    chosen |= {"captions_per_image": captions_per_image, "nuisances": nuisances or Nuisances()}
    return _decoded_pairs(validated(PairsConfig, chosen), workers)


def _decoded_pairs(config: PairsConfig, workers: int | None) -> Iterator[tuple[Image.Image, list[str], str]]:
    from PIL import Image

    for data, captions, action in _encoded_pairs(config, workers):
        image = Image.open(io.BytesIO(data))
        image.load()
        yield image, captions, action


def write_pairs(
    folder: str | Path, config: PairsConfig | None = None, progress: Progress | None = None, workers: int | None = None
) -> Path:
    """Draw pairs into `folder/images/*.jpg` and `folder/pairs.parquet`, whole or not at all; those there are kept.

    The table has a row for each caption: `image` (path relative to the folder), `caption`, `action`.

    Args:
        folder: missing or empty, or made by an earlier call with the same config.
        config: the default pairs if not given.
        progress: called after every picture.
        workers: processes; as many as the machine has cores if not given.

    Raises:
        DataError: if there is something else in the folder.
    """
    import pyarrow
    import pyarrow.parquet

    folder, config = Path(folder), config or PairsConfig()
    if made_already(folder, NOTE, config):
        return folder
    rows: dict[str, list[str]] = {"image": [], "caption": [], "action": []}
    with new_folder(folder) as partial:
        (partial / "images").mkdir()
        for number, (data, captions, action) in enumerate(_encoded_pairs(config, workers)):
            image = f"images/{number:06d}.jpg"
            (partial / image).write_bytes(data)
            for caption in captions:
                for column, value in (("image", image), ("caption", caption), ("action", action)):
                    rows[column].append(value)
            if progress:
                progress(number + 1, config.count)
        pyarrow.parquet.write_table(pyarrow.table(rows), partial / TABLE)
        write_json(partial / NOTE, recipe(config) | {"files": config.count})
    return folder
