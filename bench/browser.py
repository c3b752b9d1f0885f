"""A headless Chromium for tests and reports, driven through chromedriver's HTTP interface (w3.org/TR/webdriver2).

Owns the two processes, their profile folder and the few commands that the page tests need.
"""

import asyncio
import base64
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

CHROMIUM = shutil.which("chromium")
CHROMEDRIVER = shutil.which("chromedriver")
_ARGUMENTS = (
    "--headless=new --no-sandbox --disable-gpu --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --disable-dev-shm-usage --force-color-profile=srgb"
).split()
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # WebDriver, section 12.2: the key of an element's reference
_POLL_S = 0.05


class Browser:
    """One window."""

    def __init__(self, http: aiohttp.ClientSession, session: str) -> None:
        self._http = http
        self._session = session

    async def open(self, url: str) -> None:
        """Load a page and wait for its `load` event."""
        await self._command("url", url=url)

    async def run(self, script: str, *arguments: object) -> Any:  # noqa: ANN401 - whatever JSON the script returns
        """Run a function body in the page; `arguments` are its `arguments`, a returned promise is awaited."""
        return await self._command("execute/sync", script=script, args=arguments)

    async def until(self, script: str, *arguments: object, limit_s: float = 10.0) -> Any:  # noqa: ANN401 - as for `run`
        """Run a function body again and again until it returns something true.

        Raises:
            AssertionError: it has not by the limit; the text shows the page as it was then.
        """
        ends_at = asyncio.get_running_loop().time() + limit_s
        while not (answer := await self.run(script, *arguments)):
            if asyncio.get_running_loop().time() > ends_at:
                seen = await self.run("return document.body.innerText")
                raise AssertionError(f"never true: {script}\n{seen}")
            await asyncio.sleep(_POLL_S)
        return answer

    async def click(self, selector: str) -> None:
        """Click as a person does: in the middle of what is visible, and nothing may lie above it."""
        await self._on_element(selector, "click")

    async def press(self, selector: str, keys: str) -> None:
        """Type into an element."""
        await self._on_element(selector, "value", text=keys)

    async def show(self, width: int, height: int, *, is_dark: bool = False) -> None:
        """Set the size of the page and the colours that it should prefer."""
        await self._devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        colours = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        await self._devtools("Emulation.setEmulatedMedia", features=[colours])

    async def picture(self) -> bytes:
        """Return what is visible as PNG."""
        return base64.b64decode(await self._command("screenshot"))

    async def complaints(self) -> list[str]:
        """Return what the console holds of warnings and errors since the last call: refused resources too."""
        return [entry["message"] for entry in await self._command("se/log", type="browser")]

    async def _on_element(self, selector: str, command: str, **body: object) -> None:
        found = await self._command("element", using="css selector", value=selector)
        await self._command(f"element/{found[_ELEMENT]}/{command}", **body)

    async def _devtools(self, command: str, **parameters: object) -> None:
        await self._command("goog/cdp/execute", cmd=command, params=parameters)

    async def _command(self, name: str, **body: object) -> Any:  # noqa: ANN401 - JSON of many shapes
        method, json_body = ("GET", None) if name == "screenshot" else ("POST", body)
        path = f"/session/{self._session}/{name}"
        async with self._http.request(method, path, json=json_body) as reply:
            answer = await reply.json()
        if reply.status != 200:
            raise AssertionError(f"{name}: {answer['value']['error']}: {answer['value']['message']}")
        return answer["value"]


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """Start a window, and end everything that was started for it."""
    if CHROMIUM is None or CHROMEDRIVER is None:
        raise RuntimeError("chromium and chromedriver are not on the PATH")
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        driver = await asyncio.create_subprocess_exec(
            CHROMEDRIVER, "--port=0", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            async with aiohttp.ClientSession(f"http://127.0.0.1:{await _port(driver)}") as http:
                session = await _session(http, profile)
                try:
                    yield Browser(http, session)
                finally:
                    await http.delete(f"/session/{session}")
        finally:
            driver.terminate()
            await driver.wait()


async def _port(driver: asyncio.subprocess.Process) -> int:
    """Read the port from the line `ChromeDriver was started successfully on port 12345.`."""
    assert driver.stdout is not None
    async for line in driver.stdout:
        if b"started successfully on port" in line:
            return int(line.split()[-1].rstrip(b"."))
    raise RuntimeError("chromedriver ended before it listened")


async def _session(http: aiohttp.ClientSession, profile: str) -> str:
    options = {"binary": CHROMIUM, "args": [*_ARGUMENTS, f"--user-data-dir={profile}"]}
    wanted = {
        "browserName": "chrome",
        "goog:chromeOptions": options,
        "goog:loggingPrefs": {"browser": "WARNING"},
    }
    async with http.post("/session", json={"capabilities": {"alwaysMatch": wanted}}) as reply:
        answer = json.loads(await reply.text())
    if reply.status != 200:
        raise RuntimeError(f"no browser: {answer['value']['message']}")
    return str(answer["value"]["sessionId"])
