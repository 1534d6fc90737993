"""Answers to many items at once: what to ask, the stream of answers, and the files they go to.

Does not belong here: scores against labels (evaluation), requests over the network (server).
"""
