"""A progress that remembers what it was told."""


class Told:
    def __init__(self):
        self.lines, self.steps = [], []

    def started(self, step):
        self.steps.append((step, "started"))

    def line(self, _step, text):
        self.lines.append(text)

    def finished(self, step, *, seconds, ok):
        assert seconds >= 0
        self.steps.append((step, "ok" if ok else "failed"))

    def close(self):
        pass
