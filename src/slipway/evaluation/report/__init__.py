"""The report and the model card of a run: pages from scores, verdict and bundle. Nothing here computes what decides."""
