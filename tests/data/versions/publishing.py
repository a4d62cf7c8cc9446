"""A process that has imported everything and forks for each line that it reads; test_killed.py kills what it forks.

A line is JSON: workspace, folder of photographs, tag. It answers with the child's process id, and with how the child ended.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path

import dvc.config
import dvc.repo  # noqa: F401
import pygit2  # noqa: F401
import scmrepo.git  # noqa: F401

from clip_har.data.versions.store import VersionStore
from tests.data.versions.world import described


def publish_and_open(workspace: str, photographs: str, tag: str) -> None:
    store = VersionStore(workspace)
    store.open(store.publish(*described(Path(photographs)), source_key=tag, tag=tag, push=True))


def serve() -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                publish_and_open(*json.loads(line))
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        print(child, flush=True)
        print(os.waitpid(child, 0)[1], flush=True)


if __name__ == "__main__":
    serve()
