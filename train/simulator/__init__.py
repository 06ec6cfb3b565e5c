"""The simulator of latentscope.simulation in torch: spectra made where the network trains."""
