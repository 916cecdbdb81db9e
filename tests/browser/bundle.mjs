// Reads the unpacked bundle from the disk, in a headless Chromium that may fetch nothing.
//
//   node tests/browser/bundle.mjs FOLDER
//
// Prints requests that leave the folder, errors, the pages that the start page leads to,
// what the search found, and how many formulas were set.

import { pathToFileURL } from "node:url";
import { launch } from "./chromium.mjs";

const base = `${pathToFileURL(process.argv[2]).href}/`;
const found = { outside: [], errors: [], titles: [], results: [], formulas: 0 };
const browser = await launch();
try {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  await context.route("**/*", (route) => {
    const url = route.request().url();
    if (url.startsWith(base) || /^(data|blob):/.test(url)) return route.continue();
    found.outside.push(url);
    return route.abort();
  });
  const page = await context.newPage();
  page.on("pageerror", (error) => found.errors.push(String(error)));
  const visit = async (path) => {
    await page.goto(base + path, { waitUntil: "load" });
    await page.evaluate(async () => globalThis.MathJax?.startup?.promise);
    found.titles.push(await page.title());
  };
  await visit("START_HERE.html");
  const links = await page.$$eval("a[href$='.html']", (all) => all.map((a) => a.getAttribute("href")));
  for (const link of links) await visit(link);
  await visit("site/book/chapters/1_loss_weighting.html");
  found.formulas = await page.locator("mjx-container").count();
  await visit("site/search.html?q=effective+dimension");
  await page.waitForSelector("#search-results .search-summary:not(:empty)");
  await page.waitForSelector("#search-results li a");
  found.results = await page.$$eval("#search-results li a", (all) => all.map((a) => a.href));
  await page.locator("#search-results li a").first().click();
  await page.waitForLoadState("load");
  found.titles.push(await page.title());
} finally {
  await browser.close();
}
console.log(JSON.stringify(found));
