"""Few shots: some labelled photographs of each class, drawn from the train split."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from clip_har.data.manifest import Manifest


def draw_shots(manifest: Manifest, shots: int, seed: int) -> Manifest:
    """The Manifest with at most `shots` photographs of each class in its train split; other splits stay whole.

    The draw depends on the seed and on the ids, not on the order of the rows, and fewer shots of the same seed are
    among more. A class with fewer photographs keeps all of them.
    """
    frame = manifest.frame
    train = frame[frame["split"] == "train"]
    drawn: set[str] = set()
    for number, label in enumerate(manifest.labels):
        ids = np.sort(train["id"][train["label"] == label].to_numpy(dtype=str))
        drawn.update(np.random.default_rng([seed, number]).permutation(ids)[:shots].tolist())
    kept = frame[(frame["split"] != "train") | frame["id"].isin(drawn)]
    return replace(manifest, frame=kept.reset_index(drop=True))
