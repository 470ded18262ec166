"""A pool of devices: each run takes one that no other run of this user has, in whichever process.

A device that is taken is a locked file, which the operating system unlocks when the process ends, however it ends.
"""

import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from scaleinv.runs.config import Config
from scaleinv.runs.environment import list_devices
from scaleinv.runs.progress import note

# Seconds between two looks at a pool of which all devices are taken.
WAIT = 0.5


@contextmanager
def device_taken(config: Config) -> Iterator[Config]:
    """Take a free device of those that ``config.device`` allows, and wait for one if there is none.

    A device listed twice takes two runs at once. If only one device is allowed, once, it is used without asking: then
    nothing is to be shared out.

    Yields:
        The configuration with this one device, which runs that the run makes use too.

    Raises:
        ConfigError: this machine has no such device.
    """
    devices = list_devices(config.device)
    if len(devices) == 1:
        yield config
        return
    with _any_of(devices) as device:
        name = str(device)
        yield replace(config, device=name, resolved={**config.resolved, "device": name})


@contextmanager
def _any_of(devices: Sequence[torch.device]) -> Iterator[torch.device]:
    """Lock the first free device; look again and again while there is none."""
    places = _places(devices)
    is_told = False
    while True:
        for lock, device in places:
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            try:
                yield device
            finally:
                lock.release()
            return
        if not is_told:
            note(f"waiting: other runs have {', '.join(dict.fromkeys(map(str, devices)))}")
            is_told = True
        time.sleep(WAIT)


def _places(devices: Sequence[torch.device]) -> list[tuple[FileLock, torch.device]]:
    """Return a lock for every place of the pool: each device once, then those that are listed again."""
    folder = Path(tempfile.gettempdir()) / f"scaleinv-devices-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    before: Counter[torch.device] = Counter()
    numbered = []
    for device in devices:
        numbered.append((before[device], device))
        before[device] += 1
    numbered.sort(key=lambda one: one[0])
    return [(FileLock(folder / f"{_identity(device)}-{number}.lock"), device) for number, device in numbered]


def _identity(device: torch.device) -> str:
    """Return a name of the device that does not depend on which devices a process sees."""
    if device.type == "cuda" and (uuid := getattr(torch.cuda.get_device_properties(device), "uuid", None)):
        return f"cuda-{uuid}"
    return str(device).replace(":", "-")
