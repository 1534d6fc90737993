"""Keeping a store and a home small and safe. Belongs here: what nothing needs any more (gc), backup and restore.

Does not belong here: how a store deletes, or how the registry forgets; they have their rooms.
"""
