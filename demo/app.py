"""The Space: the page of au_d3dface.demo, open to everyone. `au-d3dface demo` is the same page on your own computer."""

import os
import time

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read as torch is imported; see au_d3dface.cli

from au_d3dface.demo.server import serving

if __name__ == "__main__":
    with serving(host="0.0.0.0", port=7860, local=False):
        while True:
            time.sleep(60)
