"""A headless Chromium, driven by the DevTools protocol over a pipe: no port, no library."""

import contextlib
import json
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

DEADLINE_S = 30
KEYS = {"Tab": (9, ""), "Enter": (13, "\r"), " ": (32, " "), "ArrowRight": (39, ""), "ArrowDown": (40, "")}
"""Key names with their code and the text that they type."""
CTRL, SHIFT = 2, 8
"""Bits of `modifiers`."""


class Page:
    """One tab; what it sends, prints and throws is kept."""

    def __init__(self, browser: subprocess.Popen[bytes]) -> None:
        self._browser, self._next = browser, 0
        self._session = ""
        self.requested: list[str] = []
        """URLs, in order."""
        self.complaints: list[str] = []
        """Errors and warnings of the console, exceptions and violations of the content security policy."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params) -> dict:
        """The result of a command; events that come before it are noted."""
        self._next += 1
        message = {"id": self._next, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._browser.stdin.write(json.dumps(message).encode() + b"\0")
        self._browser.stdin.flush()
        while True:
            told = self._read()
            if told.get("id") == self._next:
                assert "error" not in told, f"{method}: {told['error']}"
                return told["result"]

    def open(self, url: str) -> None:
        """Go to a page and wait until it stands."""
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def value(self, expression: str):
        """What an expression gives, as JSON would have it; a promise is waited for."""
        told = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True, userGesture=True)
        assert "exceptionDetails" not in told, f"{expression}: {told['exceptionDetails']}"
        return told["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait until an expression holds, with a deadline."""
        end = time.monotonic() + DEADLINE_S
        while not self.value(f"Boolean({expression})"):
            if time.monotonic() > end:
                shown = self.value("document.body.innerText")
                raise AssertionError(f"waited {DEADLINE_S} s for {expression}; the page says: {shown}")
            time.sleep(0.01)

    def press(self, key: str, modifiers: int = 0) -> None:
        """A key of KEYS, down and up."""
        code, text = KEYS[key]
        named = {"key": key, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        self.call("Input.dispatchKeyEvent", type="keyDown", text="" if modifiers & CTRL else text, **named)
        self.call("Input.dispatchKeyEvent", type="keyUp", **named)

    def type(self, text: str) -> None:
        """Into what has the focus."""
        self.call("Input.insertText", text=text)

    def set_files(self, selector: str, paths: Sequence[Path]) -> None:
        """Choose files in a file input, as its dialogue would."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])

    def look(self, *, width_px: int = 1200, height_px: int = 900, scheme: str = "light", phone: bool = False) -> None:
        """The window's size, and whether its person prefers light or dark."""
        self.call("Emulation.setDeviceMetricsOverride", width=width_px, height=height_px, deviceScaleFactor=1, mobile=phone)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def _read(self) -> dict:
        message = bytearray()
        while (byte := self._browser.stdout.read(1)) != b"\0":
            assert byte, "the browser has ended"
            message += byte
        told = json.loads(message)
        params = told.get("params", {})
        match told.get("method"):
            case "Network.requestWillBeSent":
                self.requested.append(params["request"]["url"])
            case "Log.entryAdded" if params["entry"]["level"] in ("error", "warning"):
                self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning"):
                self.complaints.append(str(params["args"]))
            case "Runtime.exceptionThrown":
                self.complaints.append(str(params["exceptionDetails"]))
        return told


@contextlib.contextmanager
def chromium(profile: Path) -> Iterator[Page]:
    """A tab of a fresh Chromium, whose profile is a new folder; the test is skipped where there is none."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium here")
    command = [
        program,
        "--headless=new",
        "--no-sandbox",  # tests may run as root
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--no-first-run",
        "--hide-scrollbars",
        f"--user-data-dir={profile}",
        "--remote-debugging-pipe",  # commands on file 3, answers on file 4
    ]
    shell = ["sh", "-c", 'exec "$@" 3<&0 4>&1 </dev/null >/dev/null', "sh", *command]
    with subprocess.Popen(shell, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as browser:
        try:
            yield Page(browser)
        finally:
            browser.stdin.close()  # which ends it
            try:
                browser.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                browser.kill()
