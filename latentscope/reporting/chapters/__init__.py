"""The chapters of a report: questions in the order of asking, and parts that answer them."""

from latentscope.reporting.chapters.dimensions import DIMENSIONS
from latentscope.reporting.chapters.effect import EFFECT
from latentscope.reporting.chapters.encoded import ENCODED
from latentscope.reporting.chapters.meaning import MEANING
from latentscope.reporting.chapters.sample import SAMPLE
from latentscope.reporting.chapters.separate import SEPARATE

PLANS = (ENCODED, DIMENSIONS, SEPARATE, MEANING, EFFECT, SAMPLE)
