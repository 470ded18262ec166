"""The machine that a run uses: device, threads, memory, and their description in the manifest."""

import os
import platform
import subprocess
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scaleinv.runs.errors import ConfigError
from scaleinv.runs.versions import versions


def list_devices(given: str | Sequence[str]) -> list[torch.device]:
    """Return the devices that a run may use here; ``cuda`` and ``auto`` mean every GPU.

    Raises:
        ConfigError: this machine has no such device, or the devices are of several kinds, which round differently.
    """
    devices: list[torch.device] = []
    for device in map(pick_device, [given] if isinstance(given, str) else given):
        count = torch.cuda.device_count() if device == torch.device("cuda") else 1
        devices += [torch.device("cuda", index) for index in range(count)] if count > 1 else [device]
    if len(kinds := dict.fromkeys(device.type for device in devices)) > 1:
        raise ConfigError(f"devices of several kinds: {' and '.join(kinds)}", "device", "list devices of one kind")
    return devices


def pick_device(name: str) -> torch.device:
    """Return the device that ``auto``, ``cpu``, ``cuda`` or ``cuda:1`` means here.

    Raises:
        ConfigError: this machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"there is no device {name!r}", "device", "there are auto, cpu, cuda, cuda:1, ...") from error
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if not torch.backends.cuda.is_built():
            raise ConfigError("this torch is built without CUDA", "device", "install a CUDA build, or set device=cpu")
        if (device.index or 0) >= count:
            raise ConfigError(f"there is no {name}: this machine has {count} CUDA devices", "device", "set device=auto")
    elif device.type != "cpu":
        raise ConfigError(f"device {name!r} is not supported", "device", "there are auto, cpu, cuda, cuda:1, ...")
    return device


def set_up(device: torch.device, threads: int | None, tf32: bool) -> None:
    """Set threads, denormals and TF32, which change the speed and the round-off of every operation."""
    if threads:
        torch.set_num_threads(threads)
    for dtype in (np.float32, np.float64):
        np.finfo(dtype)  # older NumPy tests for denormals at the first call, and would warn once they are flushed
    # Denormals slow a diverging or dying member down by an order of magnitude, and the other members with it.
    torch.set_flush_denormal(True)
    if device.type == "cuda":
        if device.index is not None:
            torch.cuda.set_device(device)  # where a step is captured
        torch.backends.cuda.matmul.allow_tf32 = tf32


def describe(device: torch.device) -> dict[str, Any]:
    """Return the manifest's entries on the machine and the software."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_name()
    return {
        "device": str(device),
        "device_name": name,
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "tf32": torch.backends.cuda.matmul.allow_tf32,
        "deterministic": device.type == "cpu",
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": versions(),
        "git": checkout(),
    }


# Bytes. A virtual machine reports the whole cache of its host, hundreds of MiB that it shares with other machines.
# Measured on such a machine, stacks larger than this take a third longer per member.
_CACHE_OF_A_THREAD = 2**24


def cache_bytes() -> int:
    """Return the usable bytes of the last-level CPU cache: its size, but at most 16 MiB per thread."""
    sizes = []
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = path.read_text().strip()
        scale = {"K": 2**10, "M": 2**20}.get(text[-1:])
        if scale and text[:-1].isdigit():
            sizes.append(int(text[:-1]) * scale)
    return min(max(sizes, default=_CACHE_OF_A_THREAD), torch.get_num_threads() * _CACHE_OF_A_THREAD)


def free_bytes(device: torch.device) -> int:
    """Return the free memory of the device in bytes; half of the physical memory where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


@lru_cache(maxsize=1)  # the code of a process is what it was when it was imported
def checkout() -> dict[str, Any] | None:
    """Return commit and dirty flag of the checkout that the code runs from, or None outside one."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return None
    try:
        asked = [["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"]]
        commit, status = (
            subprocess.run(
                ["git", "-C", str(here), *words], capture_output=True, text=True, check=True, timeout=10
            ).stdout
            for words in asked
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit.strip(), "dirty": bool(status.strip())}
