"""Which Python and NumPy values are numbers that arithmetic here can take."""

import numpy as np


def is_number(value: object) -> bool:
    """Tell whether the value is a real number, NaN and infinity too, that a float64 can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return False
    try:
        float(value)
    except OverflowError:  # a whole number of more than 308 digits
        return False
    return True
