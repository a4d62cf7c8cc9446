"""Which backbone to load, and what can be found wrong about it in a moment (no torch here)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from clip_har.component import ComponentConfig
from clip_har.errors import ModelError
from clip_har.models.preprocessing_override import PreprocessingOverride

_NEEDED = ("config.json", "preprocessor_config.json")
# Backbones that come with the package, by the names of their folders in assets/.
PACKAGED = {"tiny-clip": "tiny_clip"}


class ModelConfig(ComponentConfig):
    """The pretrained dual encoder that everything starts from."""

    backbone: str = Field(
        description="Folder or Hub id of a transformers dual encoder (CLIP, SigLIP, AltCLIP, …), or tiny-clip, which "
        "comes with the package."
    )
    revision: str | None = Field(None, description="Branch, tag or commit on the Hub.")
    dtype: Literal["float32", "bfloat16", "float16"] = Field("float32", description="Type that weights load as.")
    decoder_reduction: bool = Field(
        False,
        description="Let the decoder reduce JPEGs of at least five times the input size: faster on large photographs, "
        "embeddings equal to a cosine of 0.999.",
    )
    preprocessing: PreprocessingOverride | None = Field(
        None, description="Parts of the backbone's preprocessing to do otherwise for this data set."
    )

    @property
    def reduces_while_decoding(self) -> bool:
        """`decoder_reduction`, unless the override says otherwise."""
        override = self.preprocessing
        if override is None or override.decoder_reduction is None:
            return self.decoder_reduction
        return override.decoder_reduction


class ComputeConfig(ComponentConfig):
    """Where encoding runs."""

    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    batch_size: int = Field(32, ge=1, description="Pictures encoded at one time.")
    threads: int | None = Field(None, ge=1, description="CPU threads of torch; if not given, torch decides.")

    @field_validator("device")
    @classmethod
    def _device_is_known(cls, value: str) -> str:
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
            raise ValueError(f"there is no device {value!r}; wanted: auto, cpu, cuda or cuda:N")
        return value


def location(backbone: str) -> str:
    """Where a backbone is: its folder or its id on the Hub. A folder of the same name goes before a packaged one."""
    if backbone in PACKAGED and not Path(backbone).exists():
        return str(Path(__file__).parents[1] / "assets" / PACKAGED[backbone])
    return backbone


def is_folder(backbone: str) -> bool:
    """Whether a backbone's name means a folder here rather than an id on the Hub."""
    return Path(backbone).exists() or backbone.startswith((".", "/", "~")) or backbone.count("/") != 1


def check_backbone(config: ModelConfig) -> None:
    """Find what is wrong with a backbone without loading it.

    Raises:
        ModelError: if a folder is missing or lacks a file, or the Hub does not have (or cannot give) the id.
    """
    place = location(config.backbone)
    if is_folder(place):
        _check_folder(Path(place))
    else:
        _check_hub(config)


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise ModelError(
            f"model.backbone: there is no folder {str(folder)!r} (looked in {folder.absolute()}); wanted: a folder "
            "with a Hugging Face model, an id of the Hub like 'openai/clip-vit-base-patch16', or 'tiny-clip'."
        )
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    if missing:
        raise ModelError(
            f"model.backbone: {str(folder)!r} is not a Hugging Face dual encoder: no {', '.join(missing)}."
        )
    try:
        json.loads((folder / "config.json").read_text())["model_type"]
    except (ValueError, KeyError) as error:
        raise ModelError(f"model.backbone: {folder / 'config.json'} is damaged or has no model_type.") from error


def _check_hub(config: ModelConfig) -> None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        hf_hub_download(config.backbone, "config.json", revision=config.revision)
    except GatedRepoError as error:
        raise ModelError(
            f"model.backbone: {config.backbone!r} asks for its terms to be accepted on the Hub, and for a token."
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelError(
            f"model.backbone: {config.backbone!r} is neither a folder here nor a model of the Hub (or it is private: "
            "set HF_TOKEN)."
        ) from error
    except RevisionNotFoundError as error:
        raise ModelError(f"model.revision: {config.backbone!r} has no revision {config.revision!r}.") from error
    except HFValidationError as error:
        raise ModelError(f"model.backbone: {config.backbone!r} is neither a folder nor the id of a model.") from error
    except EntryNotFoundError as error:
        if "LocalEntry" in type(error).__name__:
            raise _unreachable(config, error) from error
        raise ModelError(
            f"model.backbone: {config.backbone!r} has no config.json: not a transformers model."
        ) from error
    except Exception as error:  # no route, time-out: one class each in httpx and huggingface_hub
        raise _unreachable(config, error) from error


def _unreachable(config: ModelConfig, error: Exception) -> ModelError:
    return ModelError(
        f"model.backbone: {config.backbone!r} is not a folder here, was never fetched, and the Hub cannot be reached "
        f"now ({type(error).__name__})."
    )
