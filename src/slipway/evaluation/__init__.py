"""From a bundle to a verdict: scores from raw bytes, paired comparison with the champion, the gate.

Does not belong here: looking up the champion (steps does), training-time metrics, anything that needs torch.
"""
