"""A data set of the Hugging Face Hub, fetched once into files."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field

from clip_har.data.sources.base import DataSource, Progress, SourceConfig, SourceRecord
from clip_har.errors import DataError, did_you_mean
from clip_har.storage import new_folder, write_atomic

_LISTING = "records.jsonl"
_PICTURES = "pictures"


class HubSourceConfig(SourceConfig):
    """A data set of the Hub with a column of images and a column of classes."""

    source: Literal["hub"] = "hub"
    dataset: str = Field("Bingsu/Human_Action_Recognition", description="Id of the data set on the Hub.")
    revision: str = Field("main", description="Branch, tag or commit of the data set.")
    split: str = Field(
        "train", description="The labelled split (the default data set's test split has only placeholder labels)."
    )
    image_column: str = Field("image", description="Column of the images.")
    label_column: str = Field("labels", description="Column of the classes (ClassLabel or text).")


class HubSource(DataSource):
    """Pictures and labels from a `datasets` id, at one commit.

    The original bytes are written below `workspace/hub/<id>/<commit>/<split>/`, so that from there on a Hub data
    set is a folder of files like any other. A later run at the same commit needs no network.
    """

    Config = HubSourceConfig
    config: HubSourceConfig

    @property
    def _home(self) -> Path:
        return self.workspace / "hub" / self.config.dataset.replace("/", "--")

    @cached_property
    def commit(self) -> str:
        """The commit that the revision stands for; when the Hub cannot be reached, the one that it last stood for.

        Raises:
            DataError: if the data set or the revision does not exist, or was never fetched and cannot be now.
        """
        from huggingface_hub import HfApi
        from huggingface_hub.errors import (
            GatedRepoError,
            HFValidationError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )

        remembered = self._home / "revisions" / f"{self.config.revision.replace('/', '--')}.txt"
        try:
            commit = HfApi().dataset_info(self.config.dataset, revision=self.config.revision, timeout=20).sha
        except GatedRepoError as error:
            raise DataError(
                f"data.dataset: {self.config.dataset!r} asks for its terms to be accepted on the Hub, and for a token."
            ) from error
        except RepositoryNotFoundError as error:
            raise DataError(
                f"data.dataset: the Hub has no data set {self.config.dataset!r} (or it is private: set HF_TOKEN)."
            ) from error
        except RevisionNotFoundError as error:
            raise DataError(
                f"data.revision: the data set {self.config.dataset!r} has no revision {self.config.revision!r}."
            ) from error
        except HFValidationError as error:
            raise DataError(f"data.dataset: {self.config.dataset!r} is not the id of a data set: {error}") from error
        except Exception as error:  # offline mode, no route, time-out: one class each in httpx and huggingface_hub
            if remembered.is_file():
                return remembered.read_text().strip()
            raise DataError(
                f"data.dataset: {self.config.dataset!r} was never fetched, and the Hub cannot be reached now "
                f"({type(error).__name__}). With photographs of your own: data.source=folder data.path=…"
            ) from error
        write_atomic(remembered, commit + "\n")
        return commit

    @property
    def _folder(self) -> Path:
        return self._home / self.commit / self.config.split

    @cached_property
    def root(self) -> Path:
        return self._folder / _PICTURES

    def check(self) -> None:
        _ = self.commit  # asking for it is the check

    def prepare(self, progress: Progress | None = None) -> None:
        if (self._folder / _LISTING).is_file():
            return
        table, names = self._fetch()
        with new_folder(self._folder) as folder:
            (folder / _PICTURES).mkdir()
            lines = []
            for number, row in enumerate(table):
                data, label = row[self.config.image_column]["bytes"], row[self.config.label_column]
                if names is not None and label is not None:
                    label = names[label] if 0 <= label < len(names) else None
                uri = f"{number:06d}{_suffix(data)}"
                (folder / _PICTURES / uri).write_bytes(data or b"")
                lines.append(json.dumps({"uri": uri, "label": None if label is None else str(label)}))
                if progress:
                    progress(number + 1, len(table))
            (folder / _LISTING).write_text("".join(f"{line}\n" for line in lines))

    def _fetch(self):
        """The split with its images' original bytes, and the names of the classes (None if labels are text)."""
        import datasets

        try:
            table = datasets.load_dataset(self.config.dataset, revision=self.commit, split=self.config.split)
        except ValueError as error:  # unknown split, no readable files
            raise DataError(f"data.dataset: {self.config.dataset!r} cannot be loaded: {error}") from error
        except (OSError, datasets.exceptions.DatasetsError) as error:
            raise DataError(f"data.dataset: {self.config.dataset!r} could not be fetched: {error}") from error
        for key in ("image_column", "label_column"):
            column = getattr(self.config, key)
            if column not in table.column_names:
                raise DataError(
                    f"data.{key}: {self.config.dataset!r} has no column {column!r}. "
                    f"{did_you_mean(column, table.column_names)}"
                )
        feature = table.features[self.config.label_column]
        if not isinstance(table.features[self.config.image_column], datasets.Image):
            raise DataError(
                f"data.image_column: the column {self.config.image_column!r} of {self.config.dataset!r} holds no images."
            )
        names = feature.names if isinstance(feature, datasets.ClassLabel) else None
        return table.cast_column(self.config.image_column, datasets.Image(decode=False)), names

    def records(self) -> list[SourceRecord]:
        self.prepare()
        records = []
        for line in (self._folder / _LISTING).read_text().splitlines():
            entry = json.loads(line)
            problem = None if entry["label"] else ("missing_label", "the row has no label")
            records.append(SourceRecord(entry["uri"], entry["label"], problem))
        if not records:
            raise DataError(f"data.split: the split {self.config.split!r} of {self.config.dataset!r} is empty.")
        return records


def _suffix(data: bytes | None) -> str:
    """File name suffix by the first bytes; only for people who look into the folder."""
    signatures = {b"\xff\xd8": ".jpg", b"\x89PNG": ".png", b"GIF8": ".gif", b"RIFF": ".webp", b"BM": ".bmp"}
    return next((suffix for start, suffix in signatures.items() if (data or b"").startswith(start)), ".img")
