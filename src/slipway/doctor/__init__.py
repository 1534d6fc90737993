"""From a thing to its first broken link: a walk is a table of links, a link one small function.

Belongs here: what is looked at, in which order, and what each finding means. Does not belong here: how a cluster or a store
is asked (deploy, store). It changes nothing, but for one object in the store, which it removes again.
"""
