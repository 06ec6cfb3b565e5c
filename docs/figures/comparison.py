"""Draw the picture of docs/comparison.md: both bundled models, on the same simulated spectra.

Run from `docs/figures`:

    python comparison.py
"""

from archive import FOLDER, archive, save

from latentscope import compare


def main() -> None:
    """Compare the two bundled models on 2,000 simulated spectra, print what is found and draw."""
    for model in ("harps-sim", "harps-sim-plain"):
        _, labels = archive(model)
    columns = ["radvel", "Teff", "logg", "[M/H]", "vsini", "airmass", "snr"]
    paths = [FOLDER / f"{model}.npy" for model in ("harps-sim", "harps-sim-plain")]
    result = compare(*paths, labels=labels, names=["harps-sim", "plain"], columns=columns)
    print("\n".join([*result.sentences(), *result.notes]))
    print(result.labels.drop(columns=["a", "b"]).round(3).to_string())
    save(result.plot(), "comparison.png")


if __name__ == "__main__":
    main()
