"""The commands of ``scaleinv-runs``, one file each: ``add_arguments(parser)`` and ``run(options)``. No torch."""
