"""What users expect of scaleinv, tried line by line: docs/expectations.md."""
