"""The child of test_killed.py: runs a job to its end and writes its table, with nothing of the test's own around it."""

import sys
from pathlib import Path

from clip_har.batch.config import BatchConfig
from clip_har.batch.job import run_job
from clip_har.batch.publishing import write_result
from clip_har.component import validated
from clip_har.models.backbone import ComputeConfig
from clip_har.models.bundle import ModelBundle

if __name__ == "__main__":
    bundle, source, workspace, target = sys.argv[1:]
    config = validated(BatchConfig, {"source": source, "part_rows": 32, "runtime": "onnx"})
    compute = ComputeConfig(device="cpu", batch_size=8, threads=1)
    job = run_job(ModelBundle.load(bundle), config, compute, workspace)
    Path(target).mkdir(parents=True, exist_ok=True)
    write_result(job, config, Path(target))
    print(f"kept {job.kept}")
