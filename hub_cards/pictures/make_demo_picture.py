"""Takes demo.jpg, the page of `au-d3dface demo` after the sample clip, in a headless Chromium; and the page's own
preview.jpg, its video and face alone, which stands where there is no result yet.

    python hub_cards/pictures/make_demo_picture.py

Needs playwright and an installed Chromium; nothing outside this machine is reached.
"""

import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from au_d3dface import demo
from au_d3dface.demo.server import serving

WIDTH, HEIGHT = 1280, 1180
SMILE = 3.4  # seconds into the sample
PREVIEW = 400  # pixels a side of each half
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
        screens = [
            Image.open(io.BytesIO(one.screenshot())).convert("RGB") for one in page.locator(".aud3 .screen").all()
        ]
        browser.close()
    picture.save(Path(__file__).with_name("demo.jpg"), quality=82, optimize=True)
    preview = Image.new("RGB", (2 * PREVIEW, PREVIEW))
    for number, screen in enumerate(screens):
        screen = screen.crop((8, 8, screen.width - 8, screen.height - 8))  # without its round corners
        preview.paste(screen.resize((PREVIEW, PREVIEW), Image.Resampling.LANCZOS), (number * PREVIEW, 0))
    preview.save(Path(demo.__file__).with_name("preview.jpg"), quality=75, optimize=True)


if __name__ == "__main__":
    main()
