"""What came of a stretch of load: when each request was due, how long its answer took, and what it was."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

OK = 200
DROPPED = 0  # the connection ended without an answer


@dataclass
class Outcome:
    """Requests in the order in which they were answered.

    Attributes:
        seconds: length of the stretch; of closed loops, what is answered after it is not counted.
        cpu_seconds: processor time of the generator's process in it, the kernel's on its behalf included.
        due: seconds from the start at which each request was to be sent (closed loops: was sent).
        taken: seconds from then to the end of its answer: what waits behind a late sender is late too.
        statuses: HTTP statuses (gRPC's codes as their HTTP equivalents); 0 for a connection that was dropped.
        afterwards: requests of a closed loop that were answered after its time.
        late: seconds by which requests were sent after they were due; says whether the generator kept up.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    due: list[float] = field(default_factory=list)
    taken: list[float] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    afterwards: int = 0

    def add(self, due: float, taken: float, status: int, late: float = 0.0) -> None:
        """Note one answer."""
        self.due.append(due)
        self.taken.append(taken)
        self.statuses.append(status)
        self.late.append(late)

    @classmethod
    def of(cls, told: dict[str, Any]) -> Outcome:
        """What `vars` of another one made, as told by the generator's process."""
        return cls(**told)

    @property
    def counts(self) -> dict[int, int]:
        """Requests by status."""
        return dict(sorted(Counter(self.statuses).items()))

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return self.statuses.count(OK) / self.seconds

    @property
    def generator_cores(self) -> float:
        """Cores that the generator kept busy, on average."""
        return self.cpu_seconds / self.seconds

    def share(self, status: int) -> float:
        """Of all requests, those with this status."""
        return self.statuses.count(status) / max(1, len(self.statuses))

    def times(self, status: int = OK) -> list[float]:
        """Seconds of the requests with this status."""
        return [taken for taken, found in zip(self.taken, self.statuses, strict=True) if found == status]

    def counted_out(self, cores: int) -> float:
        """Good answers a second, had the generator run elsewhere: the rate over the share of the cores left to the server.

        rate × cores / (cores − generator's cores). What the generator takes, on the same cores, is lost to a server
        that would keep them all busy. It is no gift to one that does not, as long as it is small: a few percent.
        """
        return self.rate * cores / (cores - self.generator_cores)

    def recovered_after(self, usual: float, width: float = 0.5) -> float:
        """Seconds from the start after which good answers take as long as usual: where the last slow bin ends.

        Args:
            usual: seconds; a bin is slow if its median is over twice this, or if nothing due in it was answered.
            width: of a bin, in seconds.
        """
        bins: list[list[float]] = [[] for _ in range(max(1, int(self.seconds / width)))]
        for due, taken, status in zip(self.due, self.taken, self.statuses, strict=True):
            if status == OK and due < width * len(bins):
                bins[int(due / width)].append(taken)
        slow = [place for place, found in enumerate(bins) if not found or statistics.median(found) > 2 * usual]
        return width * (slow[-1] + 1) if slow else 0.0


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that this share of the values does not exceed; nan if there are none."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
