"""A small report on everything, made once, and what tests read pages with."""

from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from latentscope.data import Latents
from latentscope.reporting.report import report
from tests.models.encoding import small_model

VOID = {"meta", "img", "br", "hr", "link", "input"}
UGLY = "<script>alert(\"ü\")</script> & 'a' $x$"
"""A name that harms a page which does not escape it."""


class Page(HTMLParser):
    """Reads a page, and notes what is not balanced."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.faults, self.tags, self.words = [], [], [], []
        self.feed(text)
        self.close()
        self.faults += [f"<{tag}> is never closed" for tag in self.open]

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="session")
def page_of():
    return lambda path: Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="session", name="small_model")
def of_four_latents():
    return small_model(4)


@pytest.fixture(scope="session")
def measured():
    """Latents (240 x 4, 150 stars: rv, Teff, a mixture, dead) and labels that go with them."""
    rng = np.random.default_rng(7)
    star = np.append(np.arange(150), rng.integers(0, 150, 90))
    teff = rng.uniform(3500, 7000, 150)[star]
    rv = rng.normal(0, 30, 240)
    values = np.column_stack(
        [
            rv / 30 + 0.05 * rng.normal(size=240),
            (teff - 5000) / 1000 + 0.1 * rng.normal(size=240),
            0.5 * teff / 1000 + rng.normal(size=240),
            1e-4 * rng.normal(size=240),
        ]
    )
    values[5] = np.nan
    ids = [f"spectrum-{i}" for i in range(240)]
    table = pd.DataFrame(
        {
            "id": ids,
            "star": [f"star {i}" for i in star],
            "error": [f"{UGLY} is no spectrum" if i == 5 else "" for i in range(240)],
            "snr": rng.uniform(20, 200, 240),
            "coverage": 1.0,
            "recon_error": rng.uniform(0.01, 0.1, 240),
        }
    )
    labels = pd.DataFrame({"id": ids, "radvel": rv, UGLY: teff})
    logvar = np.full((240, 4), -4.0)
    logvar[:, 3] = 0.0
    return Latents(values, table, logvar, source=f"{UGLY}.npy"), labels


@pytest.fixture(scope="session")
def whole(measured, small_model, tmp_path_factory):
    """The report on all of that."""
    latents, labels = measured
    output = tmp_path_factory.mktemp("report") / "report.html"
    return report(
        latents, labels, model=small_model, output=output, quick=True, command=f"report {UGLY}"
    )
