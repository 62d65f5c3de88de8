"""Tables as CSV that a spreadsheet shows and does not run: the one place where results become CSV."""

import pandas as pd

from maxsup_analysis.labels import clean_label

# What makes a formula of a cell, also in the wide forms that some programs take.
FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
# Letters of a cell; spreadsheets hold as many.
LONGEST = 32_767


def csv_text(frame: pd.DataFrame, *, index: bool = True) -> str:
    """The table with its numbers as they are, and its text inert: an apostrophe stands before what is a formula.

    Example:
        >>> print(csv_text(pd.DataFrame({"name": ["=1+1", "-0.5"], "value": [-1.5, 2.0]}), index=False), end="")
        name,value
        '=1+1,-1.5
        -0.5,2.0
    """
    whole = frame.reset_index() if index else frame
    columns = {_inert(str(name)): [_cell(entry) for entry in whole[name].tolist()] for name in whole.columns}
    return pd.DataFrame(columns, dtype=object).to_csv(index=False)


def _cell(entry: object) -> object:
    return _inert(entry) if isinstance(entry, str) else entry


def _inert(text: str) -> str:
    """The text on one line; a number that is held as text stays one."""
    shown = clean_label(text, LONGEST)
    return f"'{shown}" if shown.lstrip().startswith(FORMULA) and not _is_number(shown) else shown


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
