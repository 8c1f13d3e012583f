"""What a Raspberry Pi tells of its heat and its supply; nothing elsewhere, and said so."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

#: Bits of ``get_throttled`` [1]_: the state now, and 16 bits higher what has occurred since boot.
#:
#: .. [1] https://www.raspberrypi.com/documentation/computers/os.html#get_throttled
THROTTLE_BITS: Mapping[int, str] = {
    0: "under-voltage",
    1: "frequency capped",
    2: "throttled",
    3: "soft temperature limit",
    16: "under-voltage since boot",
    17: "frequency capped since boot",
    18: "throttled since boot",
    19: "soft temperature limit since boot",
}
_SYSFS_THROTTLED = Path("sys/devices/platform/soc/soc:firmware/get_throttled")
#: The firmware answers in a few ms; one that hangs must not hang the run.
_TIMEOUT_S = 5.0

#: Runs ``vcgencmd`` with arguments and gives what it printed, or None where there is none or it failed.
Vcgencmd = Callable[..., str | None]


@dataclass(frozen=True, slots=True)
class Condition:
    """The machine's state at one moment.

    Attributes
    ----------
    temperatures_c : by thermal zone, °C; empty where the kernel shows none
    throttled : names of the set flags; None where the machine has none to show
    load_1min : the kernel's load average
    """

    temperatures_c: dict[str, float]
    throttled: tuple[str, ...] | None
    load_1min: float

    def to_json(self) -> dict[str, object]:
        """Give the state, with the reason for what is absent."""
        return {
            "temperatures_c": self.temperatures_c or "absent: the kernel shows no thermal zone",
            "throttled": "absent: no Raspberry Pi firmware"
            if self.throttled is None
            else list(self.throttled),
            "load_1min": round(self.load_1min, 2),
        }


def vcgencmd(*arguments: str) -> str | None:
    """Ask the Raspberry Pi's firmware; None where there is no such firmware or it refuses."""
    program = shutil.which("vcgencmd")
    if program is None:
        return None
    try:
        answer = subprocess.run(
            [program, *arguments], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout if answer.returncode == 0 else None


def parse_throttled(text: str) -> tuple[str, ...] | None:
    """Name the flags in ``throttled=0x50005`` (vcgencmd) or ``50005`` (sysfs); None for anything else.

    Examples
    --------
    >>> parse_throttled("throttled=0x50005")
    ('under-voltage', 'throttled', 'under-voltage since boot', 'throttled since boot')
    >>> parse_throttled("0")
    ()
    """
    found = re.fullmatch(r"(?:throttled=)?(?:0x)?([0-9a-fA-F]+)", text.strip())
    if found is None:
        return None
    bits = int(found[1], 16)
    return tuple(name for bit, name in THROTTLE_BITS.items() if bits >> bit & 1)


def read_condition(root: Path = Path("/"), ask: Vcgencmd = vcgencmd) -> Condition:
    """Look at heat, supply and load now.

    Parameters
    ----------
    root : of the file system
    ask : the firmware
    """
    return Condition(_temperatures_c(root), _throttled(root, ask), _load(root))


def _temperatures_c(root: Path) -> dict[str, float]:
    found: dict[str, float] = {}
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        try:
            name, milli = (zone / "type").read_text().strip(), int((zone / "temp").read_text())
        except (OSError, ValueError):
            continue  # a zone whose sensor is off answers with an error; the others still count
        found[name if name not in found else f"{name} {zone.name}"] = milli / 1000
    return found


def _throttled(root: Path, ask: Vcgencmd) -> tuple[str, ...] | None:
    answer = ask("get_throttled")
    if answer is not None:
        return parse_throttled(answer)
    file = root / _SYSFS_THROTTLED
    return parse_throttled(file.read_text()) if file.exists() else None


def _load(root: Path) -> float:
    return float((root / "proc/loadavg").read_text().split()[0])
