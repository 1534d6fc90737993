"""The run: everything started and its answers checked, then rounds in which engine, our server and the peers take turns."""

import json
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.serving import h2load, models, ours, peer_process, peers, processes, wire
from tests.benchmarks.serving.ceiling import Ceiling
from tests.benchmarks.serving.cells import CELLS, CONCURRENCIES
from tests.benchmarks.serving.h2load import Load, LoadError

TOLERANCE = 1e-3
"""Largest difference of a probability from the engine's."""
ASK_S = 60
IDLE_S = 2.0
"""How long a peer that nobody asks is watched."""
LIVE_PER_S = 20
"""How often a probe asks for liveness while our server is under load."""
TRIAL = 8
"""Connections when a peer's choices of workers and threads are tried; the geometric mean of its requests' rates decides."""


class WrongAnswerError(Exception):
    """A server does not answer as the engine does."""


@dataclass(frozen=True, slots=True)
class Target:
    """A server and what it is sent."""

    name: str
    form: str
    server: ours.Server
    request: wire.Request
    answer_bytes: int

    def load(self, clients: int, seconds: float) -> dict[str, Any]:
        """One load; of our server, where more than one waits, its liveness is asked for meanwhile.

        Raises: LoadError: a request failed. TimeoutError: the server does not come to rest after it.
        """
        url, probed = self.server.url(self.request), self.name == ours.NAME and clients > 1
        try:
            with ThreadPoolExecutor(1) as beside:
                probes = beside.submit(_probed, self.server.http, seconds) if probed else None
                found = h2load.run(url, self.request, clients=clients, seconds=seconds, answer_bytes=self.answer_bytes)
                told = {"rate": found.rate, "p50_ms": found.p50_ms, "p99_ms": found.p99_ms, "count": found.count}
                return told | ({"live_p99_ms": probes.result().p99_ms} if probes else {})
        finally:
            processes.settle(self.server.pid)


