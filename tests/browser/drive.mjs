// Opens every page of the built book in headless Chromium.
//
//   node tests/browser/drive.mjs              prints what is wrong, as JSON
//   node tests/browser/drive.mjs --shots DIR  saves a picture of every page instead
//
// TAILWISE_HTML names the built site (default _build/html), CHROMIUM the browser.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { audit, launch } from "./chromium.mjs";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const HTML = process.env.TAILWISE_HTML ?? `${ROOT}_build/html`;
const QUERY = "effective dimension";

const desktop = { width: 1280, height: 800 };
const phone = { width: 390, height: 844 };
const MODES = {
  light: { viewport: desktop, colorScheme: "light" },
  dark: { viewport: desktop, colorScheme: "dark" },
  phone: { viewport: phone, colorScheme: "light", isMobile: true, hasTouch: true },
};

async function serve(folder) {
  const server = spawn(
    "python3",
    ["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", folder],
    { stdio: ["ignore", "pipe", "ignore"] },
  );
  const [line] = await once(server.stdout, "data");
  const port = String(line).match(/port (\d+)/)[1];
  return { origin: `http://127.0.0.1:${port}`, stop: () => server.kill() };
}

// Sphinx lists the documents that it built in its search index. Files that an
// earlier build left behind are not in it.
function builtPages() {
  const index = readFileSync(`${HTML}/searchindex.js`, "utf8");
  const names = JSON.parse(index.match(/"docnames":\s*(\[[^\]]*\])/)[1]);
  const pages = Object.fromEntries(names.map((name) => [name, `/${name}.html`]));
  return { ...pages, search: `/search.html?q=${encodeURIComponent(QUERY)}` };
}

async function open(page, url) {
  await page.goto(url, { waitUntil: "load" });
  if (url.includes("/search.html"))
    await page.waitForSelector("#search-results .search-summary:not(:empty)");
  await page.evaluate(async () => {
    await globalThis.MathJax?.startup?.promise;
    await document.fonts.ready;
  });
}

// Runs in the page. A reader may unfold everything, so everything is unfolded.
function inspect(width) {
  for (const fold of document.querySelectorAll("details")) fold.open = true;
  const show = (element) =>
    element.outerHTML.slice(0, 90) + " … " + element.textContent.trim().slice(0, 60);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const scrolls = (element) =>
    element && (getComputedStyle(element).overflowX !== "visible" || scrolls(element.parentElement));
  const tooWide = document.documentElement.scrollWidth > width;
  return {
    "wider than the window": !tooWide
      ? []
      : all("body *")
          .filter((e) => e.getBoundingClientRect().right > width + 1 && !scrolls(e.parentElement))
          .map(show)
          .concat(`page ${document.documentElement.scrollWidth} px, window ${width} px`),
    "code or formula cut off": all("pre, mjx-container[display]").filter((e) => e.scrollWidth > e.clientWidth + 1).map(show),
    "maths in error": all("mjx-merror, mjx-container [style*='color: red']").map(show),
    // Sphinx puts the file's path where the author gave no text.
    "image without alt text": all("img[alt$='.png'], img[alt$='.svg']").map(show),
  };
}

async function check(context, origin, name, path) {
  const page = await context.newPage();
  const errors = [];
  const outside = [];
  let bytes = 0;
  page.on("console", (m) => m.type() === "error" && errors.push(`${m.text()} ${m.location().url}`));
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("request", (request) => {
    if (!/^(data|blob):/.test(request.url()) && new URL(request.url()).origin !== origin)
      outside.push(request.url());
  });
  page.on("response", async (response) => {
    bytes += Number(response.headers()["content-length"] ?? 0);
  });
  await open(page, origin + path);
  const faults = await page.evaluate(inspect, page.viewportSize().width);
  const violations = await audit(page);
  const found =
    name === "search"
      ? await page.$$eval("#search-results li a", (links) => links.map((a) => a.pathname))
      : undefined;
  await page.close();
  // On a phone they scroll inside their box; axe checks that the box takes the focus.
  if (context.mode === "phone") delete faults["code or formula cut off"];
  return {
    bytes,
    found,
    faults: {
      "console error": errors,
      "request that leaves the book": outside,
      "accessibility": violations.flatMap((v) =>
        v.nodes.map((n) => `${v.id}: ${n.target.join(" ")}: ${n.failureSummary}`),
      ),
      ...faults,
    },
  };
}

async function shoot(context, origin, name, path, folder) {
  const page = await context.newPage();
  await open(page, origin + path);
  const file = `${folder}/${name.replaceAll("/", "-")}.${context.mode}.png`;
  await page.screenshot({ path: file, fullPage: true });
  await page.close();
}

const { values } = parseArgs({ options: { shots: { type: "string" } } });
if (values.shots) mkdirSync(values.shots, { recursive: true });
const server = await serve(HTML);
const browser = await launch();
try {
  const pages = Object.entries(builtPages());
  const results = {};
  await Promise.all(
    Object.entries(MODES).map(async ([mode, settings]) => {
      const context = await browser.newContext(settings);
      context.mode = mode;
      for (const [name, path] of pages) {
        if (values.shots) await shoot(context, server.origin, name, path, values.shots);
        else (results[name] ??= {})[mode] = await check(context, server.origin, name, path);
      }
    }),
  );
  if (!values.shots) console.log(JSON.stringify(results, null, 1));
} finally {
  await browser.close();
  server.stop();
}
