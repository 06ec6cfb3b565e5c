"""The command, the notebook, the single file, and what a closed tab leaves behind."""

import gc
import json
import signal
import subprocess
import sys
import threading
import time
import types
from urllib.request import urlopen

import numpy as np
import pandas as pd
import pytest

from latentscope.errors import LatentscopeWarning
from latentscope.explorer.archive import read_archive
from latentscope.explorer.page import Page, Worker
from latentscope.explorer.serve import explore
from tests.explorer.conftest import HELP, SLOWEST, N, running


def test_of_what_is_asked_for_too_fast_only_the_last_is_done():
    applied, done, begun = [], threading.Event(), threading.Event()

    def post(apply):
        apply()
        done.set()

    worker = Worker(post, applied.append)
    go = threading.Event()

    def first():
        begun.set()
        go.wait(10)
        return lambda: applied.append("first")

    worker.ask("draw", first)
    begun.wait(10)
    for number in range(100):
        worker.ask("draw", lambda number=number: lambda: applied.append(number))
    worker.ask("measure", lambda: 1 / 0)
    go.set()
    deadline = time.monotonic() + 10
    while len(applied) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert applied[:2] == ["first", 99]
    assert "ZeroDivisionError" in applied[2]
    worker.close()
    worker.ask("draw", lambda: lambda: applied.append("late"))
    worker._thread.join(10)
    assert not worker._thread.is_alive()
    assert len(applied) == 3


def test_the_command_prints_its_address_and_ends_by_ctrl_c(folder):
    command = [sys.executable, "-m", "latentscope", "explore", str(folder / "latents.npy")]
    process = subprocess.Popen(
        [*command, "--no-open", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell lets what runs in the background ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    text = ""
    while "}" not in text:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        text += line
    with urlopen(json.loads(text)["url"], timeout=60) as answer:
        assert b"latentscope" in answer.read()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "exploring at http://127.0.0.1:" in said
    assert "Traceback" not in said


def test_latents_of_an_unknown_model_have_a_map_and_neighbors(tmp_path, tab):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "latents.npy", rng.normal(size=(20_000, 4)).astype(np.float32))
    with pytest.warns(LatentscopeWarning, match="give it"):
        archive = read_archive(tmp_path / "latents.npy")
    archive.learn(wait=True)
    with running(archive) as served:
        page = tab(url=served.url)
        # So many points are drawn as a density, until few are in view.
        page.wait("model('map-cells').data.image.length === 1")
        image = np.array(page.js("Array.from(model('map-cells').data.image[0])"), dtype=np.uint32)
        assert (image > 0).sum() > 1000
        page.js("() => { model('map').x_range.setv({start: 0, end: 0.2}); }")
        x = archive.latents.values[:, archive.dims[0]]
        y = archive.latents.values[:, archive.dims[1]]
        window = page.js("[model('map').y_range.start, model('map').y_range.end]")
        seen = (x >= 0) & (x <= 0.2) & (y >= window[0]) & (y <= window[1])
        assert seen.sum() > 100
        page.wait(f"model('map-data').data.x.length === {seen.sum()}")
        assert page.said == []


def test_labels_that_are_classes_are_compared_too():
    rng = np.random.default_rng(0)
    labels = pd.DataFrame(
        {
            "object": np.arange(30).astype(str),
            "type": rng.choice(["G", "K"], 30),
            "binary": rng.choice([True, False], 30),
            "Teff": 5000.0 + np.arange(30),
            "age (Gyr)": 1.5 + np.arange(30),
        }
    )
    labels.loc[4, "type"] = ""
    with pytest.warns(LatentscopeWarning, match="give it"):
        archive = read_archive(rng.normal(size=(30, 3)), labels=labels)
    shown = archive.shown(0)
    table, _ = archive.neighbors(shown, shown.values, 29)
    for row, words in zip(table["row"], table["labels"], strict=True):
        one, own = labels.loc[row], labels.loc[0]
        assert ("type" in words) == (one["type"] != "")
        assert (f"(not {own['type']})" in words) == (one["type"] not in ("", own["type"]))
        assert (f"(not {own['binary']})" in words) == (one["binary"] != own["binary"])
        assert f"(+{row})" in words
        assert words.count("Gyr") == 1


def test_a_notebook_gets_the_page_in_a_frame(archive, monkeypatch, browser):
    class ZMQInteractiveShell:
        pass

    class IFrame:
        def __init__(self, src, width, height):
            self.src = src

    names = {"IPython": {"get_ipython": ZMQInteractiveShell}, "IPython.display": {"IFrame": IFrame}}
    for name, content in names.items():
        module = types.ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    frame = explore(archive)
    page = browser.new_page()
    page.set_content(f'<iframe src="{frame.src}" width="1000" height="900"></iframe>')
    inner = page.frames[1]
    inner.locator("section.spectrum canvas").first.wait_for(state="attached", timeout=SLOWEST)
    page.close()


def test_the_single_file_needs_nothing_else(archive, tmp_path, browser):
    path = explore(archive, html=tmp_path / "page.html")
    assert path.stat().st_size < 20e6
    context = browser.new_context(viewport={"width": 1024, "height": 768}, offline=True)
    page, said, asked = context.new_page(), [], []
    page.on("console", lambda message: message.type == "error" and said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.set_default_timeout(SLOWEST)
    page.add_init_script(HELP)
    page.goto(path.as_uri())
    page.wait_for_function("document.documentElement.dataset.ready")
    assert page.evaluate("data('map-data').x.length") == N
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    # One dimension at a time, as the model decodes it.
    page.evaluate("model('slider-0').value = model('slider-0').end")
    dim, value = archive.dims[0], page.evaluate("model('slider-0').value")
    values = archive.shown(archive.middle).values
    start = page.evaluate("model('slider-0').tags[0]")
    assert start == pytest.approx(values[dim])
    values[dim] = value
    flux = archive.decoded(values)
    moved = np.array(page.evaluate("data('spectrum-data').moved"), dtype=float)
    assert np.nanmin(moved) == pytest.approx(np.nanmin(flux), abs=1e-6)
    assert np.nanmax(moved) == pytest.approx(np.nanmax(flux), abs=1e-6)
    page.evaluate("model('slider-1').value = model('slider-1').end")
    assert page.evaluate("model('slider-0').value") == pytest.approx(start)
    # The nearest of a point, its own star left out, as the command finds them.
    row = archive.middle
    x, y = (float(archive.latents.values[row, dim]) for dim in archive.dims[:2])
    page.mouse.click(*page.evaluate("([x, y]) => place('map', x, y)", [x, y]))
    page.wait_for_function("model('near-heading').text")
    found = page.evaluate("data('near').distance")
    expected, _ = archive.neighbors(archive.shown(row), archive.shown(row).values)
    np.testing.assert_allclose(found, expected["distance"], atol=2e-3)
    assert said == []
    context.close()


def pages():
    gc.collect()
    return [it for it in gc.get_objects() if type(it) is Page]


def test_a_closed_tab_frees_all_that_it_held(archive):
    with running(archive) as served:
        # A page whose browser never calls back is closed after some seconds.
        before, others = threading.active_count(), len(pages())
        for _ in range(4):
            with urlopen(served.url, timeout=60) as answer:
                answer.read()
        assert len(pages()) > others
        deadline = time.monotonic() + 60
        while len(pages()) > others and time.monotonic() < deadline:
            time.sleep(1)
        assert len(pages()) <= others
        while threading.active_count() > before and time.monotonic() < deadline:
            time.sleep(0.1)
        assert threading.active_count() <= before
        assert archive._told == []