class Run:
    """What is started, and the records of it, which are written as they come."""

    def __init__(
        self, *, rounds: int, seconds: float, threads: int, cache: Path, raw: Path, say: Callable[[str], None]
    ) -> None:
        """`seconds`: of a load, and of each measurement of the engine. `raw`: JSON lines."""
        self.rounds, self.seconds, self.threads, self.cache, self.say = rounds, seconds, threads, cache, say
        self.records: list[dict[str, Any]] = []
        raw.parent.mkdir(parents=True, exist_ok=True)
        raw.write_text("", encoding="utf-8")
        self._raw = raw

    def record(self, what: str, **values: Any) -> None:
        """Keep one line."""
        self.records.append({"what": what, **values})
        with self._raw.open("a", encoding="utf-8") as f:
            f.write(json.dumps(self.records[-1]) + "\n")

    def go(self, names: Sequence[str], peer_names: Sequence[str], environments: Path) -> None:
        """Measure the cells of some models, beside some peers."""
        with ExitStack() as stack:
            paths = {name: models.make(name, self.cache) for name in dict.fromkeys([*names, models.CNN, peers.RESNET])}
            items = {name: models.MODELS[name].item(0) for name in paths}
            ceilings = {name: stack.enter_context(Ceiling(paths[name], items[name], self.threads)) for name in names}
            expected = {name: ceiling.expected(items[name]) for name, ceiling in ceilings.items()}
            targets = {name: self._ours(stack, name, paths[name], items[name], expected[name]) for name in names}
            graphs = {name: models.graph_of(paths[name]) for name in (models.CNN, peers.RESNET)}
            for peer in peer_names:
                self._peer(stack, peer, environments, graphs, items, expected, targets)
            for number in range(self.rounds):
                for name in names:
                    for clients in CONCURRENCIES:
                        self.say(f"round {number + 1} of {self.rounds}: {name}, {clients}")
                        self._turns(number, name, clients, ceilings[name], targets[name])

    def _turns(self, number: int, model: str, clients: int, ceiling: Ceiling, targets: Sequence[Target]) -> None:
        """All that take part in a cell, beginning with another one each round."""
        common = {"round": number, "model": model, "clients": clients, "load_average": os.getloadavg()[0]}
        turns: list[Target | None] = [None, *targets]
        at = number % len(turns)
        for target in turns[at:] + turns[:at]:
            if target is None:
                self.record("engine", **common, **ceiling.calibrate(self.seconds))
                continue
            about = common | {"server": target.name, "form": target.form}
            try:
                self.record("load", **about, **target.load(clients, self.seconds))
            except (LoadError, TimeoutError) as exc:
                self._missing("failed", exc, **about)

    def _ours(self, stack: ExitStack, model: str, path: Path, item: Any, expected: np.ndarray) -> list[Target]:
        forms = [form for cell in CELLS if cell.model == model for form in cell.forms]
        try:
            server = stack.enter_context(ours.serving(model, path))
        except AssertionError as exc:
            reason = str(exc).strip().splitlines()[-1]  # behind its log
            self._missing("not run", reason, model=model, server=ours.NAME, form=", ".join(forms))
            return []
        found = []
        for form in forms:
            request = ours.request(model, form, item)
            if not server.url(request):
                self._missing("not run", "the server has no gRPC port", model=model, server=ours.NAME, form=form)
                continue
            found += self._checked(ours.NAME, model, form, server, request, expected)
        return found

    def _peer(
        self,
        stack: ExitStack,
        name: str,
        environments: Path,
        graphs: Mapping[str, Path],
        items: Mapping[str, Any],
        expected: Mapping[str, np.ndarray],
        targets: Mapping[str, list[Target]],
    ) -> None:
        """Install and try a peer, and start it as it is fastest."""
        asked = {key: make(items[key[0]]) for key, make in peers.PEERS[name].asked.items() if key[0] in targets}
        if not asked:
            return
        probe = next(iter(asked.values()))
        try:
            self.say(f"{name}: installing")
            environment = peer_process.install(name, environments)
            tried = {
                (threads, workers): self._tried(name, environment, graphs, list(asked.values()), threads, workers)
                for threads, workers in dict.fromkeys([(self.threads, 1), (1, self.threads)])
            }
            threads, workers = max(tried, key=lambda choice: tried[choice])
            running = stack.enter_context(
                peer_process.running(name, environment, graphs, probe, threads=threads, workers=workers)
            )
        except peer_process.PeerError as exc:
            self._missing("not run", exc, model="all", server=name, form="all")
            return
        self.record(
            "peer",
            name=name,
            requirements=[*peers.PEERS[name].requirements],
            choice=f"{workers} × {threads}",
            tried={f"{w} × {t}": rate for (t, w), rate in tried.items()},
            idle_cpu=processes.busy_share(running.pid, IDLE_S),
        )
        for (model, form), request in asked.items():
            targets[model].extend(self._checked(name, model, form, running, request, expected[model]))

    def _tried(
        self,
        name: str,
        environment: Path,
        graphs: Mapping[str, Path],
        requests: Sequence[wire.Request],
        threads: int,
        workers: int,
    ) -> float:
        """How many answers a second a peer gives so; 0 where it does not run so, which is told."""
        self.say(f"{name}: {workers} workers of {threads} threads")
        try:
            with peer_process.running(name, environment, graphs, requests[0], threads=threads, workers=workers) as server:
                loads = [Target(name, "", server, r, 0).load(TRIAL, self.seconds) for r in requests]
        except (peer_process.PeerError, LoadError, TimeoutError) as exc:
            self._missing("not run", exc, model="all", server=name, form=f"{workers} workers of {threads} threads")
            return 0.0
        return statistics.geometric_mean(load["rate"] for load in loads)

    def _checked(
        self, name: str, model: str, form: str, server: ours.Server, request: wire.Request, expected: np.ndarray
    ) -> list[Target]:
        """The target, if its answer is right."""
        try:
            answer = wire.ask(server.url(request), request, ASK_S)
            found = request.read(answer)
            if found.shape != expected.shape or not np.abs(found - expected).max() <= TOLERANCE:
                raise WrongAnswerError(f"answers {np.round(found[:4], 3)}…, the engine {np.round(expected[:4], 3)}…")
        except Exception as exc:  # noqa: BLE001  whatever a server or client does: the cell says so, the others go on
            self._missing("failed", exc, model=model, server=name, form=form)
            return []
        return [Target(name, form, server, request, len(answer))]

    def _missing(self, what: str, reason: object, **about: Any) -> None:
        line = (str(reason).strip().splitlines() or [type(reason).__name__])[0][:300]
        self.record(what, **about, reason=line)
        self.say(f"{what}: {about['server']}, {about['model']}, {about['form']}: {line}")


def _probed(url: str, seconds: float) -> Load:
    """Liveness while others are answered."""
    answer = wire.ask(url, ours.LIVE, ASK_S)
    return h2load.run(url, ours.LIVE, clients=1, seconds=seconds, answer_bytes=len(answer), per_second=LIVE_PER_S)
