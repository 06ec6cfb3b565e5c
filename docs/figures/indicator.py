"""Draw the indicator of Sedaghat et al. 2021 for docs/mutual-information.md.

The simulated archive is written in files of the published names, and the two commands of the page
run on these. Run from `docs/figures`:

    python indicator.py
"""

import subprocess
import sys
from tempfile import TemporaryDirectory

import numpy as np
from archive import IMAGES, archive

LATENTS = "encoded_harps_unique_128d_e182_i1500000.npy"
LABELS = "harps_metadata_and_labels.csv"


def main() -> None:
    """Write one spectrum per star as the published subset, and run the commands."""
    latents, labels = archive()
    first = ~labels["object"].duplicated()
    table = labels[["radvel", "Teff", "[M/H]", "logg", "vsini", "airmass", "snr"]].copy()
    table.insert(0, "dp_id", labels["id"])
    table.insert(1, "unique_subset", first.where(first).map({True: "x"}))
    table.insert(2, "median", labels["snr"] ** 2)
    with TemporaryDirectory() as folder:
        np.save(f"{folder}/{LATENTS}", latents.values[first])
        table.to_csv(f"{folder}/{LABELS}", index=False)
        columns = "radvel,Teff,[M/H],airmass,snr"
        for line in (
            ["mad", LATENTS, "--threshold", "0.02", "--no-information"],
            ["mi", LATENTS, LABELS, "--where", "median > 50", "--labels", columns, "--indicator",
             "--plot", str(IMAGES / "indicator.png")],
        ):  # fmt: skip
            command = [sys.executable, "-m", "latentscope", *line]
            subprocess.run(command, cwd=folder, check=True)


if __name__ == "__main__":
    main()
