import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from slipway.server.plan import plan
from slipway.server.scheduler import Graph, Scheduled, Scheduler
from tests.helpers.bundles import FAMILIES, make_items
from tests.helpers.servers import DEADLINE_S, wait_until


class Doubling:
    """A session that doubles, as long as its gate is open; it notes how many items each call had."""

    outputs = ("y",)

    def __init__(self):
        self.gate, self.calls, self.busy, self.most = threading.Event(), [], 0, 0
        self._lock = threading.Lock()

    def run(self, _names, feeds):
        with self._lock:
            self.calls.append(len(feeds["x"]))
            self.busy += 1
            self.most = max(self.most, self.busy)
        assert self.gate.wait(DEADLINE_S)
        with self._lock:
            self.busy -= 1
        if (feeds["x"] < 0).any():
            raise ValueError("negative")
        return [feeds["x"] * 2]


def feeds(*values, width=1):
    return {"x": np.repeat(np.array(values, np.float32)[:, None], width, axis=1)}


@pytest.fixture
def pool():
    with ThreadPoolExecutor(16) as pool:
        yield pool


@pytest.fixture
def sessions(pool):
    """Two of them; whatever happens, nobody is left waiting at their gates."""
    made = [Doubling(), Doubling()]
    yield made
    for session in made:
        session.gate.set()


def waiting(scheduler, pool, graph, all_feeds):
    """Every one sent, in order, each waiting for a thread or computing before the next comes."""
    futures = []
    for i, its in enumerate(all_feeds):
        busy, depth = graph.one.busy, scheduler.depth
        futures.append(pool.submit(scheduler.run, graph, ["y"], its))
        wait_until(lambda b=busy, d=depth: (graph.one.busy, scheduler.depth) != (b, d), f"call {i}")
    return futures


def test_what_waits_together_runs_together_and_no_more_than_the_threads_at_a_time(pool, sessions):
    scheduler, session = Scheduler(2), sessions[0]
    graph = Graph(one=session, max_batch=4)
    futures = waiting(scheduler, pool, graph, [feeds(i) for i in range(10)])
    assert (scheduler.depth, session.calls) == (8, [1, 1])
    session.gate.set()
    assert [float(f.result(DEADLINE_S)[0][0, 0]) for f in futures] == [2.0 * i for i in range(10)]
    assert session.most == 2
    assert sum(session.calls) == 10
    assert 4 in session.calls, "half of the eight that waited"
    assert max(session.calls) == 4


def test_batches_hold_one_shape_and_leave_large_requests_alone(pool, sessions):
    scheduler, session = Scheduler(1), sessions[0]
    graph = Graph(one=session, max_batch=4)
    shapes = [feeds(0), feeds(1), feeds(2, width=3), feeds(3), feeds(4, 5, 6, 7, 8)]
    futures = waiting(scheduler, pool, graph, shapes)
    session.gate.set()
    for future, its in zip(futures, shapes, strict=True):
        np.testing.assert_array_equal(future.result(DEADLINE_S)[0], its["x"] * 2)
    assert session.calls == [1, 2, 1, 5]


def test_a_bad_item_fails_alone(pool, sessions):
    scheduler, session = Scheduler(1), sessions[0]
    futures = waiting(scheduler, pool, Graph(one=session, max_batch=8), [feeds(0), feeds(1), feeds(-1), feeds(3)])
    session.gate.set()
    assert [f.result(DEADLINE_S)[0][0, 0] for i, f in enumerate(futures) if i != 2] == [0, 2, 6]
    with pytest.raises(ValueError, match="negative"):
        futures[2].result(DEADLINE_S)
    assert session.calls == [1, 3, 1, 1, 1]


def test_who_is_alone_gets_all_threads_and_who_is_not_gets_one(pool, sessions):
    scheduler, (one, whole) = Scheduler(2), sessions
    graph = Graph(one=one, whole=whole)
    first = pool.submit(scheduler.run, graph, ["y"], feeds(1))
    wait_until(lambda: whole.busy, "the first")
    rest = [pool.submit(scheduler.run, graph, ["y"], feeds(i)) for i in (2, 3)]
    wait_until(lambda: scheduler.depth == 2, "the others")
    whole.gate.set()
    first.result(DEADLINE_S)
    wait_until(lambda: one.busy == 2, "the others to run, a thread each")
    one.gate.set()
    assert [float(f.result(DEADLINE_S)[0][0, 0]) for f in rest] == [4, 6]
    assert (whole.calls, one.calls) == ([1], [1, 1])


def test_models_share_the_threads(pool, sessions):
    scheduler = Scheduler(1)
    first = pool.submit(scheduler.run, Graph(one=sessions[0]), ["y"], feeds(1))
    wait_until(lambda: sessions[0].busy, "the first")
    second = pool.submit(scheduler.run, Graph(one=sessions[1]), ["y"], feeds(2))
    wait_until(lambda: scheduler.depth == 1, "the second to wait")
    assert not sessions[1].busy
    for session in sessions:
        session.gate.set()
    assert (first.result(DEADLINE_S)[0][0, 0], second.result(DEADLINE_S)[0][0, 0]) == (2, 4)


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_under_load_are_those_of_the_bundle(loaded, pool, family):
    bundle, items = loaded[family], make_items(family, 96)
    graph = Graph(one=bundle.session(threads=1, callers=2), whole=bundle.session(threads=2), max_batch=8)
    served = bundle.run_by(Scheduled(graph, Scheduler(2)))
    found = list(pool.map(lambda i: served.predict([items[i]])[0], range(96)))
    np.testing.assert_allclose(np.stack(found), np.stack([bundle.predict([i])[0] for i in items]), atol=1e-6)


@pytest.mark.parametrize("together", [True, False])
def test_a_plan_says_what_pays(loaded, together):
    bundle = loaded["cv"]
    one = bundle.session(threads=1)
    its = bundle.preprocess.encode(make_items("cv", 1))
    found = plan(lambda n: bundle.session(threads=n), one, its, threads=2, together=together)
    assert found.one is one
    assert found.max_batch in ((1, 2, 4, 8) if together else (1,))
    assert plan(lambda n: bundle.session(threads=n), one, its, threads=1).whole is None, "one thread is all there is"
