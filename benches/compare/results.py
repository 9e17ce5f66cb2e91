"""From runs to a table and to rows of JSON. Everything here is arithmetic, so that a test can hold it to small numbers."""

import statistics
from dataclasses import dataclass, field

RATE = 24_000


@dataclass
class Series:
    """The runs of one program, and what is told of it once. `runs` have samples, first, wall, cpu and peak_kib."""

    name: str
    load: float
    runs: list[dict] = field(default_factory=list)

    def cost(self, kind: str) -> list[float]:
        """Seconds of `cpu` or `wall` for each second of audio, run by run."""
        return [run[kind] * RATE / run["samples"] for run in self.runs]

    def median(self, key: str) -> float:
        return statistics.median(run[key] for run in self.runs)


@dataclass
class Pairing:
    """Ours and one peer in turns: run i of the one stands beside run i of the other."""

    work: str
    device: str
    ours: Series
    theirs: Series
    # The peer's FLOP for a second of audio, and what the machine does at best in a second (of one core, or of the card).
    flop: float | None = None
    peak: float | None = None

    @property
    def kind(self) -> str:
        """What counts: on a processor, which others use as well, its time; on a card the clock's."""
        return "cpu" if self.device == "cpu" else "wall"

    def ratio(self, kind: str) -> float:
        """How many times more theirs takes, the median of the pairs; a slow minute of the machine is in both of a pair."""
        return statistics.median(their / our for our, their in zip(self.ours.cost(kind), self.theirs.cost(kind), strict=True))

    def share(self, series: Series) -> float | None:
        """How much of the peak the work makes of the time it takes. Ours may need fewer multiplications than are counted."""
        if self.flop is None or self.peak is None:
            return None
        return self.flop / (statistics.median(series.cost(self.kind)) * self.peak)

    def row(self) -> dict:
        """Seconds for a second of audio, and how many times more theirs takes."""
        ours, theirs = (statistics.median(series.cost(self.kind)) for series in (self.ours, self.theirs))
        figures = {"ours": round(ours, 4), "theirs": round(theirs, 4), "ratio": round(self.ratio(self.kind), 3)}
        return {"work": self.work, "device": self.device, **figures}


HEAD = ["work", "program", "audio s", "CPU s per audio s (range)", "wall RTF", "first audio s", "peak MiB", "load s"]
HEAD += ["share of GEMM peak", "theirs / ours, CPU", "theirs / ours, wall"]


def line(pairing: Pairing, series: Series) -> list[str]:
    cpu, share = series.cost("cpu"), pairing.share(series)
    ratios = [f"{pairing.ratio(kind):.2f}" for kind in ("cpu", "wall")] if series is pairing.theirs else ["", ""]
    return [
        pairing.work,
        series.name,
        f"{series.median('samples') / RATE:.2f}",
        f"{statistics.median(cpu):.3f} ({min(cpu):.3f} to {max(cpu):.3f})",
        f"{statistics.median(series.cost('wall')):.3f}",
        f"{series.median('first'):.3f}",
        f"{max(run['peak_kib'] for run in series.runs) // 1024}",
        f"{series.load:.1f}",
        "" if share is None else f"{share:.0%}",
        *ratios,
    ]


def table(pairings: list[Pairing]) -> str:
    """Markdown, two lines for each pairing: ours, then theirs with the ratios."""
    lines = [HEAD, ["---"] * len(HEAD)]
    lines += [line(pairing, series) for pairing in pairings for series in (pairing.ours, pairing.theirs)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
