// What every script of this folder needs: a browser that stays at home, and its audit.

import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export const launch = () =>
  chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });

// Violations of WCAG A and AA in the page, or in what a selector finds.
export async function audit(page, selector) {
  await page.addScriptTag({ path: AXE });
  const run = ([where, values]) =>
    axe.run(where ?? document, { runOnly: { type: "tag", values }, resultTypes: ["violations"] });
  return (await page.evaluate(run, [selector, WCAG])).violations;
}
