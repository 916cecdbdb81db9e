// Works the scoreboard's menus by keyboard, in a headless Chromium without network.
//
//   node tests/browser/board.mjs PAGE
//
// Prints which claims are shown at first, after each step, for an address that asks for
// some, without scripts, and how wide the page is on paper.

import { pathToFileURL } from "node:url";
import { launch } from "./chromium.mjs";

const url = pathToFileURL(process.argv[2]).href;
const STEPS = [
  ["chapter", "ArrowDown"],
  ["verdict", "ArrowDown"],
  ["origin", "ArrowDown"],
  ["chapter", "Home"],
];
const A4 = { width: 680, height: 962 }; // pixels between margins of 15 mm
const browser = await launch();

async function visit(address, settings = {}) {
  const context = await browser.newContext({ offline: true, ...settings });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  await page.goto(address, { waitUntil: "load" });
  return page;
}

// Only locators: these work without scripts too.
async function show(page) {
  const bodies = await page.locator(".board tbody").all();
  const ids = [];
  for (const body of bodies)
    if (await body.isVisible()) ids.push(await body.getAttribute("id"));
  const menus = page.locator(".board-filter select");
  const chosen = await menus.evaluateAll((all) => all.map((menu) => menu.value));
  return {
    ids,
    chosen,
    count: await page.locator(".board-filter output").textContent(),
    titles: await page.locator(".scoreboard h2:visible").count(),
    menus: await page.locator(".board-filter").isVisible(),
  };
}

try {
  const found = { states: [] };
  const page = await visit(url);
  found.states.push(await show(page));
  for (const [menu, key] of STEPS) {
    await page.locator(`select[name=${menu}]`).focus();
    await page.keyboard.press(key);
    found.states.push(await show(page));
  }
  found.live = await page.locator(".board-filter output").getAttribute("aria-live");
  found.asked = await show(await visit(`${url}?verdict=not+reproduced&other=x`));
  const still = await visit(url, { javaScriptEnabled: false });
  found.still = {
    claims: await still.locator(".board tbody:visible").count(),
    menus: await still.locator(".board-filter").isVisible(),
  };
  const paper = await visit(url, { viewport: A4 });
  await paper.emulateMedia({ media: "print" });
  found.paper = {
    ...(await show(paper)),
    width: await paper.evaluate(() => document.documentElement.scrollWidth),
  };
  console.log(JSON.stringify(found));
} finally {
  await browser.close();
}
