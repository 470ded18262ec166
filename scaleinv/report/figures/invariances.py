"""How many scale invariances networks have, counted by rank (thesis, 6.1.1, says fewer than hidden nodes)."""

import pandas as pd
from matplotlib.ticker import MaxNLocator

from scaleinv.report.figures.style import BLUE, ORANGE, Drawing, panels, styled
from scaleinv.report.methods import refuse_differences

# None: the result is one sentence, which the claim holds; the picture is drawn on request.
EXPERIMENT = None


def counts(records: pd.DataFrame) -> pd.DataFrame:
    """Return per network the hidden nodes, ``m - rank`` of the paths, and the least ``m - rank`` of the Jacobians."""
    refuse_differences(records)
    grouped = records.groupby(["network", "bias"], sort=False)
    table = grouped.agg(
        parameters=("parameters", "first"), hidden=("hidden", "first"), path_rank=("path_rank", "first"),
        jacobian_rank=("jacobian_rank", "max"), draws=("seed", "size"),
    ).reset_index()  # fmt: skip
    table["of_paths"] = table["parameters"] - table["path_rank"]
    table["of_function"] = table["parameters"] - table["jacobian_rank"]
    return table


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw the number of invariances against the number of hidden nodes."""
    table = counts(records)
    figure, (ax,) = panels(1, width=3.8, height=3.2)
    top = table["hidden"].max() + 1
    ax.plot([0, top], [0, top], color="0.7", linewidth=0.8, label="one per hidden node")
    for column, marker, size, color, label in (
        ("of_paths", "s", 7, BLUE, "weights - rank of the paths"),
        ("of_function", "o", 3.5, ORANGE, "weights - rank of the function's Jacobian"),
    ):
        ax.plot(
            table["hidden"], table[column], linestyle="", marker=marker, markersize=size, color=color,
            markerfacecolor="none" if column == "of_paths" else color, label=label,
        )  # fmt: skip
    ax.set_xlabel("hidden nodes")
    ax.set_ylabel("scale invariances")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend()
    caption = (
        f"Scale invariances of {len(table)} networks (with and without biases) against their hidden nodes; the Jacobian"
        f" has the largest rank of {table['draws'].max()} random weights."
    )
    return Drawing(figure, table, caption)
