"""The page in a real browser, as somebody uses it."""

import warnings
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest

from latentscope.errors import LatentscopeWarning
from latentscope.explorer.archive import read_archive
from tests.explorer.conftest import running

pytestmark = pytest.mark.slow

SIZES = {"wide": (1400, 900), "laptop": (1024, 768), "tablet": (820, 1180)}


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_without_an_error_and_asks_nobody_else(tab, size, scheme):
    page = tab(size=size, scheme=scheme)
    page.wait("model('near-heading').text && data('spectrum-data').x.length > 100")
    assert page.said == []
    ours = page.js("location.origin")
    foreign = [url for url in page.asked if not url.startswith((ours, "data:", "blob:"))]
    assert foreign == []
    assert page.js("document.documentElement.scrollWidth") <= size[0]


def test_without_a_model_there_are_the_map_and_the_nearest_and_names_are_text(tab):
    rng = np.random.default_rng(0)
    hostile = r"<img src=x onerror=alert(1)> $$\href{javascript:alert(1)}{x}$$"
    labels = pd.DataFrame(
        {"object": [f"{hostile} {row // 2}" for row in range(50)], hostile: rng.normal(size=50)}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LatentscopeWarning)
        archive = read_archive(rng.normal(size=(50, 3)), labels=labels)
    with running(archive) as served:
        page = tab(f"?color={quote(hostile)}", url=served.url)
        page.wait("model('near-heading').text && data('map-data').x.length === 50")
        page.wait("document.title === 'latentscope explore'")
        assert page.page.locator("img, mjx-container, a[href]").count() == 0
        assert page.page.get_by_text(hostile).count() > 2
        assert page.said == []
        assert all(url.startswith((served.url, "data:", "blob:")) for url in page.asked)


def shift(x, base, moved):
    """Velocity between two spectra, km/s, by the slope of the one: an oracle of a few lines."""
    x, base, moved = (np.array(values, dtype=float) for values in (x, base, moved))
    grid = np.linspace(np.log(x[2]), np.log(x[-3]), 20 * len(x))
    step = grid[1] - grid[0]
    a, b = (np.interp(grid, np.log(x), y) for y in (base, moved))
    a, b = a - a.mean(), b - b.mean()
    reach = int(150 / 299792.458 / step)
    lags = np.arange(-reach, reach + 1)
    cut = slice(reach, -reach)
    height = [a[cut] @ np.roll(b, -lag)[cut] for lag in lags]
    return 299792.458 * step * lags[int(np.argmax(height))]


def test_the_slider_of_velocity_moves_the_lines_by_so_many_km_s(tab, archive):
    dim = next(dim for dim in archive.dims if np.isfinite(archive.known[dim].kms))
    page = tab("?wavelength=5150-5200")
    slot = archive.dims.index(dim)
    page.wait("data('spectrum-data').x.length > 100")
    handle = page.page.locator(".slot").nth(slot).locator(".noUi-handle")
    handle.focus()
    before = page.js(f"model('slider-{slot}').value")
    for _ in range(25):
        page.page.keyboard.press("ArrowRight")
    page.wait("model('change').text.includes('km/s')")
    moved = page.js(f"model('slider-{slot}').value") - before
    assert moved > 0
    expected = archive.known[dim].kms * moved / archive.sigma[dim]
    said = float(page.text("change").split(" ")[0])
    assert said == pytest.approx(expected, rel=0.03)
    drawn = page.js("data('spectrum-data')")
    part = [i for i, x in enumerate(drawn["x"]) if 5155 < x < 5195]
    found = shift(*([drawn[name][i] for i in part] for name in ("x", "base", "moved")))
    assert found == pytest.approx(expected, abs=1.0)
    assert f"z={dim}:".replace(":", "%3A") in page.js("location.search")


def test_a_click_on_the_map_opens_that_spectrum_and_the_address_keeps_it(tab, archive):
    page = tab()
    page.wait("data('map-data').x.length > 10")
    x, y = (archive.latents.values[:, dim] for dim in archive.dims[:2])
    row = int(np.nanargmax(x))
    page.page.mouse.click(*page.place("map", float(x[row]), float(y[row])))
    name = str(archive.ids[row])
    page.wait(f"model('shown-title').text.includes('{name}')")
    assert "ordinary" in page.text("shown-trust") or "trust" in page.text("shown-trust")
    page.wait(f"location.search.includes('row={row}')")
    values = {dim: archive.latents.values[row][dim] for dim in archive.dims}
    for place, dim in enumerate(archive.dims):
        assert page.js(f"model('slider-{place}').value") == pytest.approx(values[dim], abs=1e-6)
    assert page.said == []


def test_the_address_gives_the_same_view_again(tab, archive):
    dim = archive.dims[1]
    value = float(archive.mean[dim] + archive.sigma[dim])
    query = f"?row=7&z={dim}:{value:.4f}&x=Teff&y=radvel&color=logg&wavelength=6550-6570&smooth=3"
    first = tab(query)
    first.wait("model('change').text.includes('·')")
    second = tab(first.js("location.search"))
    second.wait("model('change').text.includes('·')")
    for page in (first, second):
        assert str(archive.ids[7]) in page.text("shown-title")
        assert page.js("model('spectrum').x_range.start") == pytest.approx(6550)
        assert page.js("[model('map-x').value, model('map-y').value]") == ["Teff", "radvel"]
        assert page.js("model('smooth').value") == 3
        assert page.js("model('slider-1').value") == pytest.approx(value, abs=1e-3)
    assert first.text("change") == second.text("change")


def test_a_zoom_shows_every_pixel_and_n_and_p_go_from_line_to_line(tab, archive):
    page = tab()
    page.wait("data('spectrum-data').x.length > 100")
    page.page.locator("h1").click()
    page.page.keyboard.press("n")
    page.wait("model('spectrum').x_range.end - model('spectrum').x_range.start < 20")
    page.page.keyboard.press("n")
    page.wait(f"model('goto').value === {archive.lines[1][0]!r}")
    page.page.keyboard.press("p")
    page.wait(f"model('goto').value === {archive.lines[0][0]!r}")
    page.wait("model('readout') && data('spectrum-data').x.length < 600")
    drawn = page.js("data('spectrum-data').x")
    start, end = page.js("[model('spectrum').x_range.start, model('spectrum').x_range.end]")
    pixels = archive.wavelength[(archive.wavelength > start) & (archive.wavelength < end)]
    assert set(pixels) <= set(drawn)


def test_two_browsers_do_not_see_each_other(tab, archive):
    one, other = tab("?row=3"), tab("?row=4")
    one.wait(f"model('shown-title').text.includes({str(archive.ids[3])!r})")
    other.wait(f"model('shown-title').text.includes({str(archive.ids[4])!r})")
    one.page.locator("[id]", has_text="start from the mean").last.click()
    one.wait("model('shown-title').text.includes('mean')")
    assert str(archive.ids[4]) in other.text("shown-title")
