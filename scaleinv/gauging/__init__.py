"""Gauges during training: which weights of its function a network goes on from; a configuration names one by module."""

from scaleinv.gauging.balance import BalanceGauge
from scaleinv.gauging.base import Gauge
from scaleinv.gauging.enorm import ENormGauge
from scaleinv.gauging.none import NoGauge
from scaleinv.gauging.teleport import TeleportGauge

__all__ = ["BalanceGauge", "ENormGauge", "Gauge", "NoGauge", "TeleportGauge"]
