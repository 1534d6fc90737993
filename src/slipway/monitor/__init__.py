"""Metric names in one place, and later what is made of them: objectives, rules, dashboards, drift.

Does not belong here: anything that needs a request or a web framework.
"""
