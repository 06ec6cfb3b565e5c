import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

# Page faults of taking and freeing 8 MB fifty times, after the first few.
FAULTS = """
import resource
import torch
from train.learning.devices import keep_freed_memory

kept = keep_freed_memory()
def take(times):
    for _ in range(times):
        torch.ones(2_000_000)
take(5)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
take(50)
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="malloc of other systems is left as it is")
def test_freed_memory_is_taken_again_without_new_pages():
    given_back = os.environ | {"MALLOC_MMAP_THRESHOLD_": "131072"}
    done = subprocess.run(
        [sys.executable, "-c", FAULTS], cwd=ROOT, env=given_back, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    kept, faults = done.stdout.split()
    assert done.returncode == 0, done.stderr
    if kept == "False":
        pytest.skip("not glibc")
    assert int(faults) < 30_000  # 98,000 pages of 4 KB, were they given back
