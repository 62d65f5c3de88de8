"""The dumb reference: every metric from its equation, in plain loops over NumPy float64, one file a family.

Imports nothing from the package. Each function takes (features, labels, logits, weight, bias) and returns a float.
Slow on purpose: all pairs are visited, matrices are inverted as they are written.
"""

from collections.abc import Callable

from tests.oracle.calibration import ORACLE as CALIBRATION
from tests.oracle.conditional import ORACLE as CONDITIONAL
from tests.oracle.logits import ORACLE as LOGITS
from tests.oracle.neural_collapse import ORACLE as NEURAL_COLLAPSE
from tests.oracle.selection import ORACLE as SELECTION
from tests.oracle.spectrum import ORACLE as SPECTRUM
from tests.oracle.variation import ORACLE as VARIATION

ORACLE: dict[str, Callable[..., float]] = {
    **VARIATION,
    **NEURAL_COLLAPSE,
    **CONDITIONAL,
    **SPECTRUM,
    **CALIBRATION,
    **SELECTION,
    **LOGITS,
}
