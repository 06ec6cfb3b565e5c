"""What is read of real and damaged files: python -m benchmarks.files_read.

Tries the layouts of instruments that the tests hold (`tests/spectra/instruments.py`: a small file
each, flux = wavelength, with what is right to read from it) and --damaged files broken in every
way of `tests/spectra/damage.py`, which a network with random weights encodes in one run. Of each
family of files:

- right: wavelengths to 1e-6, medium, frame, flux, errors and flagged pixels as they should be, and
  what the file leaves open said in `assumed`;
- refused: with a reason that names the file, and for files that hold no spectrum or several, what
  to do;
- refused, though good: or refused for another reason than the right one;
- wrong: encoded although no spectrum, or with other numbers. A damage that nothing in the file can
  show, such as a flipped bit of a flux value, is counted on its own.

Prints tables, and the names of the files that are wrong.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.timing import markdown_table
from latentscope.models.encode import encode
from tests.models.encoding import tiny_model
from tests.spectra.damage import write_damaged
from tests.spectra.instruments import LAYOUTS
from tests.spectra.judge import verdict, whole

ANSWERS = ("right", "refused", "refused, though good", "wrong")
UNTOLD = "wrong, and nothing can tell"
MIN_COVERAGE = 0.3  # the network's grid is twice as long as the damaged files


def instruments(folder: Path) -> tuple[dict[str, Counter[str]], list[str]]:
    """Answers to the layouts by family, and the names of those that are not right."""
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    amiss = []
    for layout in LAYOUTS.values():
        answer, problems = verdict(layout, folder)
        if problems:
            amiss.append(f"{layout.name}: {'; '.join(problems)}")
            answer = "refused, though good" if answer == "refused" else answer
        answers[layout.kind][answer] += 1
    return dict(answers), amiss


def damaged(folder: Path, count: int) -> tuple[dict[str, Counter[str]], list[str], float]:
    """Answers to damaged files by kind, those that are wrong, and the seconds that it took."""
    files = list(write_damaged(folder, count))
    begin = time.perf_counter()
    latents = encode([path for path, _, _ in files], tiny_model(), min_coverage=MIN_COVERAGE)
    taken = time.perf_counter() - begin
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    amiss = []
    for (path, damage, base), through in zip(files, latents.ok, strict=True):
        answer = "refused"
        if through:
            answer = "right" if damage.allowed != "refused" and whole(path) else "wrong"
            if answer == "wrong" and damage.allowed == "either":
                answer = UNTOLD
        elif damage.allowed == "right":
            answer = "refused, though good"
        if answer in ANSWERS[2:]:
            amiss.append(f"{damage.name} ({base}): {answer}")
        answers[damage.kind][answer] += 1
    return dict(answers), amiss, taken


def table(answers: Mapping[str, Counter[str]], columns: Sequence[str]) -> str:
    total: Counter[str] = sum(answers.values(), Counter())
    rows = [
        [kind, str(counts.total()), *(str(counts[column]) for column in columns)]
        for kind, counts in [*answers.items(), ("all", total)]
    ]
    return markdown_table(["kind of file", "tried", *columns], rows)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--damaged", type=int, default=1000, help="damaged files")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        real, real_amiss = instruments(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        broken, broken_amiss, taken = damaged(Path(folder), options.damaged)
    print(table(real, ANSWERS))
    print(f"\n{options.damaged} damaged files in one run, {taken:.1f} s:\n")
    print(table(broken, (*ANSWERS, UNTOLD)))
    for line in [*real_amiss, *broken_amiss]:
        print(f"- {line}")


if __name__ == "__main__":
    main()
