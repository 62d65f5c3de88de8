"""Data that a checkpoint names: sets that are known here by name, never a path, an address or code."""

from maxsup_analysis.datasets.named import DATASETS
from maxsup_analysis.datasets.splits import SYNONYMS, WHOLE
from maxsup_analysis.datasets.torchvision_sets import PREFIX, constructors
from maxsup_analysis.datasets.torchvision_sets import SPLITS as TORCHVISION_SPLITS
from maxsup_analysis.stated import Stated

SPLITS = {name: name for names in (*SYNONYMS, *TORCHVISION_SPLITS.values(), (WHOLE,)) for name in names}


def stated_data(named: Stated) -> str:
    """The name of the data set that a file names; InputError with what to type where it is none that is known here."""
    known = {name: name for name in DATASETS}
    if not named.is_among(known):
        known |= {PREFIX + name: PREFIX + name for name in constructors()}
    return named.among(
        known, f"it names none of the known sets: where you trust it, {named.typed('--data', 'DATA')}"
    )


def stated_split(named: Stated) -> str:
    """The split that a file names; InputError with what to type where it is no usual one."""
    return named.among(SPLITS, f"it is none of the usual splits: {named.typed('--split', 'SPLIT')}")
