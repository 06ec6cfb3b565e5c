"""The page in a real browser, as somebody uses it."""

import warnings
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest

from latentscope.errors import LatentscopeWarning
from latentscope.explorer.archive import LARGEST_UPLOAD, read_archive
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
    moved = page.js(f"model('slider-{slot}').value") - before
    assert moved > 0
    expected = archive.known[dim].kms * moved / archive.sigma[dim]
    # Words follow the last key press, some time later.
    page.wait(f"Math.abs(parseFloat(said('change')) / {expected} - 1) < 0.03")
    drawn = page.js("data('spectrum-data')")
    part = [i for i, x in enumerate(drawn["x"]) if 5155 < x < 5195]
    found = shift(*([drawn[name][i] for i in part] for name in ("x", "base", "moved")))
    assert found == pytest.approx(expected, abs=1.0)
    page.wait(f"location.search.includes('z={dim}%3A')")
    handle.dblclick()
    page.wait(f"Math.abs(model('slider-{slot}').value - {before}) < 1e-9")


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
    name, center = archive.lines[0]
    page.wait(f"model('goto').value === {name!r}")
    # The range of the line comes first, its pixels a little later.
    drawn, start, end = page.js_when(
        f"""() => {{
          const {{start, end}} = model('spectrum').x_range, x = data('spectrum-data').x;
          const here = start < {center} && {center} < end && end - start < 20;
          return here && x[0] <= start && x.at(-1) >= end && x.length < 600 && [x, start, end];
        }}"""
    )
    pixels = archive.wavelength[(archive.wavelength > start) & (archive.wavelength < end)]
    assert set(pixels) <= set(drawn)


def test_two_browsers_do_not_see_each_other(tab, archive):
    one, other = tab("?row=3"), tab("?row=4")
    one.wait(f"model('shown-title').text.includes({str(archive.ids[3])!r})")
    other.wait(f"model('shown-title').text.includes({str(archive.ids[4])!r})")
    one.page.locator("[id]", has_text="start from the mean").last.click()
    one.wait("model('shown-title').text.includes('mean')")
    assert str(archive.ids[4]) in other.text("shown-title")


def lasso(page, corners):
    """Draw a lasso over places of the map."""
    page.page.mouse.move(*page.place("map", *corners[0]))
    page.page.mouse.down()
    for corner in corners[1:]:
        page.page.mouse.move(*page.place("map", *corner), steps=4)
    page.page.mouse.up()


def saved(page, button, item):
    """Choose an item of a menu, and return the file that the browser then gets."""
    page.page.get_by_role("button", name=button, exact=True).click()
    with page.page.expect_download() as download:
        page.page.locator(".bk-item").get_by_text(item, exact=True).click()
    return download.value.path().read_bytes()


def test_a_lasso_picks_what_lies_in_it_and_gives_the_names_away(tab, archive, tmp_path):
    page = tab("?x=Teff&y=radvel&color=logg")
    page.wait("data('map-data').x.length > 10")
    x, y = archive.values("Teff"), archive.values("radvel")
    middle = float(np.median(x))
    start, end = page.js("[model('map').y_range.start, model('map').y_range.end]")
    left = page.js("model('map').x_range.start")
    edge = 0.02 * (end - start)
    low, high = start + edge, end - edge
    page.js(
        "() => { const bar = model('map').toolbar; "
        "bar.active_drag = bar.tools.find(it => it.type === 'LassoSelectTool'); }"
    )
    lasso(page, [(left, low), (middle, low), (middle, high), (left, high), (left, low)])
    page.wait("model('map-count').text.includes('picked')")
    inside = (x < middle) & (x > left) & (y > low) & (y < high)
    names = saved(page, "save picked", "names as .csv").decode().splitlines()
    assert names[0].startswith("id,row,file")
    rows = {int(line.split(",")[1]) for line in names[1:]}
    # Points at the very edge may be on either side.
    assert len(rows ^ set(np.flatnonzero(inside))) <= 2
    listed = saved(page, "save picked", "@list.txt for encode")
    (tmp_path / "list.txt").write_bytes(listed)
    from latentscope.models.rows import expand_sources

    assert len(expand_sources(f"@{tmp_path / 'list.txt'}")) == len(rows)


def test_the_spectrum_can_be_taken_away_and_read_again(tab, archive, tmp_path):
    from latentscope import read_spectrum

    dim = archive.dims[0]
    page = tab(f"?row=2&z={dim}:{archive.mean[dim]:.3f}&wavelength=5160-5190")
    page.wait("model('change').text.includes('·')")
    path = tmp_path / "moved.fits"
    path.write_bytes(saved(page, "save", "FITS"))
    found = read_spectrum(path)
    values = archive.shown(2).values
    values[dim] = round(float(archive.mean[dim]), 3)
    np.testing.assert_allclose(found.wavelength, archive.wavelength, rtol=1e-9)
    np.testing.assert_allclose(found.flux, archive.decoded(values), atol=1e-4)
    assert (found.medium, found.frame) == ("air", "barycentric")
    table = saved(page, "save", "CSV").decode().splitlines()
    assert table[0] == "wavelength,input,reconstruction,moved"
    assert len(table) == 1 + len(archive.wavelength)
    assert saved(page, "save", "PNG").startswith(b"\x89PNG")
    assert b"<svg" in saved(page, "save", "SVG")[:2000]


HARPS = "HARPS.2010-09-18T23:42:36.178_s1d_A.fits"


def test_a_file_of_ones_own_is_encoded_and_finds_its_like(tab, archive, shared_data):
    page = tab()
    page.wait("model('near-heading').text")
    page.page.locator("input[type=file]").set_input_files(shared_data / HARPS)
    page.wait(f"model('shown-title').text.includes({HARPS!r})")
    page.wait("data('spectrum-data').input.some(Number.isFinite)")
    # Its star is not in the archive, so nothing is left out.
    page.wait("!model('near-heading').text.includes('left out')")
    near = page.js("data('near').name")
    assert len(near) == 12
    rows = page.page.locator("#near tbody tr")
    assert [rows.nth(i).locator("td").nth(1).text_content() for i in range(12)] == near
    # A click on a number lays that spectrum over, a click on a name opens it.
    rows.nth(0).locator("button").first.click()
    page.wait("data('spectrum-data').other0.some(Number.isFinite)")
    rows.nth(1).locator("button").nth(1).click()
    star = near[1].partition(",")[0]
    page.wait(f"model('shown-title').text.includes({star!r})")
    assert page.said == []


def test_a_broken_file_gets_the_readers_message_and_its_name_is_no_markup(tab, tmp_path):
    page = tab()
    page.wait("model('near-heading').text")
    before = page.text("shown-title")
    files = page.page.locator("input[type=file]")
    name = "<img src=x onerror=alert(1)>.fits"
    files.set_input_files({"name": name, "mimeType": "x/y", "buffer": b"\x00garbage" * 99})
    page.wait("model('message').text.includes('alert')")
    assert "onerror" in page.text("message")
    assert page.page.locator("img").count() == 0
    assert page.text("shown-title") == before
    big = tmp_path / "big.fits"
    with big.open("wb") as file:
        file.truncate(LARGEST_UPLOAD + 1)
    files.set_input_files(big)
    page.wait("model('message').text.includes('64 MB at most')")
    assert page.js("model('upload').filename") == name
    assert page.said == []
