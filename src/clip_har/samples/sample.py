"""A sample data set: drawn photographs in a folder a class, with the flaws that found data have."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from PIL import Image
from pydantic import Field, field_validator

from clip_har.component import ComponentConfig
from clip_har.hashing import sha256_bytes
from clip_har.samples.actions import HAR_ACTIONS, check_actions
from clip_har.samples.made import made_already, recipe
from clip_har.samples.nuisances import Nuisances
from clip_har.samples.parallel import map_in_processes
from clip_har.storage import new_folder, write_json

Progress = Callable[[int, int], None]
"""Called as `progress(done, total)`."""

NOTE = "sample.json"
BROKEN = ("truncated", "empty", "not an image", "too small")


class SampleConfig(ComponentConfig):
    """What a drawn sample consists of. Flaws come on top of the good pictures, as shares of their number."""

    per_class: int = Field(60, ge=1, le=1_000_000, description="Good pictures of each action.")
    width: int = Field(240, ge=32, le=4096, description="Width of the pictures, in pixels.")
    height: int = Field(160, ge=32, le=4096, description="Height of the pictures, in pixels.")
    actions: tuple[str, ...] = Field(HAR_ACTIONS, min_length=2, description="The classes.")
    seed: int = Field(0, description="Another seed gives other pictures.")
    nuisances: Nuisances = Field(
        Nuisances(), description="Dials for light, blur, tilt, crowd, colour, noise and compression, each 0 to 1."
    )
    broken: float = Field(0.006, ge=0, le=0.2, description="Share of broken files: cut short, empty, text, tiny.")
    exact_duplicates: float = Field(0.007, ge=0, le=0.2, description="Share of files that repeat another of the class.")
    near_duplicates: float = Field(
        0.007, ge=0, le=0.2, description="Share of pictures saved again: recompressed, resized or slightly cropped."
    )
    wrong_labels: float = Field(
        0.0025, ge=0, le=0.2, description="Share of wrong labels; the first is a copy of a file of another class."
    )

    @field_validator("actions")
    @classmethod
    def _known(cls, actions: tuple[str, ...]) -> tuple[str, ...]:
        return check_actions(actions)


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a sample.

    Attributes:
        label: the folder that it lies in.
        action: what it shows.
        number: of the scene among those of the action.
        flaw: "" for a good picture, else "broken", "exact_duplicate", "near_duplicate", "label_conflict" (a copy under
            another label) or "wrong_label".
        kind: which of the kinds of broken files or near-duplicates.
    """

    label: str
    action: str
    number: int
    flaw: str = ""
    kind: int = 0

    def uri(self, seed: int) -> str:
        """Where it lies in the sample; the name gives nothing away."""
        key = f"{seed}/{self.label}/{self.action}/{self.number}/{self.flaw}"
        return f"{self.label}/{sha256_bytes(key.encode())[:10]}.jpg"


def scene_seed(purpose: str, seed: int, number: int) -> int:
    """Seed of a scene: different purposes never share scenes, so that no training picture comes back in a test."""
    return int(sha256_bytes(f"{purpose}/{seed}/{number}".encode())[:15], 16)


def plan_sample(config: SampleConfig) -> list[Entry]:
    """Every file of the sample that a config describes, in order of their uris."""
    rng = Random(f"sample/{config.seed}/flaws")
    good = [Entry(action, action, number) for action in config.actions for number in range(config.per_class)]
    originals = rng.sample(good, len(good))  # every flaw spoils or repeats a picture of its own

    def take(share: float) -> list[Entry]:
        return [originals.pop() for _ in range(min(round(share * len(good)), len(originals)))]

    def other(action: str) -> str:
        return rng.choice([candidate for candidate in config.actions if candidate != action])

    flawed = []
    for i, entry in enumerate(take(config.broken)):
        # broken files are drawn from scenes of their own
        flawed.append(Entry(entry.label, entry.action, config.per_class + i, "broken", i % len(BROKEN)))
    flawed += [
        Entry(entry.label, entry.action, entry.number, "exact_duplicate") for entry in take(config.exact_duplicates)
    ]
    for i, entry in enumerate(take(config.near_duplicates)):
        flawed.append(Entry(entry.label, entry.action, entry.number, "near_duplicate", i % len(_SAVED_AGAIN)))
    for i, entry in enumerate(take(config.wrong_labels)):
        if i == 0:
            flawed.append(Entry(other(entry.action), entry.action, entry.number, "label_conflict"))
        else:
            number = 2 * config.per_class + i
            flawed.append(Entry(other(entry.action), entry.action, number, "wrong_label"))
    return sorted(good + flawed, key=lambda entry: entry.uri(config.seed))


