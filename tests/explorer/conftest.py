"""A small archive, a server for it, and a browser that looks at it."""

from contextlib import contextmanager

import pytest

from latentscope.explorer.archive import read_archive
from latentscope.explorer.serve import serve

N = 60


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Simulated spectra with labels, and their latents by the bundled model."""
    from latentscope.models.encode import encode
    from latentscope.simulation.simulate import write_archive

    folder = tmp_path_factory.mktemp("explored")
    write_archive(folder / "spectra", N, seed=5, layout="s1d", workers=1)
    encode(folder / "spectra", "harps-sim", output=folder / "latents.npy", workers=1)
    return folder


@pytest.fixture(scope="session")
def archive(folder):
    """The archive as the explorer has it, with all that it learns."""
    found = read_archive(
        folder / "latents.npy", labels=folder / "spectra" / "labels.csv", spectra=folder / "spectra"
    )
    found.learn(wait=True)
    return found


@contextmanager
def running(archive, **options):
    served = serve(archive, **options)
    try:
        yield served
    finally:
        served.stop()


@pytest.fixture(scope="session")
def served(archive):
    """A server that this machine alone can reach."""
    with running(archive) as served:
        yield served


HELP = """
window.model = name => Bokeh.documents[0].get_model_by_name(name);
window.said = name =>
  new DOMParser().parseFromString(model(name).text, 'text/html').body.textContent;
window.data = name => Object.fromEntries(
  Object.entries(model(name).data).map(([key, value]) => [key, Array.from(value)]));
// Where in the window a place of a figure is, once the page around it has come to rest.
window.place = async (name, x, y) => {
  const painted = () => new Promise(resolve => requestAnimationFrame(resolve));
  const at = () => {
    const {canvas_view, frame} = Bokeh.index.find_one(model(name));
    const box = canvas_view.el.getBoundingClientRect();
    return [box.x + frame.x_scale.compute(x), box.y + frame.y_scale.compute(y)];
  };
  let last, now = at();
  do { last = now; await painted(); await painted(); now = at(); } while (`${now}` !== `${last}`);
  return now;
};
"""


SLOWEST = 120_000
"""Milliseconds that anything may take; CI runs on slower machines than ours."""


class Tab:
    """A tab that shows the explorer, with its first spectrum, or map, and what is near."""

    def __init__(self, context, url):
        context.set_default_timeout(SLOWEST)
        self.page = context.new_page()
        self.said, self.asked = [], []
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.add_init_script(HELP)
        self.page.goto(url)
        # The scripts ran, and the last of what a page begins with has come.
        self.wait("document.documentElement.dataset.ready && data('near').name.length")
        self.wait("model('near-heading').text")

    def _note(self, message):
        if message.type == "error":
            self.said.append(message.text)

    def wait(self, expression, argument=None):
        """Wait until an expression, or a function of an argument, is true; its value."""
        return self.page.wait_for_function(expression, arg=argument).json_value()

    def js(self, expression, argument=None):
        """Value of an expression now; of what is to come, `wait` for it."""
        return self.page.evaluate(expression, argument)

    def place(self, name, x, y):
        """Where in the window a place of a figure is."""
        return self.js("([name, x, y]) => place(name, x, y)", [name, x, y])


@pytest.fixture
def tab(browser, served):
    """Open the explorer in a window of some size; each call is a browser of its own."""
    contexts = []

    def opened(query="", size=(1400, 1100), scheme="light", url=None):
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,
            accept_downloads=True,
        )
        contexts.append(context)
        return Tab(context, (url or served.url) + query)

    yield opened
    for context in contexts:
        context.close()
