"""Takes demo.jpg: the page of `au-d3dface demo` after the sample clip, in a headless Chromium.

    python hub_cards/pictures/make_demo_picture.py

Needs playwright and an installed Chromium; nothing outside this machine is reached.
"""

import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from au_d3dface.demo.server import serving

WIDTH, HEIGHT = 1280, 1180
SMILE = 3.4  # seconds into the sample
FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


def main() -> None:
    with serving() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(address)
        page.click("#sample")
        page.wait_for_selector("[data-stage=done]", timeout=120_000)
        page.click('#player [data-video="overlay"]')
        page.click("#player .play")
        page.wait_for_timeout(1000)
        page.evaluate(
            "seconds => { const seek = document.querySelector('#player .seek'); seek.value = seconds;"
            "seek.dispatchEvent(new Event('input')); }",
            SMILE,
        )
        canvas = page.locator("#player canvas.face").bounding_box()
        x, y = canvas["x"] + canvas["width"] / 2, canvas["y"] + canvas["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x - 55, y + 10, steps=3)
        page.mouse.up()
        page.wait_for_timeout(1000)
        picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        browser.close()
    picture.save(Path(__file__).with_name("demo.jpg"), quality=82, optimize=True)


if __name__ == "__main__":
    main()
