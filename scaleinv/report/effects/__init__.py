"""Effects with intervals, and verdicts with rules, from plain tables: seeds x learning rates. No torch.

``intervals`` estimates, ``choice`` selects learning rates and epochs, ``rates`` measures whole learning-rate curves,
``speed`` the time to a loss, ``contrasts`` several factors at once, and ``verdicts`` decides. A member that diverged
has an infinite loss; every function says what it does with infinite losses.
"""
