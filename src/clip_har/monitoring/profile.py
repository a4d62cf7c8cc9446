"""The reference profile: what a model says of pictures that it was not trained on, and what is usual among those.

An attachment of the bundle, `attachments/reference/`:
    profile.json                    what it was made from, and a checksum of each other file
    observations.{json,safetensors,parquet}
    thresholds.safetensors          statistics of disjoint pairs of the same pictures, by size of the window
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clip_har.component import Artifact
from clip_har.errors import BundleError, ConfigError
from clip_har.hashing import sha256_arrays, sha256_file, sha256_json
from clip_har.monitoring.config import ProfileConfig
from clip_har.monitoring.errors import MonitoringError
from clip_har.monitoring.observations import Observations
from clip_har.monitoring.observing import observe
from clip_har.monitoring.stored import hash_of, read_observations, write_observations
from clip_har.monitoring.thresholds import Thresholds
from clip_har.storage import write_atomic, write_json

if TYPE_CHECKING:
    from clip_har.data.image import ImageLimits
    from clip_har.data.manifest import Manifest
    from clip_har.models.backbone import ComputeConfig
    from clip_har.models.bundle import ModelBundle
    from clip_har.progress import Report

REFERENCE = "reference"
VERSION = 1
_FACTS, _THRESHOLDS = "profile.json", "thresholds.safetensors"
_AGAIN = "Make it again: python run.py --pipeline deploy"


@dataclass(frozen=True)
class ReferenceProfile(Artifact):
    """What windows are compared with.

    Attributes:
        observations: of the reference's pictures, in the order of their ids (sha256); their files are not named.
        thresholds: of all checks.
        splits: of the data that they come from.
        runtime: what encoded them.
        data_revision: of the data.
        config: what it was made with.
    """

    observations: Observations
    thresholds: Thresholds
    splits: tuple[str, ...]
    runtime: str
    data_revision: str
    config: ProfileConfig

    @property
    def model_id(self) -> str:
        """Of the model that answered."""
        return self.observations.model_id

    @classmethod
    def build(
        cls,
        bundle: ModelBundle,
        manifest: Manifest,
        config: ProfileConfig,
        *,
        runtime: str = "auto",
        compute: ComputeConfig | None = None,
        limits: ImageLimits | None = None,
        progress: Report | None = None,
    ) -> ReferenceProfile:
        """Observe the pictures of the configured splits with what will serve them, and draw the thresholds.

        Args:
            manifest: data with the splits that the bundle was made with: it was trained on none of these.
            runtime: of the image encoder; the same model in int8 gives embeddings that can be told from float32.

        Raises:
            DataError: if the data have classes that the model does not know.
            MonitoringError: if there are no such pictures, or one cannot be read any more.
        """
        from clip_har.inference.predictor import Predictor
        from clip_har.models.backbone import ComputeConfig

        known = manifest.in_the_order_of(bundle.labels)
        held_out = replace(known, frame=known.frame[known.frame["split"].isin(config.splits)].reset_index(drop=True))
        if not len(held_out):
            raise MonitoringError(
                f"There is no photograph in the splits {', '.join(config.splits)}, and so nothing to compare with. Enlarge them "
                "(splits), or leave the profile out: --set monitor.profile.enabled=false"
            )
        compute = compute or ComputeConfig()
        predictor = Predictor.load(
            bundle,
            runtime,
            device=compute.device,
            batch_size=compute.batch_size,
            limits=limits,
            threads=compute.threads,
        )
        observed = observe(
            predictor, held_out.paths, ids=held_out.ids, truth=held_out.label_indices, limits=limits, progress=progress
        )
        if observed.errors:
            said = ", ".join(f"{number} {reason}" for reason, number in observed.errors.items())
            raise MonitoringError(
                f"Photographs below {manifest.root} were accepted by validation, but cannot be read any more ({said}). Put them "
                "back, or take them out of the data."
            )
        revision = str(held_out.frame["data_revision"].iloc[0])
        source = f"{', '.join(config.splits)} of the data {revision[:12]}"
        observed = replace(observed, pictures=None, source=source)  # where they lie here is of no use elsewhere
        return cls.made_of(
            observed,
            config,
            splits=config.splits,
            runtime=predictor.runtime.name,
            data_revision=revision,
            progress=progress,
        )

    @classmethod
    def made_of(
        cls,
        observations: Observations,
        config: ProfileConfig,
        *,
        splits: tuple[str, ...] = (),
        runtime: str = "",
        data_revision: str = "",
        progress: Report | None = None,
    ) -> ReferenceProfile:
        """The profile of pictures that were observed already: draws the thresholds."""
        thresholds = Thresholds.draw(observations, config, progress=progress)
        return cls(observations, thresholds, splits, runtime, data_revision, config)

    @property
    def content_hash(self) -> str:
        """sha256 of all that is in it."""
        arrays = {name: np.asarray(array) for name, array in self.thresholds.arrays().items()}
        return sha256_json([hash_of(self.observations), sha256_arrays(arrays), self._facts()])

    def write(self, folder: str | Path) -> None:
        """Write its files into a folder, the one that vouches for the others last."""
        from safetensors.numpy import save

        folder = Path(folder)
        before = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        write_observations(folder, self.observations)
        arrays = {name: np.ascontiguousarray(array) for name, array in self.thresholds.arrays().items()}
        write_atomic(folder / _THRESHOLDS, save(arrays))
        files = sorted({path.name for path in folder.iterdir()} - before)
        write_json(folder / _FACTS, self._facts() | {"files": {name: sha256_file(folder / name) for name in files}})

    @classmethod
    def read(cls, folder: str | Path) -> ReferenceProfile:
        """What `write` wrote.

        Raises:
            MonitoringError: if it is missing, damaged, or of another version.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        folder = Path(folder)
        try:
            facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
            if facts["version"] != VERSION:
                raise MonitoringError(
                    f"The reference profile in {folder} has version {facts['version']}, and this clip-har reads {VERSION}. {_AGAIN}"
                )
            changed = [name for name, checksum in facts["files"].items() if sha256_file(folder / name) != checksum]
            if changed:
                raise ValueError(f"{', '.join(changed)} differ from their checksums")
            thresholds = Thresholds.from_arrays(tuple(facts["thresholds"]), load_file(folder / _THRESHOLDS))
            return cls(
                observations=read_observations(folder),
                thresholds=thresholds,
                splits=tuple(facts["splits"]),
                runtime=facts["runtime"],
                data_revision=facts["data_revision"],
                config=ProfileConfig.model_validate(facts["config"]),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ConfigError, SafetensorError) as error:
            raise MonitoringError(f"The reference profile in {folder} is damaged: {error}. {_AGAIN}") from error

    def attach(self, bundle: ModelBundle) -> Path:
        """Put it into the bundle's attachments, in place of an earlier one.

        Raises:
            MonitoringError: if it was made with another model.
        """
        if self.model_id != bundle.model_id:
            raise MonitoringError(
                f"This reference profile was made with the model {self.model_id[:12]}, not with {bundle.model_id[:12]}."
            )
        return bundle.attach(REFERENCE, self.write)

    @classmethod
    def of(cls, bundle: ModelBundle) -> ReferenceProfile:
        """The bundle's.

        Raises:
            MonitoringError: if it has none, or one that cannot be used.
        """
        try:
            folder = bundle.attachment(REFERENCE)
        except BundleError as error:
            raise MonitoringError(
                f"The model {bundle.model_id[:12]} has no reference profile to compare with ({error}). It is made when the model "
                f"is exported: python run.py --pipeline deploy --set bundle={bundle.path}"
            ) from error
        profile = cls.read(folder)
        if profile.model_id != bundle.model_id:
            raise MonitoringError(
                f"The reference profile in {folder} was made with the model {profile.model_id[:12]}, not with this one. {_AGAIN}"
            )
        return profile

    def _facts(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "model_id": self.model_id,
            "splits": list(self.splits),
            "runtime": self.runtime,
            "data_revision": self.data_revision,
            "config": self.config.model_dump(mode="json"),
            "thresholds": list(self.thresholds.names),
        }