def _cropped(image: Image.Image) -> Image.Image:
    across, down = round(image.width * 0.02), round(image.height * 0.02)
    return image.crop((across, down, image.width - across, image.height - down))


_SAVED_AGAIN: tuple[Callable[[Image.Image], Image.Image], ...] = (
    lambda image: image,
    lambda image: image.resize((round(image.width * 0.8), round(image.height * 0.8)), Image.Resampling.BICUBIC),
    _cropped,
)


def draw_entry(task: tuple[SampleConfig, Entry]) -> bytes:
    """The bytes of one file of a sample."""
    from clip_har.samples.describe import describe_scene
    from clip_har.samples.drawing.photograph import compress
    from clip_har.samples.drawing.render import encode_scene

    config, entry = task
    scene = describe_scene(entry.action, scene_seed("sample", config.seed, entry.number), config.nuisances)
    if entry.flaw == "broken":
        kind = BROKEN[entry.kind]
        if kind == "empty":
            return b""
        if kind == "not an image":
            return b"<html><head><title>404 Not Found</title></head><body>There is no such picture.</body></html>\n"
        if kind == "too small":
            return encode_scene(scene, 16, 12)
    data = encode_scene(scene, config.width, config.height)
    if entry.flaw == "broken":
        return data[: len(data) * 3 // 5]
    if entry.flaw == "near_duplicate":
        with Image.open(io.BytesIO(data)) as image:
            return compress(_SAVED_AGAIN[entry.kind](image), max(20, scene.capture.quality - 25))
    return data


def write_sample(
    folder: str | Path, config: SampleConfig | None = None, progress: Progress | None = None, workers: int | None = None
) -> Path:
    """Draw a sample into `folder/<action>/<name>.jpg`, whole or not at all; one that is there already is kept.

    `folder/sample.json` says what it was made from and which files are flawed. The files depend on the config and the
    installed Pillow only.

    Args:
        folder: missing or empty, or made by an earlier call with the same config.
        config: the default sample if not given.
        progress: called after every file.
        workers: processes; as many as the machine has cores if not given.

    Raises:
        DataError: if there is something else in the folder.
    """
    folder, config = Path(folder), config or SampleConfig()
    if made_already(folder, NOTE, config):
        return folder
    entries = plan_sample(config)
    tasks = ((config, entry) for entry in entries)
    with new_folder(folder) as partial:
        for action in config.actions:
            (partial / action).mkdir()
        for number, data in enumerate(map_in_processes(draw_entry, tasks, len(entries), workers)):
            (partial / entries[number].uri(config.seed)).write_bytes(data)
            if progress:
                progress(number + 1, len(entries))
        flaws = [_note(entry, config) for entry in entries if entry.flaw]
        write_json(partial / NOTE, recipe(config) | {"files": len(entries), "flaws": flaws})
    return folder


def _note(entry: Entry, config: SampleConfig) -> dict[str, str]:
    note = {"file": entry.uri(config.seed), "flaw": entry.flaw}
    if entry.flaw == "broken":
        return note | {"kind": BROKEN[entry.kind]}
    if entry.flaw == "wrong_label":
        return note | {"shows": entry.action}
    return note | {"copy_of": Entry(entry.action, entry.action, entry.number).uri(config.seed)}
