"""Encoding a batch with and without `clip_har.memory.keep_freed_memory`, each in processes of its own, in turn."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

from measuring import HAR_DUAL_ENCODER, PROJECT, finish, pairs, parser, ratio, show

_CHILD = """
import json, sys, time
import numpy as np
import clip_har.memory as memory
if sys.argv[1] == "off":
    memory.keep_freed_memory = lambda: False
    import clip_har.models.dual_encoder as module
    module.keep_freed_memory = memory.keep_freed_memory
from clip_har.models.backbone import ModelConfig
from clip_har.models.dual_encoder import DualEncoder
encoder = DualEncoder.load(ModelConfig(backbone=sys.argv[2]))
height, width = encoder.preprocessing.output_size
pixels = np.random.default_rng(0).normal(size=(int(sys.argv[4]), 3, height, width)).astype(np.float32)
encoder.encode_images(pixels)
started = time.perf_counter()
for _ in range(int(sys.argv[3])):
    encoder.encode_images(pixels)
print(json.dumps(time.perf_counter() - started))
"""


def main() -> None:
    """Measure and print."""
    arguments = parser(__doc__)
    arguments.add_argument("--backbone", default=str(HAR_DUAL_ENCODER), help="folder or id")
    arguments.add_argument("--batch-size", type=int, default=32)
    options = arguments.parse_args()
    batches, count = (1, 3) if options.quick else (4, 7)

    def measure(setting: str) -> float:
        command = [sys.executable, "-c", _CHILD, setting, options.backbone, str(batches), str(options.batch_size)]
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
        return 1000 * json.loads(done.stdout.splitlines()[-1]) / (batches * options.batch_size)

    default, kept = pairs(lambda: measure("off"), lambda: measure("on"), count)
    rows = [(name, f"{statistics.median(v):.1f}") for name, v in (("glibc's default", default), ("kept", kept))]
    show(f"Freed memory: encoding in batches of {options.batch_size}", rows, ("setting", "ms a picture"))
    finish(
        {
            "benchmark": "allocator",
            "pairs": count,
            "default_ms": statistics.median(default),
            "kept_ms": statistics.median(kept),
            "times_as_fast": ratio(default, kept),
        }
    )


if __name__ == "__main__":
    main()
