"""Peak memory of mi_matrix above its inputs: python -m benchmarks.mi_memory ROWS LABELS.

Prints one line of JSON, in megabytes and seconds. It is a process of its own because the peak of a
process never falls.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from benchmarks.mi_inputs import columns
from latentscope.diagnostics.mi.api import mi_matrix


def resident(field: str) -> float:
    """Resident size of this process, MB: VmRSS now, or VmHWM at most so far."""
    status = Path("/proc/self/status")
    if status.exists():
        # Of this process alone; getrusage also remembers the one that started it.
        (line,) = [line for line in status.read_text().splitlines() if line.startswith(field)]
        return int(line.split()[1]) / 1024
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest / (1024**2 if sys.platform == "darwin" else 1024)


def main() -> None:
    """Measure with the numbers of rows and of measured labels from the command line."""
    rows, measured = (int(part) for part in sys.argv[1:3])
    # Code is compiled or read, and the null simulated, before the large columns exist.
    small, few = columns(200, 4, 2)
    mi_matrix(small, few)
    before = resident("VmRSS")
    latents, labels = columns(rows, 128, 8)
    start, loaded = time.perf_counter(), resident("VmRSS")
    mi_matrix(latents, labels, columns=list(labels.columns[:measured]))
    print(
        json.dumps(
            {
                "inputs": loaded - before,
                "above": resident("VmHWM") - loaded,
                "seconds": time.perf_counter() - start,
            }
        )
    )


if __name__ == "__main__":
    main()
