"""The machine's load while a run goes on, sampled by us, so that every tracker has the same figures."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clip_har.tracking.outbox import Recording

_GIGABYTE = 1e9


class SystemMetrics:
    """A thread that records `system/…` until it is stopped.

    Args:
        recording: of the run; the step of a sample is its number.
        seconds: between two samples.
    """

    def __init__(self, recording: Recording, seconds: float) -> None:
        self._recording, self._seconds = recording, seconds
        self._stopped = threading.Event()
        threading.Thread(target=self._run, name="system metrics", daemon=True).start()

    def stop(self) -> None:
        """Take no more samples."""
        self._stopped.set()

    def _run(self) -> None:
        sample_system()  # the first call only starts the measurement of the processor's load
        number = 0
        while not self._stopped.wait(self._seconds):
            self._recording.metrics({f"system/{key}": value for key, value in sample_system().items()}, number)
            number += 1


def sample_system() -> dict[str, float]:
    """The load since the last call: percent of the processor, memory and disk; of each GPU where there are any."""
    import psutil

    memory, network = psutil.virtual_memory(), psutil.net_io_counters()
    figures = {
        "cpu_percent": psutil.cpu_percent(),
        "memory_percent": memory.percent,
        "memory_used_gb": memory.used / _GIGABYTE,
        "process_memory_gb": psutil.Process().memory_info().rss / _GIGABYTE,
        "process_threads": float(psutil.Process().num_threads()),
        "disk_percent": float(psutil.disk_usage(".").percent),
    }
    if network is not None:
        figures |= {
            "network_sent_gb": network.bytes_sent / _GIGABYTE,
            "network_received_gb": network.bytes_recv / _GIGABYTE,
        }
    return figures | _sample_gpus()


def _sample_gpus() -> dict[str, float]:
    """Memory and load of each GPU, as PyTorch sees it; none where nothing has brought PyTorch up or it has no GPU."""
    torch = sys.modules.get("torch")  # importing it for this would cost more than all else
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return {}
    figures = {}
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        figures[f"gpu_{number}_memory_percent"] = 100.0 * (total - free) / total
        figures[f"gpu_{number}_process_memory_gb"] = torch.cuda.memory_reserved(number) / _GIGABYTE
        for key, measure in (("percent", "utilization"), ("power_watts", "power_draw"), ("celsius", "temperature")):
            try:
                value = float(getattr(torch.cuda, measure)(number))
            except Exception:  # needs NVIDIA's library, which is not everywhere
                continue
            figures[f"gpu_{number}_{key}"] = value / 1000 if key == "power_watts" else value
    return figures
