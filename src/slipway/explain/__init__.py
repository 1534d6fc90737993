"""Why a bundle answers as it does: what of an item its answer rests on, found by taking parts away and asking again.

Needs a bundle and onnxruntime, no more. Does not belong here: how a page or a terminal shows it, and anything with torch.
"""
