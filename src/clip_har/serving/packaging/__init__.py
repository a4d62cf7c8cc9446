"""A bundle as a Bento: what BentoML serves by itself, in another place, without the project."""

from clip_har.serving.packaging.building import PackedBento, build

__all__ = ["PackedBento", "build"]
