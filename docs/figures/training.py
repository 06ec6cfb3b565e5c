"""Draw the picture of docs/training.md: what the dimensions of harps-sim do, as training shows it.

Run from the repository:

    python docs/figures/training.py
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from latentscope import load_model
from train.data.sources import data_of
from train.learning.module import SpectrumModule
from train.settings import read_config
from train.validation import evaluated, validate
from train.watching import draw_traversal, scene

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Simulate the validation spectra of the shipped model's training, and draw its traversal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("training-rows"))
    args = parser.parse_args()
    # Validation spectra do not depend on how many there are to train on.
    config = read_config(ROOT / "train/configs/harps-sim.yaml", ["data.spectra=8"])
    data = data_of(config, args.data)
    data.setup()
    model = load_model(config.name)
    module = SpectrumModule(model, config)
    with evaluated(module):
        figure = draw_traversal(
            model, scene(model.prepare, data), validate(module, data), config.name
        )
    path = ROOT / "docs/images/training-traversal.png"
    figure.savefig(path)
    with Image.open(path) as drawn:
        drawn.convert("RGB").quantize(64).save(path, optimize=True)


if __name__ == "__main__":
    main()
