"""Learning-rate schedules; a configuration names one by its module."""

from scaleinv.schedules.base import Progress, Schedule
from scaleinv.schedules.constant import Constant

__all__ = ["Constant", "Progress", "Schedule"]
