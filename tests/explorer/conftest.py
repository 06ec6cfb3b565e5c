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
window.place = (name, x, y) => {
  const view = Bokeh.index.find_one(model(name)), box = view.canvas_view.el.getBoundingClientRect();
  return [box.x + view.frame.x_scale.compute(x), box.y + view.frame.y_scale.compute(y)];
};
"""


class Tab:
    """A tab that shows the explorer."""

    def __init__(self, context, url):
        self.page = context.new_page()
        self.said, self.asked = [], []
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.add_init_script(HELP)
        self.page.goto(url)
        self.wait("window.Bokeh?.documents?.[0]?.is_idle && model('message')")

    def _note(self, message):
        if message.type == "error":
            self.said.append(message.text)

    def wait(self, expression, timeout=40_000):
        self.page.wait_for_function(expression, timeout=timeout)

    def js_when(self, expression, timeout=40_000):
        """Value of an expression as soon as it is true."""
        return self.page.wait_for_function(expression, timeout=timeout).json_value()

    def js(self, expression, argument=None):
        return self.page.evaluate(expression, argument)

    def text(self, name):
        """Text of a Div, without its marks."""
        return self.js("name => said(name)", name)

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
