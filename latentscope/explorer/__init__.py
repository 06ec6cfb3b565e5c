"""The explorer: sliders, map and nearest spectra in the browser; the only room that knows Bokeh."""
