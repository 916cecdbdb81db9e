"""What the tests of pages share: how readers look at a page, and what is wrong there.

python tests/browser/looks.py FOLDER [PAGE …]

saves a picture of every page, or of those whose names hold a PAGE, in every mode.
"""

import gzip
import os
import re
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NAMES = ("chromium", "chromium-browser", "google-chrome")
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
MODES = {
    "light": {"viewport": DESKTOP, "color_scheme": "light"},
    "dark": {"viewport": DESKTOP, "color_scheme": "dark"},
    "phone": {
        "viewport": PHONE,
        "color_scheme": "light",
        "is_mobile": True,
        "has_touch": True,
    },
}
QUERY = "effective dimension"
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
AXE = {
    "runOnly": {"type": "tag", "values": WCAG},
    "resultTypes": ["violations"],
    "preload": False,  # it would ask for style sheets at the wrong address
}
# A reader may unfold everything, so everything is unfolded, and has stopped moving.
INSPECT = """async (width) => {
  for (const fold of document.querySelectorAll("details")) fold.open = true;
  await new Promise(requestAnimationFrame);
  for (const animation of document.getAnimations()) animation.finish();
  const show = (e) =>
    e.outerHTML.slice(0, 90) + " … " + e.textContent.trim().slice(0, 60);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const scrolls = (e) =>
    e && (getComputedStyle(e).overflowX !== "visible" || scrolls(e.parentElement));
  const right = (e) => e.getBoundingClientRect().right;
  const wide = document.documentElement.scrollWidth;
  return {
    "wider than the window": wide <= width ? [] : all("body *")
      .filter((e) => right(e) > width + 1 && !scrolls(e.parentElement))
      .map(show)
      .concat(`page ${wide} px, window ${width} px`),
    "code or formula cut off": all("pre, .math")
      .filter((e) => e.scrollWidth > e.clientWidth + 1)
      .map(show),
    "formula not drawn": all(".math:not(:has(> math)), merror").map(show),
    // Sphinx puts the file's path where the author gave no text.
    "image without alt text": all("img[alt$='.png'], img[alt$='.svg']").map(show),
  };
}"""
# Contrast is most of axe's time, so of elements that look alike before the same colours
# it is asked of three only: one may lie outside of its box, where axe cannot tell.
ALIKE = 3
REPRESENT = """(most) => {
  const numbers = new Map(), behind = new Map([[null, 0]]), count = new Map();
  const number = (key) => {
    if (!numbers.has(key)) numbers.set(key, numbers.size + 1);
    return numbers.get(key);
  };
  const stack = (e) => {
    if (!behind.has(e)) {
      const s = getComputedStyle(e);
      const own = [s.backgroundColor, s.backgroundImage, s.opacity, s.filter,
        s.mixBlendMode, s.position, s.zIndex, s.visibility, s.display, e.inert];
      behind.set(e, number([stack(e.parentElement), ...own].join(" ")));
    }
    return behind.get(e);
  };
  for (const e of document.querySelectorAll("body, body *")) {
    const text = [...e.childNodes].filter((n) => n.nodeType === Node.TEXT_NODE)
      .map((n) => n.data.trim()).join("");
    const control = e.matches("input, select, textarea, button");
    if ((!text && !control) || !e.checkVisibility()) continue;
    const s = getComputedStyle(e);
    const key = [stack(e), s.color, s.fontSize, s.fontWeight, s.textShadow,
      s.webkitTextStroke, text.length > 1, control && e.outerHTML].join(" ");
    count.set(key, (count.get(key) ?? 0) + 1);
    e.toggleAttribute("data-represents", count.get(key) <= most);
  }
  const selector = "[data-represents]";
  axe.configure({ rules: [{ id: "color-contrast", selector }] });
}"""
READY = "async () => { await document.fonts.ready; }"
TEXT = ("text/", "application/javascript", "application/json", "image/svg+xml")


