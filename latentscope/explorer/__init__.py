"""The explorer: sliders, map and nearest spectra in the browser; the only room that knows Bokeh."""

from latentscope.errors import LatentscopeError

try:
    import bokeh  # noqa: F401
except ModuleNotFoundError as error:
    raise LatentscopeError(
        f"the explorer needs the package {error.name}: pip install 'latentscope-spectra[explore]'"
    ) from None
