"""One file per published method; each is a screen to read next to its paper."""

from invtutor.algorithms.algorithm import Algorithm, Metrics
from invtutor.algorithms.erm import ERM
from invtutor.algorithms.irmv1 import IRMv1
from invtutor.algorithms.mmrex import MMREx
from invtutor.algorithms.vrex import VREx

__all__ = ["ERM", "Algorithm", "IRMv1", "MMREx", "Metrics", "VREx"]
