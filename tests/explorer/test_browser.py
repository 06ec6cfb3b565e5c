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


@pytest.mark.parametrize(
    ("size", "scheme"),
    [((1400, 900), "light"), ((1024, 768), "dark"), ((820, 1180), "light")],
    ids=["wide", "laptop", "tablet"],
)
def test_it_opens_without_an_error_and_asks_nobody_else(tab, size, scheme):
    page = tab(size=size, scheme=scheme)
    page.wait("data('spectrum-data').x.length > 100")
    ours = page.js("location.origin")
    foreign = [url for url in page.asked if not url.startswith((ours, "data:", "blob:"))]
    assert foreign == []
    page.wait(f"document.documentElement.scrollWidth <= {size[0]}")
    assert page.said == []


def test_without_a_model_there_are_the_map_and_the_nearest_and_names_are_text(tab):
    rng = np.random.default_rng(0)
    hostile = r"<img src=x onerror=alert(1)> $$\href{javascript:alert(1)}{x}$$"
    labels = pd.DataFrame(
        {"object": [f"{hostile} {row // 2}" for row in range(50)], hostile: rng.normal(size=50)}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LatentscopeWarning)
        values = rng.normal(size=(50, 3))
        values[7] = np.nan
        archive = read_archive(values, labels=labels)
    with running(archive) as served:
        page = tab(f"?row=7&color={quote(hostile)}", url=served.url)
        page.wait("said('shown-trust').includes('it has no latents')")
        page.wait("data('map-data').x.length === 49 && document.title === 'latentscope explore'")
        page.page.get_by_text(hostile).nth(2).wait_for(state="attached")
        assert page.page.locator("img, mjx-container, a[href]").count() == 0
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
    handle = page.page.locator(".slot").nth(slot).locator(".noUi-handle")
    handle.focus()
    before = page.js(f"model('slider-{slot}').value")
    for _ in range(25):
        page.page.keyboard.press("ArrowRight")
    moved = page.js(f"model('slider-{slot}').value") - before
    assert moved > 0
    expected = archive.known[dim].kms * moved / archive.sigma[dim]
    # Words follow the last key press, some time later, and the lines are drawn before them.
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
    x, y = (archive.latents.values[:, dim] for dim in archive.dims[:2])
    row = int(np.nanargmax(x))
    page.page.mouse.click(*page.place("map", float(x[row]), float(y[row])))
    name = str(archive.ids[row])
    page.wait("name => said('shown-title').includes(name)", name)
    page.wait("said('shown-trust').includes('trust')")
    page.wait("row => new URLSearchParams(location.search).get('row') === row", str(row))
    for place, dim in enumerate(archive.dims):
        value = float(archive.latents.values[row, dim])
        page.wait(f"Math.abs(model('slider-{place}').value - {value}) < 1e-6")
    assert page.said == []


def test_the_address_gives_the_same_view_again(tab, archive):
    dim = archive.dims[1]
    value = float(f"{archive.mean[dim] + archive.sigma[dim]:.4g}")
    query = f"?row=7&z={dim}:{value}&x=Teff&y=radvel&color=logg&wavelength=6550-6570&smooth=3"
    first = tab(query)
    words = first.wait("said('change').includes('·') && said('change')")
    first.wait("location.search.includes('row=7') && location.search.includes('6550.00-6570.00')")
    second = tab(first.js("location.search"))
    second.wait("words => said('change') === words", words)
    for page in (first, second):
        page.wait("name => said('shown-title').includes(name)", str(archive.ids[7]))
        page.wait("Math.abs(model('spectrum').x_range.start - 6550) < 1e-3")
        page.wait("model('map-x').value === 'Teff' && model('map-y').value === 'radvel'")
        page.wait("model('smooth').value === 3")
        page.wait(f"Math.abs(model('slider-1').value - {value}) < 1e-3")