def launch_args() -> dict:
    """How to start the browser that $CHROMIUM names, or else one on the path."""
    on_path = filter(None, map(shutil.which, NAMES))
    path = os.environ.get("CHROMIUM") or next(on_path, "")
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"no browser: CHROMIUM is {path or 'not set'}, and none of "
            f"{', '.join(NAMES)} is on the path"
        )
    return {"executable_path": path, "args": FLAGS}


def violations(page, selector: str | None = None) -> list[str]:
    """Violations of WCAG A and AA in the page, or in what a selector finds."""
    from axe_playwright_python.sync_playwright import Axe

    page.evaluate(Axe().axe_script)
    page.evaluate(REPRESENT, ALIKE)
    run = "([where, options]) => axe.run(where ?? document, options)"
    found = page.evaluate(run, [selector, AXE])["violations"]
    return [
        f"{rule['id']}: {' '.join(map(str, node['target']))}: {node['failureSummary']}"
        for rule in found
        for node in rule["nodes"]
    ]


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address at which a folder is served; every visit is a first one."""

    class Silent(SimpleHTTPRequestHandler):
        def end_headers(self) -> None:
            self.send_header("Cache-Control", "no-store")
            super().end_headers()

        def log_message(self, *args) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def built_pages(html: Path) -> dict[str, str]:
    """Addresses of the documents that Sphinx lists in its search index, and of it."""
    index = (html / "searchindex.js").read_text("utf-8")
    names = re.findall(r'"([^"]+)"', re.search(r'"docnames":\s*\[(.*?)\]', index)[1])
    pages = {name: f"/{name}.html" for name in names}
    return pages | {"search": f"/search.html?q={quote(QUERY)}"}


def open_page(page, url: str) -> None:
    page.goto(url, wait_until="load")
    if "/search.html" in url:
        page.wait_for_selector("#search-results .search-summary:not(:empty)")
    page.evaluate(READY)


def weigh(responses) -> dict[str, int]:
    """Bytes of what a page has loaded: as they are, and as a host sends them."""
    bodies = [(r.headers.get("content-type", ""), r.body()) for r in responses if r.ok]
    sent = (gzip.compress(b) if t.startswith(TEXT) else b for t, b in bodies)
    return {"raw": sum(len(b) for _, b in bodies), "sent": sum(map(len, sent))}


def look(context, origin: str, path: str, mode: str) -> dict:
    """Open a page: its faults by kind, what it weighs, and what a search found."""
    page, errors, outside, loaded = context.new_page(), [], [], []
    page.on(
        "console",
        lambda m: m.type == "error" and errors.append(f"{m.text} {m.location}"),
    )
    page.on("pageerror", lambda error: errors.append(str(error)))
    local = (origin, "data:", "blob:")
    page.on("request", lambda r: r.url.startswith(local) or outside.append(r.url))
    page.on("response", lambda response: loaded.append(response))
    open_page(page, origin + path)
    faults = page.evaluate(INSPECT, page.viewport_size["width"])
    if mode == "phone":  # there they scroll inside their box, which takes the focus
        del faults["code or formula cut off"]
    faults |= {
        "console error": errors,
        "request that leaves the book": outside,
        "accessibility": violations(page),
    }
    links = page.locator("#search-results li a")
    found = links.evaluate_all("all => all.map((a) => a.pathname)")
    weight = weigh([response for response in loaded if response.url[:4] == "http"])
    page.close()
    lines = [f"{kind}: {one}" for kind, some in faults.items() for one in some]
    return {"faults": lines, "found": found} | weight


def main() -> None:
    from playwright.sync_api import sync_playwright

    folder, asked = Path(sys.argv[1]), sys.argv[2:]
    folder.mkdir(parents=True, exist_ok=True)
    html = Path(os.environ.get("TAILWISE_HTML", "_build/html"))
    with sync_playwright() as play, served(html) as origin:
        browser = play.chromium.launch(**launch_args())
        for mode, settings in MODES.items():
            page = browser.new_context(**settings).new_page()
            for name, path in built_pages(html).items():
                if asked and not any(part in name for part in asked):
                    continue
                open_page(page, origin + path)
                file = folder / f"{name.replace('/', '-')}.{mode}.png"
                page.screenshot(path=file, full_page=True)


if __name__ == "__main__":
    main()
