"""Take the pictures of docs/explorer.md in headless Chromium, of the demo archive.

    python docs/figures/explorer.py [LATENTS LABELS]

Look at all of them afterwards.
"""

import shutil
import sys
import warnings

from archive import IMAGES, shrink
from playwright.sync_api import sync_playwright

from latentscope.explorer.archive import read_archive
from latentscope.explorer.serve import serve

MODEL = "window.model = name => Bokeh.documents[0].get_model_by_name(name);"
READY = (
    "window.Bokeh?.documents?.[0]?.is_idle && model('near-heading').text"
    " && model('change').text && model('does-0').text"
)


def main() -> None:
    """Take all pictures."""
    warnings.simplefilter("ignore")
    latents, labels = sys.argv[1:3] or (None, None)
    archive = read_archive(latents, labels=labels)
    archive.learn(wait=True)
    shift = next(dim for dim in archive.dims if archive.known[dim].kms == archive.known[dim].kms)
    moved = archive.mean[shift] + archive.sigma[shift]
    hot = archive.dims[1]
    hotter = archive.mean[hot] + archive.sigma[hot]
    pictures = {
        "explorer": ((1400, 1180), "light", f"z={hot}:{hotter:.2f}"),
        "explorer-velocity": ((1400, 900), "light", f"z={shift}:{moved:.3f}&wavelength=5160-5190"),
        "explorer-dark": ((1024, 900), "dark", f"z={hot}:{hotter:.2f}&x=Teff&y=logg"),
        "explorer-tablet": ((820, 1180), "light", "wavelength=6540-6590&color=Teff&smooth=3"),
    }
    served = serve(archive)
    with sync_playwright() as started:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = started.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        for name, ((width, height), scheme, query) in pictures.items():
            context = browser.new_context(
                viewport={"width": width, "height": height}, color_scheme=scheme
            )
            page = context.new_page()
            page.set_default_timeout(120_000)
            page.add_init_script(MODEL)
            page.goto(f"{served.url}?{query}")
            page.wait_for_function(
                READY if "z=" in query else READY.replace(" && model('change').text", "")
            )
            page.wait_for_timeout(2000)
            if name == "explorer":
                page.locator("#near tbody tr button").first.click()
                page.wait_for_timeout(3000)
            page.screenshot(path=IMAGES / f"{name}.png")
            shrink(IMAGES / f"{name}.png")
            context.close()
        browser.close()
    served.stop()


if __name__ == "__main__":
    main()
