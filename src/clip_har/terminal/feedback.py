"""`clip-har feedback`: what a predicted picture really showed."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from clip_har.client import Client
from clip_har.errors import ConfigError, did_you_mean
from clip_har.terminal.recognisers import KEY, service_url


def main(arguments: Sequence[str]) -> int:
    """Tell the service."""
    parser = argparse.ArgumentParser(
        prog="clip-har feedback",
        description="Say what a predicted picture really showed. The service writes it down, for reports and retraining.",
    )
    parser.add_argument("id", metavar="ID", help="prediction_id, as `clip-har predict --json` and the service give it")
    parser.add_argument("label", metavar="LABEL", help="the true label")
    parser.add_argument("--url", metavar="U", help="the service that predicted (or the environment's CLIP_HAR_URL)")
    parser.add_argument("--any-label", action="store_true", help="even if it is none of the model's")
    options = parser.parse_args(arguments)
    with Client(service_url(options.url), key=os.environ.get(KEY)) as client:
        if not options.any_label:
            known = client.labels().labels
            if options.label not in known:
                raise ConfigError(
                    f"LABEL: {options.label!r} is none of the model's. {did_you_mean(options.label, known)} "
                    "(--any-label if it is meant.)"
                )
        told = client.feedback(options.id, options.label)
    print(f"{told.prediction_id} is {told.label}.")
    return 0
