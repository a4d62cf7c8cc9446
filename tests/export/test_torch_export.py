"""torch.export archives: plain torch runs them, and nothing in them is ever unpickled."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Callable

import numpy as np
import pytest
import torch

from clip_har.errors import BundleError
from clip_har.export.torch_export import load_archive, pickles_in
from tests.export.conftest import Exported

# What a pickle begins with, of protocol 2 or later, and a zip file; weights may begin with the first byte alone.
PICKLED = (*(bytes((0x80, protocol)) for protocol in range(2, 6)), b"PK")

SCRIPT = """
import sys
import numpy, torch
encode = torch.export.load(sys.argv[1]).module()
pixel_values = numpy.load(sys.argv[2])
with torch.inference_mode():
    numpy.save(sys.argv[3], encode(torch.from_numpy(pixel_values)).numpy())
assert not any(name.startswith(("clip_har", "transformers")) for name in sys.modules)
"""


def test_there_are_no_pickles_in_it(exported: Callable[[str], Exported]) -> None:
    made = exported("clip")
    for encoder in ("image", "text"):
        path = made.path("torch-export", encoder)
        assert pickles_in(path) == []
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                assert not archive.read(name).startswith(PICKLED), name


def test_plain_torch_runs_it(exported: Callable[[str], Exported], tmp_path) -> None:
    made = exported("clip")
    pixel_values = np.random.default_rng(0).normal(size=(3, 3, 32, 32)).astype(np.float32)
    np.save(tmp_path / "pixels.npy", pixel_values)
    arguments = [made.path("torch-export", "image"), tmp_path / "pixels.npy", tmp_path / "embeddings.npy"]
    done = subprocess.run([sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    wanted = made.encoder.encode_images(pixel_values)
    np.testing.assert_allclose(np.load(tmp_path / "embeddings.npy"), wanted, atol=1e-6)


def test_an_archive_with_pickles_is_not_opened(tmp_path) -> None:
    """As torch itself writes them: example inputs are pickled."""
    program = torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),))
    torch.export.save(program, tmp_path / "usual.pt2")
    assert len(pickles_in(tmp_path / "usual.pt2")) == 1
    with pytest.raises(BundleError, match="holds pickles"):
        load_archive(tmp_path / "usual.pt2")


def test_an_archive_with_pickled_weights_is_not_opened(tmp_path) -> None:
    class Complex(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            whole = torch.arange(8.0)
            self.register_buffer("part", whole[::2])  # not contiguous

        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return values + self.part

    program = torch.export.export(Complex(), (torch.zeros(4),))
    program._example_inputs = None
    torch.export.save(program, tmp_path / "odd.pt2")
    with zipfile.ZipFile(tmp_path / "odd.pt2") as archive:
        pickled = [name for name in archive.namelist() if archive.read(name).startswith(PICKLED)]
    assert bool(pickled) == bool(pickles_in(tmp_path / "odd.pt2"))


def test_rubbish_is_not_an_archive(tmp_path) -> None:
    (tmp_path / "rubbish.pt2").write_bytes(b"not a zip file")
    with pytest.raises(BundleError, match=r"not a torch\.export archive"):
        load_archive(tmp_path / "rubbish.pt2")