def test_a_zoom_shows_every_pixel_and_n_and_p_go_from_line_to_line(tab, archive):
    page = tab()
    page.page.locator("h1").click()
    page.page.keyboard.press("n")
    page.wait("model('spectrum').x_range.end - model('spectrum').x_range.start < 20")
    page.page.keyboard.press("n")
    page.wait(f"model('goto').value === {archive.lines[1][0]!r}")
    page.page.keyboard.press("p")
    name, center = archive.lines[0]
    page.wait(f"model('goto').value === {name!r}")
    # The range of the line comes first, its pixels a little later.
    drawn, start, end = page.wait(
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
    for page, row in ((one, 3), (other, 4)):
        page.wait("name => said('shown-title').includes(name)", str(archive.ids[row]))
    one.page.get_by_role("button", name="start from the mean").click()
    one.wait("said('shown-title').includes('mean')")
    assert str(archive.ids[4]) in other.js("said('shown-title')")


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
    from playwright.sync_api import TimeoutError as TooLate

    x, y = archive.values("Teff"), archive.values("radvel")
    middle = float(np.median(x))
    # A page that still moves under the mouse picks nothing: then once more, on a new one.
    for patience in (30_000, 30_000, 120_000):
        page = tab("?x=Teff&y=radvel&color=logg")
        start, end = page.js("[model('map').y_range.start, model('map').y_range.end]")
        left = page.js("model('map').x_range.start")
        edge = 0.02 * (end - start)
        low, high = start + edge, end - edge
        page.js(
            "() => { const bar = model('map').toolbar; "
            "bar.active_drag = bar.tools.find(it => it.type === 'LassoSelectTool'); }"
        )
        lasso(page, [(left, low), (middle, low), (middle, high), (left, high), (left, low)])
        try:
            picked = "model('map-count').text.includes('picked')"
            page.page.wait_for_function(picked, timeout=patience)
            break
        except TooLate:
            if patience > 30_000:
                raise
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
    page.page.locator("input[type=file]").set_input_files(shared_data / HARPS)
    page.wait("name => said('shown-title').includes(name)", HARPS)
    page.wait("data('spectrum-data').input.some(Number.isFinite)")
    shown = archive.uploaded(HARPS, (shared_data / HARPS).read_bytes())
    expected, words = archive.neighbors(shown, shown.values)
    # Its star is not in the archive.
    assert "left out" not in words
    near = list(expected["name"])
    assert len(near) == 12
    written = "[...document.querySelectorAll('#near td:nth-child(2)')].map(it => it.textContent)"
    page.wait(f"near => near.join('|') === {written}.join('|')", near)
    rows = page.page.locator("#near tbody tr")
    # A click on a number lays that spectrum over, a click on a name opens it.
    rows.nth(0).locator("button").first.click()
    page.wait("data('beside-data').other0.some(Number.isFinite)")
    rows.nth(1).locator("button").nth(1).click()
    star = near[1].partition(",")[0]
    page.wait("star => said('shown-title').includes(star)", star)
    assert page.said == []


def test_what_nobody_foresaw_is_said_on_the_page(tab, archive, monkeypatch):
    page = tab()
    monkeypatch.setattr(archive, "neighbors", lambda shown, values: (pd.DataFrame(), ""))
    page.page.get_by_role("button", name="start from the mean").click()
    page.wait("said('message').includes('failed unexpectedly (KeyError')")


def test_a_broken_file_gets_the_readers_message_and_its_name_is_no_markup(tab, tmp_path):
    page = tab()
    before = page.js("said('shown-title')")
    files = page.page.locator("input[type=file]")
    name = "<img src=x onerror=alert(1)>.fits"
    files.set_input_files({"name": name, "mimeType": "x/y", "buffer": b"\x00garbage" * 99})
    page.wait("said('message').includes('onerror')")
    assert page.page.locator("img").count() == 0
    assert page.js("said('shown-title')") == before
    big = tmp_path / "big.fits"
    with big.open("wb") as file:
        file.truncate(LARGEST_UPLOAD + 1)
    files.set_input_files(big)
    page.wait("model('message').text.includes('64 MB at most')")
    assert page.js("model('upload').filename") == name
    assert page.said == []
