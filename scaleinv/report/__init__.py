"""From records to figures and verdicts. No torch."""
