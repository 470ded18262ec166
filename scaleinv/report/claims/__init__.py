"""The claims of the sources, one file each, and what the records of a study say about them. No torch.

    python -m scaleinv.report.claims results/release/cpu [--out STEM]

``docs/guides/claim.md`` shows how to add one.
"""
