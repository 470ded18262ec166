"""Tables for a paper. No torch."""

import numpy as np
import pandas as pd


def latex_table(table: pd.DataFrame) -> str:
    """Write numbers as a LaTeX table: three digits, texts escaped, for the package booktabs."""
    special = str.maketrans({character: f"\\{character}" for character in "&%$#_{}"} | {"~": r"\textasciitilde{}"})

    def cell(value: object) -> str:
        if isinstance(value, float):
            return "" if np.isnan(value) else f"{value:.3g}" if np.isfinite(value) else r"$\infty$"
        return str(value).translate(special)

    rows = [[cell(value) for value in row] for row in table.itertuples(index=False)]
    is_number = [pd.api.types.is_numeric_dtype(kind) for kind in table.dtypes]
    lines = [rf"\begin{{tabular}}{{{''.join('r' if number else 'l' for number in is_number)}}}", r"\toprule"]
    lines += [" & ".join(str(name).translate(special) for name in table) + r" \\", r"\midrule"]
    lines += [" & ".join(row) + r" \\" for row in rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"
