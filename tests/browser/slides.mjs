// Leads through the slides by keyboard, in a headless Chromium without network.
//
//   node tests/browser/slides.mjs FILE
//
// Reads keys, ["ArrowRight", ...], as JSON and prints which slide is shown before them
// and after each, slides that do not fit the screen, and faults.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { audit, launch } from "./chromium.mjs";

const [file] = process.argv.slice(2);
const keys = JSON.parse(readFileSync(0, "utf8"));
const screen = { width: 1280, height: 720 };
const MODES = {
  light: { viewport: screen, colorScheme: "light" },
  dark: { viewport: screen, colorScheme: "dark" },
  phone: { viewport: { width: 390, height: 844 }, colorScheme: "light", isMobile: true },
  still: { viewport: screen, javaScriptEnabled: false },
};

// Run in the page.
const shown = () =>
  [...document.querySelectorAll("section")].flatMap((section, i) =>
    section.getClientRects().length ? [i + 1] : [],
  );
function misfit() {
  const section = document.querySelector("section.shown");
  const foot = document.querySelector("nav").getBoundingClientRect().top;
  const bottoms = [...section.children].map((e) => e.getBoundingClientRect().bottom);
  const fits =
    Math.max(...bottoms) <= foot &&
    section.scrollHeight <= innerHeight &&
    section.scrollWidth <= innerWidth;
  return fits ? null : section.querySelector("h1, h2").textContent;
}

const found = { shown: [], visible: {}, misfits: [], faults: [] };
const browser = await launch();
try {
  for (const [mode, settings] of Object.entries(MODES)) {
    const context = await browser.newContext({ offline: true, ...settings });
    const page = await context.newPage();
    page.on("pageerror", (error) => found.faults.push(`${mode}: ${error}`));
    page.on("request", (request) => {
      if (!/^(file|data):/.test(request.url())) found.faults.push(`${mode}: ${request.url()}`);
    });
    await page.goto(pathToFileURL(file).href, { waitUntil: "load" });
    found.visible[mode] = await page.evaluate(shown);
    if (mode === "still") continue;
    const count = await page.locator("section").count();
    const { scrollWidth, clientWidth } = await page.evaluate(() => document.documentElement);
    if (scrollWidth > clientWidth) found.faults.push(`${mode}: ${scrollWidth} px wide`);
    for (let i = 1; mode !== "phone" && i <= count; i++) {
      const title = await page.evaluate(misfit);
      if (title !== null) found.misfits.push(`${mode}: slide ${i}, ${title}`);
      await page.keyboard.press("ArrowRight");
    }
    if (mode === "light") {
      await page.keyboard.press("Home");
      found.shown.push(await page.evaluate(shown));
      for (const key of keys) {
        await page.keyboard.press(key);
        found.shown.push(await page.evaluate(shown));
      }
    }
    // All slides at once: an audit of each alone would take minutes.
    await page.addStyleTag({ content: "section { display: flex !important; height: auto !important; }" });
    for (const v of await audit(page)) found.faults.push(`${mode}: ${v.id}: ${v.nodes[0].html}`);
    await context.close();
  }
} finally {
  await browser.close();
}
console.log(JSON.stringify(found));
