"""Pictures of TensorBoard on a search, by a headless Chromium.

    python docs/tensorboard_screenshots.py \\
        --search runs/searches/default/semantic_segmentation

writes `docs/tensorboard-hparams.png` and `docs/tensorboard-fusion.png`. It
needs `chromium` (Debian: `apt-get install chromium`).
"""

import argparse
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

PAGES = {
    "tensorboard-hparams": "#hparams",
    "tensorboard-fusion": "?tagFilter=^fusion/|^gamma/|^panel#timeseries",
}
# Milliseconds of the page's own clock until it is all drawn.
DRAWN = 30_000
# Seconds until TensorBoard has read its logs.
READ = 120


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--search", required=True, help="folder of a search")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        parser.error("there is no chromium; install it first")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}/"
    server = subprocess.Popen(
        [sys.executable, "-m", "tensorboard.main", "--logdir"]
        + [arguments.search, "--host", "127.0.0.1", "--port", str(port)]
        + ["--reload_interval", "5"]
    )
    try:
        wait_for(address + "data/runs")
        for name, page in PAGES.items():
            shoot(browser, address + page, arguments.out / f"{name}.png")
    finally:
        server.terminate()
        server.wait()


def wait_for(address: str) -> None:
    """Until TensorBoard lists the same runs, at least one, twice."""
    end, before = time.monotonic() + READ, b"[]"
    while time.monotonic() < end:
        time.sleep(3)
        try:
            with urllib.request.urlopen(address) as answer:
                now = answer.read()
        except OSError:
            continue
        if now == before != b"[]":
            return
        before = now
    raise SystemExit(f"TensorBoard read no runs in {READ} seconds")


def shoot(browser: str, address: str, file: Path) -> None:
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            # Curves are drawn by WebGL, here in software.
            [browser, "--headless", "--no-sandbox", "--use-angle=swiftshader"]
            + ["--enable-unsafe-swiftshader"]
            + ["--no-first-run", "--disable-background-networking"]
            + ["--disable-component-update", "--disable-sync"]
            + [f"--user-data-dir={profile}", "--window-size=1700,1150"]
            + [f"--virtual-time-budget={DRAWN}", f"--screenshot={file}"]
            + [address],
            check=True,
            stderr=subprocess.DEVNULL,
        )


if __name__ == "__main__":
    main()
