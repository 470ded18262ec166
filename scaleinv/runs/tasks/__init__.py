"""The procedures that a run can carry out; a configuration names a task by its module."""
