"""How fast the explorer answers, in headless Chromium: the 50 % and 95 % quantiles of 100 actions.

Of starts there are three. Sliders move once it is known what they do.

Three archives: simulated spectra by the bundled model; random latents of a network as large as the
published one (327,680 pixels, 128 latents, random weights); and 272,376 x 128 random latents
without a model. An action ends when the browser has painted what it asked for. Run:

    python -m benchmarks.explorer --actions 100
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from playwright.sync_api import Page, sync_playwright

GOALS = {
    ("bundled", "slider"): 150.0, ("published", "slider"): 400.0,
    ("published", "zoom"): 100.0, ("bundled", "click"): 300.0,
    ("bundled", "start"): 5000.0, ("archive", "start"): 8000.0,
}  # fmt: skip
"""Milliseconds that 95 % of the actions should take at most."""

HELP = """
window.model = name => Bokeh.documents[0].get_model_by_name(name);
// Do something, wait until a source has new data and two frames were painted, and say how long.
window.timed = (act, name, fits = () => true) => new Promise(resolve => {
  const source = model(name), begin = performance.now();
  const told = () => {
    if (!fits(source)) return;
    source.properties.data.change.disconnect(told);
    requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now() - begin)));
  };
  source.properties.data.change.connect(told);
  act();
});
"""

SLIDER = """value => timed(
  () => { model('slider-0').value = value; }, 'spectrum-data',
  source => Array.from(source.data.moved).some(Number.isFinite))"""

ZOOM = """([start, end]) => timed(
  () => { model('spectrum').x_range.setv({start, end}); }, 'spectrum-data',
  source => source.data.x[0] <= start + 1 && source.data.x.at(-1) >= end - 1)"""


@contextmanager
def opened(arguments: list[str], ready: str) -> Iterator[tuple[Page, float]]:
    """Start the command and a browser: the page, and milliseconds to the first picture."""
    begin = time.perf_counter()
    command = [sys.executable, "-m", "latentscope", "explore", *arguments, "--no-open", "--json"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    try:
        assert server.stdout is not None
        text = ""
        while "}" not in text:
            text += server.stdout.readline()
        with sync_playwright() as started:
            waited = time.perf_counter()
            browser = started.chromium.launch(
                executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
            )
            # The browser is there already, where people look.
            begin += time.perf_counter() - waited
            page = browser.new_page(viewport={"width": 1400, "height": 1000})
            page.add_init_script(HELP)
            page.goto(json.loads(text)["url"])
            page.wait_for_function(f"window.Bokeh?.documents?.[0]?.is_idle && {ready}")
            yield page, 1e3 * (time.perf_counter() - begin)
            browser.close()
    finally:
        server.terminate()
        server.wait()


LEARNED = "model('does-0').text"
SPECTRUM = "model('spectrum-data').data.x.length > 0"
MAP = "model('map-data').data.x.length + model('map-cells').data.image.length > 0"


def starts(arguments: list[str], ready: str) -> list[float]:
    """Start three times."""
    found = []
    for _ in range(3):
        with opened(arguments, ready) as (_, start):
            found.append(start)
    return found


def sliders(page: Page, actions: int) -> list[float]:
    """Move a slider, one move after the other is painted."""
    start, end = page.evaluate("[model('slider-0').start, model('slider-0').end]")
    return [page.evaluate(SLIDER, value) for value in np.linspace(start, end, actions).tolist()]


def zooms(page: Page, actions: int, rng: np.random.Generator) -> list[float]:
    """Zoom and pan to random windows, from 2 to 1500 Angstrom wide."""
    first, last = page.evaluate("[model('spectrum').x_range.start, model('spectrum').x_range.end]")
    found = []
    for _ in range(actions):
        width = float(np.exp(rng.uniform(np.log(2), np.log(1500))))
        start = float(rng.uniform(first, last - width))
        found.append(page.evaluate(ZOOM, [start, start + width]))
    return found


def clicks(page: Page, actions: int, rng: np.random.Generator) -> list[float]:
    """Click points of the map, until their spectrum is painted."""
    found = []
    for row in rng.permutation(page.evaluate("model('map-data').data.x.length"))[:actions]:
        at = page.evaluate(
            """row => {
              const {x, y} = model('map-data').data;
              const {frame, canvas_view} = Bokeh.index.find_one(model('map'));
              const box = canvas_view.el.getBoundingClientRect();
              window.painted = timed(() => {}, 'spectrum-data');
              return [box.x + frame.x_scale.compute(x[row]), box.y + frame.y_scale.compute(y[row])];
            }""",
            int(row),
        )
        begin = page.evaluate("performance.now()")
        page.mouse.click(*at)
        end = page.evaluate("window.painted.then(() => performance.now())")
        found.append(end - begin)
        page.wait_for_timeout(300)
    return found


def published(folder: Path) -> list[str]:
    """A network of the published size with random weights, and latents for it."""
    import torch

    from latentscope.models.config import PUBLISHED_ARCHITECTURE as config
    from latentscope.models.config import published_prepare
    from latentscope.models.network import SpectrumVAE
    from latentscope.models.weights import save_model

    torch.manual_seed(0)
    network = SpectrumVAE(config, published_prepare("median-padded"), {"name": "random"})
    save_model(network, folder / "model")
    values = np.random.default_rng(0).normal(size=(500, config.latents)).astype(np.float32)
    np.save(folder / "published.npy", values)
    return [str(folder / "published.npy"), "-m", str(folder / "model")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--actions", type=int, default=100)
    parser.add_argument("--rows", type=int, default=272_376)
    parser.add_argument(
        "--archive", nargs=argparse.REMAINDER, default=[], help="as `latentscope explore` has it"
    )
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    found: dict[tuple[str, str], list[float]] = {}
    with opened(given.archive, SPECTRUM):
        pass  # the demo archive is made, and numba's cache filled
    found["bundled", "start"] = starts(given.archive, SPECTRUM)
    with opened(given.archive, SPECTRUM) as (page, _):
        page.wait_for_function(LEARNED)
        found["bundled", "slider"] = sliders(page, given.actions)
        found["bundled", "zoom"] = zooms(page, given.actions, rng)
        found["bundled", "click"] = clicks(page, given.actions, rng)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        large = published(folder)
        found["published", "start"] = starts(large, SPECTRUM)
        with opened(large, SPECTRUM) as (page, _):
            page.wait_for_function(LEARNED, timeout=300_000)
            found["published", "slider"] = sliders(page, given.actions)
            found["published", "zoom"] = zooms(page, given.actions, rng)
        np.save(folder / "archive.npy", rng.normal(size=(given.rows, 128)).astype(np.float32))
        found["archive", "start"] = starts([str(folder / "archive.npy")], MAP)
    for (archive, action), times in found.items():
        half, most = np.quantile(times, [0.5, 0.95])
        goal = GOALS.get((archive, action))
        cells = (archive, action, len(times), round(half, 1), round(most, 1), goal)
        print("  ".join(f"{value!s:>9}" for value in cells), flush=True)
    print(f"cores {os.cpu_count()}, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
