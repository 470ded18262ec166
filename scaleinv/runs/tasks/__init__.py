"""What a run can do; a configuration names a task by its module."""
