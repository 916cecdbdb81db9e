// Drives the explorer of chapter 5 by keyboard, in a headless Chromium without network.
//
//   node tests/browser/explorer.mjs PAGE [DIR]      pictures go to DIR
//
// Reads steps, [["class of a control", "a key", times], ...], as JSON and prints what the
// page shows before them and after each, what it shows without scripts, and faults.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { audit, launch } from "./chromium.mjs";

const [file, folder] = process.argv.slice(2);
const steps = JSON.parse(readFileSync(0, "utf8"));
const MODES = {
  light: { viewport: { width: 1280, height: 1000 }, colorScheme: "light" },
  dark: { viewport: { width: 1280, height: 1000 }, colorScheme: "dark" },
  phone: { viewport: { width: 390, height: 844 }, colorScheme: "light", isMobile: true },
};

// Runs in the page.
function show(root) {
  const text = (name) => root.querySelector(`.${name}`)?.textContent;
  const cells = [...root.querySelectorAll("td")].map((td) => [td.dataset.is, td.textContent]);
  return {
    table: Object.fromEntries(cells),
    setting: text("setting"),
    note: text("note"),
    summary: text("summary"),
    drawn: root.querySelector("svg").getBoundingClientRect().height > 100,
    gammaIsUsed: !root.querySelector(".gamma").disabled,
    arrows: [...root.querySelectorAll("g")].map((g) => ({
      kind: g.getAttribute("class"),
      paths: [...g.querySelectorAll("path")].map((path) => path.getAttribute("d")),
    })),
  };
}

const found = { states: [], faults: [] };
const browser = await launch();

async function visit(settings) {
  const context = await browser.newContext({ offline: true, ...settings });
  const page = await context.newPage();
  page.on("pageerror", (error) => found.faults.push(String(error)));
  page.on("request", (request) => {
    if (!/^(file|data|blob):/.test(request.url())) found.faults.push(request.url());
  });
  await page.goto(pathToFileURL(file).href, { waitUntil: "load" });
  return { page, root: page.locator(".geometry-explorer").first() };
}

try {
  for (const [mode, settings] of Object.entries(MODES)) {
    const { page, root } = await visit(settings);
    if (mode === "light") {
      found.states.push(await root.evaluate(show));
      for (const [control, key, times] of steps) {
        await root.locator(`.${control}`).focus();
        for (let i = 0; i < times; i++) await page.keyboard.press(key);
        await page.waitForTimeout(400); // the summary waits for a slider to rest
        found.states.push(await root.evaluate(show));
      }
    }
    const { scrollWidth, clientWidth } = await page.evaluate(() => document.documentElement);
    if (scrollWidth > clientWidth) found.faults.push(`${mode}: ${scrollWidth} px wide`);
    for (const v of await audit(page, ".geometry-explorer")) found.faults.push(`${mode}: ${v.id}: ${v.nodes[0].html}`);
    if (folder) await root.screenshot({ path: `${folder}/explorer.${mode}.png` });
  }
  const { root } = await visit({ javaScriptEnabled: false });
  found.still = {
    table: await root.locator("td").allTextContents(),
    visible: await root.locator("table").isVisible(),
    controls: await root.locator("select").first().isVisible(),
  };
} finally {
  await browser.close();
}
console.log(JSON.stringify(found));
