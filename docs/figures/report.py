"""Draw the picture of docs/report.md: `python docs/figures/report.py`, with playwright installed.

A report on the simulated archive, as a wide light page and as a narrow dark one.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from archive import FOLDER, IMAGES, archive
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from latentscope import report

WIDE, NARROW = (1400, 1150), (390, 1150)
ABOUT = (
    "The spectra were simulated with the real atomic and molecular lines that come with "
    "latentscope."
)
COLUMNS = ["radvel", "Teff", "logg", "[M/H]", "[alpha/M]", "vsini", "berv", "snr"]


def main() -> None:
    """Write the report, and put both windows side by side."""
    latents, labels = archive()
    page = FOLDER / "report.html"
    report(latents, labels, model="harps-sim", columns=COLUMNS, about=ABOUT, output=page)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        wide = window(browser, page, WIDE, "light", "encoded")
        narrow = window(browser, page, NARROW, "dark", "meaning")
        browser.close()
    both = Image.new("RGB", (WIDE[0] + 40 + NARROW[0], WIDE[1]), "white")
    both.paste(wide, (0, 0))
    both.paste(narrow, (WIDE[0] + 40, 0))
    both = both.resize((both.width * 2 // 3, both.height * 2 // 3), Image.Resampling.LANCZOS)
    both.quantize(256).save(IMAGES / "report.png", optimize=True)


def window(
    browser: Browser, page: Path, size: tuple[int, int], scheme: str, chapter: str
) -> Image.Image:
    """Take what a window shows: the top of the page, or of a chapter where it is narrow."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,
        reduced_motion="reduce",
    )
    tab = context.new_page()
    tab.goto(page.resolve().as_uri() + (f"#{chapter}" if size == NARROW else ""))
    picture = page.with_suffix(f".{scheme}.png")
    tab.screenshot(path=picture)
    return Image.open(picture).convert("RGB")


if __name__ == "__main__":
    main()
