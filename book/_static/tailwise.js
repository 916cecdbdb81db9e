// Corrects markup of the theme and its extensions that screen readers trip over.
document.addEventListener("DOMContentLoaded", () => {
  // These have a visible text, and a label that says something else.
  for (const element of document.querySelectorAll(
    ".search-button-field, summary[aria-label='Toggle hidden content']",
  ))
    element.removeAttribute("aria-label");

  // A role that ARIA has withdrawn, inside a list.
  for (const entry of document.querySelectorAll("[role='doc-biblioentry']"))
    entry.setAttribute("role", "listitem");

  // A box that scrolls sideways must be reachable by keyboard.
  for (const box of document.querySelectorAll(
    ".cell_output .text_html, .pst-scrollable-table-container, .math",
  ))
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
});

// The scoreboard's menus. Without this script every claim is shown, and no menu.
document.addEventListener("DOMContentLoaded", () => {
  const form = document.querySelector(".board-filter");
  if (!form) return;
  const claims = [...document.querySelectorAll(".board tbody")];
  const chapter = (claim) => claim.closest("section").dataset.chapter;
  const show = () => {
    const { chapter: key, verdict, origin } = Object.fromEntries(new FormData(form));
    for (const claim of claims)
      claim.hidden = Boolean(
        (key && chapter(claim) !== key) ||
          (verdict && !claim.dataset.verdict.split("|").includes(verdict)) ||
          (origin && claim.dataset.origin !== origin),
      );
    for (const section of document.querySelectorAll(".scoreboard section"))
      section.hidden = !section.querySelector("tbody:not([hidden])");
    const shown = claims.filter((claim) => !claim.hidden).length;
    form.querySelector("output").textContent = `${shown} of ${claims.length} claims`;
  };
  for (const [name, value] of new URLSearchParams(location.search))
    if (form.elements[name]) form.elements[name].value = value;
  form.addEventListener("input", show);
  form.hidden = false;
  show();
});

// Paper is white, whatever the screen was.
const page = document.documentElement.dataset;
let theme;
addEventListener("beforeprint", () => {
  theme = page.theme;
  page.theme = "light";
});
addEventListener("afterprint", () => {
  page.theme = theme;
});

// Read from a disk, a page cannot fetch others: the search does without excerpts.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

// A figure opens larger: its labels are too small for a phone. A key or a tap closes it.
document.addEventListener("DOMContentLoaded", () => {
  const figures = document.querySelectorAll(
    ".bd-article .cell_output img, img.handout-picture",
  );
  if (!figures.length) return;
  const dialog = document.createElement("dialog");
  dialog.className = "enlarged";
  dialog.setAttribute("aria-label", "Enlarged figure");
  dialog.innerHTML =
    '<form method="dialog"><button>Close</button></form><div tabindex="0"></div>';
  document.body.append(dialog);
  const box = dialog.querySelector("div");
  box.addEventListener("click", () => dialog.close());
  for (const figure of figures) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "enlarge";
    button.title = "Enlarge";
    figure.replaceWith(button);
    button.append(figure);
    button.addEventListener("click", () => {
      box.replaceChildren(figure.cloneNode());
      dialog.showModal();
    });
  }
});
