"""The records of a run as tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.serving import ours
from tests.benchmarks.serving.cells import CELLS, CONCURRENCIES, Bar, Cell
from tests.benchmarks.serving.statistics import Estimate, beside, mean, ratio, verdict

BEGIN, END = "<!-- written by make bench-serving: begin -->", "<!-- written by make bench-serving: end -->"
LEAST_ROUNDS = 5
SIGNS = {"share": "≥ {:g} of it", "added": "≤ {:g} ms added", "times": "≥ {:g} × kserve"}
Record = Mapping[str, Any]


class Records:
    """What was recorded, by cell; lists are in the order of the rounds, of those in which all of a comparison were measured."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.all = records
        self._loads = {
            (r["model"], r["form"], r["clients"], r["server"], r["round"]): r for r in records if r["what"] == "load"
        }
        self._engine = {(r["model"], r["clients"], r["round"]): r for r in records if r["what"] == "engine"}

    def loads(self, model: str, form: str, clients: int, server: str) -> dict[int, Record]:
        """By round."""
        key = (model, form, clients, server)
        return {k[4]: r for k, r in self._loads.items() if k[:4] == key}

    def engine(self, model: str, clients: int, number: int) -> Record:
        """Of a round."""
        return self._engine[model, clients, number]

    def peers(self, model: str, form: str, clients: int) -> list[str]:
        """Who was measured there."""
        return sorted({k[3] for k in self._loads if k[:3] == (model, form, clients)} - {ours.NAME})

    def by_ceiling(self, model: str, form: str, clients: int, server: str, *, batched: bool = False) -> Estimate:
        """Throughput by the engine's at batch 1, or by its best of all batches."""
        mine = self.loads(model, form, clients, server)
        tops = [self.engine(model, clients, i) for i in mine]
        return ratio(
            [r["rate"] for r in mine.values()],
            [max([*top["rates"].values(), *(top["batched"].values() if batched else ())]) for top in tops],
        )

    def against(self, model: str, form: str, clients: int, peer: str, what: str) -> Estimate:
        """Ours by a peer's: `rate`, or of `p99_ms` the peer's by ours, so that more is better for ours."""
        mine, theirs = (self.loads(model, form, clients, name) for name in (ours.NAME, peer))
        both = [i for i in mine if i in theirs]
        pair = [mine[i][what] for i in both], [theirs[i][what] for i in both]
        return ratio(*pair) if what == "rate" else ratio(*reversed(pair))


def markdown(records: Sequence[Record]) -> str:
    """All tables of a run."""
    run, known = next(r for r in records if r["what"] == "run"), Records(records)
    trial = (
        ""
        if run["rounds"] >= LEAST_ROUNDS
        else f" **A trial of {run['rounds']} round(s): it says that the benchmark runs, not how fast anything is.**"
    )
    engine = [row for name in dict.fromkeys(cell.model for cell in CELLS) if (row := _alone(name, known))]
    parts = [
        f"{run['date']}, {run['cores']} cores, flags {' '.join(run['cpu_flags'])}, Python {run['python']}, onnxruntime "
        f"{run['onnxruntime']}; n = {run['rounds']} interleaved rounds of {run['seconds']:g} s a load; server and engine with "
        f"{run['threads']} threads; nothing is pinned, and h2load runs on the same cores. Load average {_load(records)} "
        f"(the benchmark's own included).{trial}",
        "### The engine alone\n\n" + _table(ALONE_HEAD, engine),
        "### Ours against the engine\n\n" + _table(ENGINE_HEAD, [row for cell in CELLS for row in _engine_rows(cell, known)]),
    ]
    if rows := [row for cell in CELLS for row in _peer_rows(cell, known)]:
        parts.append("### Beside the best peer\n\n" + _table(PEER_HEAD, rows))
    if rows := [row for cell in CELLS for row in _every_rows(cell, known)]:
        parts.append("### Every peer\n\n" + _table(EVERY_HEAD, rows))
    if rows := [_peer_line(r) for r in records if r["what"] == "peer"]:
        parts.append(
            "### Peers\n\n" + _table(("peer", "installed", "workers × threads", "tried, answers/s", "idle CPU, cores"), rows)
        )
    if rows := [_missing_line(r) for r in records if r["what"] in ("not run", "failed")]:
        parts.append("### Not measured\n\n" + _table(("", "server", "request", "why"), rows))
    return "\n\n".join(parts)


