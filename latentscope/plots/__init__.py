"""Pictures of diagnostics: each function draws a result on axes and returns the axes."""
