"""Numbers in few digits that claim no more than was proven: lower bounds go down, upper ones up.

A number of float64 counts as its shortest text that reads as that number: 0.29 is 29 %, no less.
"""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal


def rounded_down(value: float, digits: int = 4) -> float:
    """Returns the largest number of so many significant digits that is not above a value."""
    return _rounded(value, digits, ROUND_FLOOR)


def rounded_up(value: float, digits: int = 4) -> float:
    """Returns the least number of so many significant digits that is not below a value."""
    return _rounded(value, digits, ROUND_CEILING)


def percent_down(share: float, decimals: int = 1) -> str:
    """Returns a share that is proven from below, in per cent."""
    return _percent(share, decimals, ROUND_FLOOR)


def percent_up(share: float, decimals: int = 1) -> str:
    """Returns a share that is proven from above, in per cent."""
    return _percent(share, decimals, ROUND_CEILING)


def percent(share: float, decimals: int = 1) -> str:
    """Returns a share that was counted, in per cent: 100 % only of all, 0 % only of none."""
    nearest = _percent(share, decimals, ROUND_HALF_EVEN)
    if share < 1 and nearest == _percent(1, decimals, ROUND_FLOOR):
        return percent_down(share, decimals)
    if share > 0 and nearest == _percent(0, decimals, ROUND_FLOOR):
        return percent_up(share, decimals)
    return nearest


def _rounded(value: float, digits: int, rounding: str) -> float:
    if not math.isfinite(value):
        return float(value)
    return float(Context(prec=digits, rounding=rounding).create_decimal(repr(float(value))))


def _percent(share: float, decimals: int, rounding: str) -> str:
    whole = Decimal(repr(float(share))) * 100
    return f"{whole.quantize(Decimal(1).scaleb(-decimals), rounding):f}%"
