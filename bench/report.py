"""What a benchmark found: a table for people, kept as JSON."""

import json
import os
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One measurement. rate: things per second; yardstick: the rate that it is compared with, measured in this run."""

    name: str
    rate: float
    unit: str
    yardstick: str = ""
    yardstick_rate: float = 0.0
    detail: str = ""

    @property
    def ratio(self) -> float | None:
        """rate / yardstick_rate, where there is a yardstick."""
        return self.rate / self.yardstick_rate if self.yardstick_rate else None


class Report:
    """The figures of one benchmark."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._figures: list[Figure] = []

    def add(self, figure: Figure) -> None:
        """Keeps a figure."""
        self._figures.append(figure)

    def table(self) -> str:
        """The figures, a line each: what was measured, its rate, and its ratio to the yardstick of the same run."""
        rows = [
            (
                figure.name,
                f"{figure.rate:,.0f} {figure.unit}",
                f"{figure.ratio:.2f} x {figure.yardstick} ({figure.yardstick_rate:,.0f})" if figure.ratio else "",
                figure.detail,
            )
            for figure in self._figures
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
        return "\n".join([self._name, *(f"  {line}" for line in lines)])

    def save(self, folder: Path) -> None:
        """Writes <folder>/<name>.json."""
        folder.mkdir(parents=True, exist_ok=True)
        content = {
            "benchmark": self._name,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": {"cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
            "figures": [{**asdict(figure), "ratio": figure.ratio} for figure in self._figures],
        }
        path = folder / f"{self._name}.json"
        path.write_text(json.dumps(content, indent=1) + "\n")
