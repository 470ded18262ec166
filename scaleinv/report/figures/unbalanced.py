"""Networks that reparametrisation has put out of balance, trained with exact gradients (thesis, 4.2.2)."""

import pandas as pd

from scaleinv.report.figures.curves import lr_figure
from scaleinv.report.figures.style import Drawing, styled

EXPERIMENT = "unbalanced"


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw the records of the experiment."""
    named = records.assign(dataset=records["dataset"] + ", " + records["start.name"] + " start")
    return lr_figure(
        named,
        "Best validation loss against the learning rate, from the default initialisation and from the same networks"
        " rescaled until one outgoing weight of every hidden node is +-1 (Hungarian choice). Fixed, reparametrised:"
        " rescales by itself and then keeps those weights, so both panels should show it alike.",
        ["start.name"],
    )
