"""One file per published method; each is a screen to read next to its paper."""

from invtutor.algorithms.algorithm import Algorithm, Metrics
from invtutor.algorithms.and_mask import AndMask
from invtutor.algorithms.birm import BIRM
from invtutor.algorithms.cvar import CVaRDRO
from invtutor.algorithms.dann import DANN
from invtutor.algorithms.erm import ERM
from invtutor.algorithms.fishr import Fishr
from invtutor.algorithms.group_dro import GroupDRO
from invtutor.algorithms.ib_irm import IBIRM
from invtutor.algorithms.irmv1 import IRMv1
from invtutor.algorithms.jtt import JTT
from invtutor.algorithms.lff import LfF
from invtutor.algorithms.maple import MAPLE
from invtutor.algorithms.meta_irm import MetaIRM
from invtutor.algorithms.mmrex import MMREx
from invtutor.algorithms.oracle import Oracle
from invtutor.algorithms.sand_mask import SandMask
from invtutor.algorithms.sparse_irm import SparseIRM
from invtutor.algorithms.temporal_mask import TemporalMask
from invtutor.algorithms.upweighting import Upweighting
from invtutor.algorithms.vrex import VREx
from invtutor.plugins import Registry

__all__ = ["ALGORITHMS", "Algorithm", "Metrics"]  # and the methods, which the registry names

ALGORITHMS: Registry[type[Algorithm]] = Registry(
    "algorithms",
    {
        "oracle": Oracle,
        "erm": ERM,
        "irmv1": IRMv1,
        "vrex": VREx,
        "mmrex": MMREx,
        "group_dro": GroupDRO,
        "and_mask": AndMask,
        "sand_mask": SandMask,
        "meta_irm": MetaIRM,
        "maple": MAPLE,
        "upweighting": Upweighting,
        "jtt": JTT,
        "dann": DANN,
        "cvar": CVaRDRO,
        "lff": LfF,
        "sparse_irm": SparseIRM,
        "birm": BIRM,
        "fishr": Fishr,
        "ib_irm": IBIRM,
        "temporal_mask": TemporalMask,
    },
)
"""The methods, by the names that recipes and commands call them."""
