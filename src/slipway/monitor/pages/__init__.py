"""The pages of the dashboards, a module each: which panels, which queries.

Does not belong here: Grafana's JSON.
"""
