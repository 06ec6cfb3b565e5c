"""Phrases that were mended do not come back: in pages, in help, in what the package says."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

PHRASES = (
    "no business with", "bands of the air", "tell how many dimensions", "whether it is the sample",
    "the whole way", "values tied", "their order random", "too unlike the base left",
    "anybody answers for", "file of a spectrum holds", r"costs? no other", "of their like",
    r"seen the like\b",
    r"\b(?:a|one) (?:row|column|line|class) each\b",
    r"\bthreads? a core\b",
    "[Oo]f all that is random", "not learned from", "whatever the file says",
    # "one row a file" for "one row per file", and such.
    r"\b(?:one|rows?|name|bytes|number|points|ratio|spectra) an?"
    r" (?:line|pixel|star|file|class|bin|measure|second|minute|step)\b",
    r"\b(?:one|a) (?:row|line) an? (?:row|line|pixel|star|file|spectrum)\b",
)  # fmt: skip


def test_no_mended_phrase_is_back():
    pattern = re.compile("|".join(PHRASES))
    files = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")]
    for folder in ("latentscope", "train"):
        files += [path for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".html")]
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in files
        for match in pattern.finditer(" ".join(path.read_text(encoding="utf-8").split()))
    ]
    assert not found, "; ".join(found)
