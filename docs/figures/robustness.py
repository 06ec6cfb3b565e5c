"""Draw the picture of docs/robustness.md and print its numbers."""

from __future__ import annotations

from archive import archive, save

from latentscope import robustness


def main() -> None:
    """Measure the bundled model's latents on other samples, draw these, print what they say."""
    latents, labels = archive()
    result = robustness(latents, labels, groups="star")
    save(result.plot(), "robustness.png")
    print(result.overview.to_string(index=False))
    print("\n".join((*result.sentences(), *result.notes)))


if __name__ == "__main__":
    main()
