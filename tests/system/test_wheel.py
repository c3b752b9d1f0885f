"""The built wheel works on its own: a fresh environment, a folder outside the checkout."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def _run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=300)
    assert 0 == done.returncode, done.stderr
    return done.stdout


@pytest.mark.timeout(400)
def test_wheel_runs_a_call_outside_the_checkout(tmp_path: Path) -> None:
    _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "dist", cwd=ROOT)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    python = tmp_path / "venv" / "bin" / "python"
    _run(BIN / "uv", "venv", "--quiet", "--python", sys.executable, tmp_path / "venv", cwd=tmp_path)
    lock = ROOT / "requirements.lock"
    _run(BIN / "uv", "pip", "sync", "--quiet", "--python", python, "--require-hashes", lock, cwd=tmp_path)
    _run(BIN / "uv", "pip", "install", "--quiet", "--python", python, "--no-deps", wheel, cwd=tmp_path)

    demo = "import pipeline.demo as d, pathlib; print(pathlib.Path(d.__file__).parent)"
    folder = Path(_run(python, "-c", demo, cwd=tmp_path).strip())
    assert not folder.is_relative_to(ROOT)
    tracks: list[str | Path] = ["--customer", folder / "customer.wav", "--agent", folder / "agent.wav"]
    scripted = ["--asr", f"scripted:{folder / 'reference.json'}", "--engine", "memory", "--speed", "0"]
    _run(python.with_name("trunkline"), "call", *tracks, *scripted, "--out", "result", cwd=tmp_path)

    turns = [json.loads(line) for line in (tmp_path / "result" / "turns.jsonl").read_text().splitlines()]
    assert any("[CREDITCARD]" in turn["text"] for turn in turns)