def write(text: str, target: Path) -> None:
    """Put the tables between the marks of a file; the rest of it stays. A file without marks gets them at its end."""
    old = target.read_text(encoding="utf-8") if target.exists() else ""
    before, begin, rest = old.partition(BEGIN)
    after = rest.partition(END)[2] if begin else "\n"
    head = f"{before.rstrip()}\n\n" if before.strip() else ""
    target.write_text(f"{head}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


ALONE_HEAD = ("model", "callers × threads, batch 1: items/s", "best batch ≤ 8: items/s", "one caller's p50, ms")


def _alone(model: str, known: Records) -> tuple[str, ...]:
    """What the ceilings were, over all cells of a model."""
    if not (found := [r for r in known.all if r["what"] == "engine" and r["model"] == model]):
        return ()

    def middle(part: str) -> dict[str, float]:
        return {name: mean([r[part][name] for r in found]).value for name in found[0][part]}

    batched, lone = middle("batched"), middle("lone_ms")
    best = max(batched, key=lambda name: batched[name])
    return (
        model,
        ", ".join(f"{name}: {_number(rate)}" for name, rate in middle("rates").items()),
        f"{best}: {_number(batched[best])}",
        ", ".join(f"{name}: {_number(ms)}" for name, ms in lone.items()),
    )


ENGINE_HEAD = (
    *("request → model", "form", "connections", "answers/s", "p50, ms", "p99, ms"),
    *("of the ceiling", "of the best batch ≤ 8", "added to p50, ms", "bar", "", "live p99, ms"),
)


def _engine_rows(cell: Cell, known: Records) -> list[tuple[str, ...]]:
    rows = []
    for form in cell.forms:
        for clients, bar in zip(CONCURRENCIES, cell.bars, strict=True):
            mine = known.loads(cell.model, form, clients, ours.NAME)
            if not mine:
                continue
            share = known.by_ceiling(cell.model, form, clients, ours.NAME)
            whole = known.by_ceiling(cell.model, form, clients, ours.NAME, batched=True)
            lone = {i: min(known.engine(cell.model, clients, i)["lone_ms"].values()) for i in mine}
            added = mean([r["p50_ms"] - lone[i] for i, r in mine.items()])
            judged = None if bar is None else _judged(bar, share, added, known, cell, form, clients)
            above = (
                " (above 1 by batching)"
                if share.value > 1 >= whole.value
                else " (above 1, unexplained)"
                if share.value > 1
                else ""
            )
            rows.append(
                (
                    f"{cell.request} → {cell.model}",
                    form,
                    str(clients),
                    *(_number(mean([r[key] for r in mine.values()]).value) for key in ("rate", "p50_ms", "p99_ms")),
                    _told(share) + above,
                    _told(whole),
                    _told(added) if clients == 1 else "–",
                    SIGNS[bar.kind].format(bar.value) if bar else "–",
                    judged or "",
                    _number(mean([r["live_p99_ms"] for r in mine.values()]).value) if clients > 1 else "–",
                )
            )
    return rows


def _judged(bar: Bar, share: Estimate, added: Estimate, known: Records, cell: Cell, form: str, clients: int) -> str:
    if bar.kind == "times":
        if "kserve" not in known.peers(cell.model, form, clients):
            return "needs PEERS=kserve"
        times = known.against(cell.model, form, clients, "kserve", "rate")
        return f"{verdict(bar, times)}: {_told(times)}"
    return verdict(bar, share if bar.kind == "share" else added)


PEER_HEAD = (
    *("request → model", "form", "connections", "best peer, answers/s", "its part of the ceiling", "ours by it", ""),
    *("best peer, p99", "its p99 by ours", ""),
)


def _peer_rows(cell: Cell, known: Records) -> list[tuple[str, ...]]:
    rows = []
    for form in cell.forms:
        for clients in CONCURRENCIES:
            mine = known.loads(cell.model, form, clients, ours.NAME)
            there = known.peers(cell.model, form, clients)
            there = [peer for peer in there if mine.keys() & known.loads(cell.model, form, clients, peer)]
            if not there:
                continue
            told = [f"{cell.request} → {cell.model}", form, str(clients)]
            for what in ("rate", "p99_ms"):
                compared = {peer: known.against(cell.model, form, clients, peer, what) for peer in there}
                best = min(compared, key=lambda peer: compared[peer].value)
                share = known.by_ceiling(cell.model, form, clients, best).value
                told += [
                    best,
                    *([f"{share:.2f}"] if what == "rate" else []),
                    _told(compared[best]),
                    beside(compared[best], share),
                ]
            rows.append(tuple(told))
    return rows


EVERY_HEAD = ("request → model", "form", "connections", "server", "answers/s", "p50, ms", "p99, ms", "of the ceiling")


def _every_rows(cell: Cell, known: Records) -> list[tuple[str, ...]]:
    rows = []
    for form in cell.forms:
        for clients in CONCURRENCIES:
            for peer in known.peers(cell.model, form, clients):
                found = known.loads(cell.model, form, clients, peer).values()
                numbers = (_number(mean([r[key] for r in found]).value) for key in ("rate", "p50_ms", "p99_ms"))
                share = _told(known.by_ceiling(cell.model, form, clients, peer))
                rows.append((f"{cell.request} → {cell.model}", form, str(clients), peer, *numbers, share))
    return rows


def _peer_line(r: Record) -> tuple[str, ...]:
    tried = ", ".join(f"{choice}: {_number(rate)}" for choice, rate in r["tried"].items())
    return r["name"], " ".join(r["requirements"]), r["choice"], tried, f"{r['idle_cpu']:.2f}"


def _missing_line(r: Record) -> tuple[str, ...]:
    clients = f", {r['clients']} connections" if "clients" in r else ""
    return r["what"], r["server"], f"{r['model']}, {r['form']}{clients}", r["reason"].replace("|", "/")


def _load(records: Sequence[Record]) -> str:
    loads = [r["load_average"] for r in records if "load_average" in r]
    return f"{min(loads):.1f} to {max(loads):.1f}" if loads else "–"


def _told(e: Estimate) -> str:
    return f"{e.value:.2f}" if e.n < 2 else f"{e.value:.2f} ({e.low:.2f} to {e.high:.2f})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
