"""`make bench-serving`: the server under load, against its own engine in-process and against other servers.

`cells.py` says what is asked, and the bars; `models.py` what answers; `peers.py` and `apps/` which other servers. `ours.py` is
all that knows how our server is started and asked. `wire.py` makes requests, `h2load.py` sends them, `ceiling.py` calls the
engine without a server; `rounds.py` goes through the cells; `statistics.py` and `report.py` say what came out.
"""
