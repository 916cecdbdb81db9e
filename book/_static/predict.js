// Predict, then look. A bet is a percentage; it is locked before the fold can be opened.
// The bets of a chapter are shown together, by a button of their own: until then nothing
// on the page tells an outcome. Without this script a bet is a line to fill in and a fold.
{
  const BINS = 10;

  // Mean squared distance between bets, in per cent, and outcomes, 0 or 1.
  const brier = (bets, outcomes) =>
    bets.reduce((sum, bet, i) => sum + (bet / 100 - outcomes[i]) ** 2, 0) / bets.length;

  // A code names its page's claims by a number, so that codes of another page, or of an
  // older record, are refused.
  const nameOf = (items) =>
    [...items.map((item) => item.dataset.claim).join()]
      .reduce((hash, letter) => (hash * 31 + letter.charCodeAt()) % 46656, 7)
      .toString(36);
  const encode = (items, bets) =>
    [nameOf(items), ...items.map((item) => bets[item.dataset.claim] ?? "x")].join(".");
  const decode = (items, code) => {
    const [name, ...bets] = code.trim().split(".");
    const isBet = (bet) => bet === "x" || (/^\d{1,3}$/.test(bet) && Number(bet) <= 100);
    if (name !== nameOf(items) || bets.length !== items.length) return null;
    return bets.every(isBet) ? bets.map((bet) => (bet === "x" ? null : Number(bet))) : null;
  };

  const make = (tag, text = "", settings = {}) =>
    Object.assign(document.createElement(tag), { textContent: text }, settings);

  const store = {
    key: "tailwise-bets",
    // A browser may refuse, above all where a page is read from a disk.
    read() {
      try {
        return JSON.parse(localStorage.getItem(this.key)) ?? {};
      } catch {
        return {};
      }
    },
    write(bets) {
      try {
        localStorage.setItem(this.key, JSON.stringify(bets));
      } catch {}
    },
  };

  document.addEventListener("DOMContentLoaded", () => {
    const items = [...document.querySelectorAll(".predict")];
    if (!items.length) return;
    const bets = store.read();
    const outcome = (item) => Number(item.dataset.held);
    const groupOf = (item) => item.closest(".predict-chapter");
    const shownKey = (group) => `shown ${group.dataset.chapter}`;
    const isShown = (item) => !groupOf(item) || shownKey(groupOf(item)) in bets;
    let draw = () => {}; // the histogram of a class, where the page has one
    const score = document.querySelector(".predict-score") ?? make("div");
    score.className = "predict-score";
    if (!score.isConnected) items.at(-1).after(score);
    const line = make("p", "", { ariaLive: "polite" });
    const again = make("button", "Forget my bets", { type: "button" });
    const code = make("code");
    const sent = make("p", "Code for a teacher: ", { className: "predict-code" });
    sent.append(code);
    score.append(line, again);
    (groupOf(items.at(-1)) ?? items.at(-1)).after(sent);

    const show = () => {
      const locked = items.filter((item) => item.dataset.claim in bets);
      const done = locked.filter(isShown);
      const own = done.map((item) => bets[item.dataset.claim]);
      line.textContent = done.length
        ? `Your score: ${brier(own, done.map(outcome)).toFixed(3)} over ${done.length} of ` +
          `${items.length} bets; always 50 % would give 0.250.`
        : `${locked.length || "No"} of ${items.length} bets locked, none shown yet.`;
      again.hidden = !locked.length && items.every((item) => !groupOf(item) || !isShown(item));
      sent.hidden = !locked.length;
      code.textContent = encode(items, bets);
      draw();
    };

    const lock = (item) => {
      item.classList.add("locked");
      const fold = item.querySelector("details");
      fold.open = isShown(item);
      fold.hidden = !fold.open;
      for (const control of item.querySelectorAll(".predict-bet *")) control.disabled = true;
      if (!(item.dataset.claim in bets)) item.querySelector("label").textContent = "No bet.";
    };

    const offer = (item) => {
      const said = item.querySelector(".predict-claim").textContent.trim();
      const fold = item.querySelector("details");
      const range = make("input", "", { type: "range", min: 0, max: 100, step: 5 });
      const shown = make("output");
      const label = make("label", "I am ");
      const words = groupOf(item) ? "Lock" : "Lock and look";
      const button = make("button", words, { type: "button" });
      range.value = bets[item.dataset.claim] ?? 50;
      range.setAttribute("aria-label", `How sure, in per cent, that it holds: ${said}`);
      label.append(range, " ", shown, " % sure that it is reproduced.");
      const tell = () => (shown.value = range.value);
      range.addEventListener("input", tell);
      button.addEventListener("click", () => {
        bets[item.dataset.claim] = Number(range.value);
        store.write(bets);
        lock(item);
        show();
        const next = groupOf(item)?.querySelector(".predict-bet input:enabled, .predict-show");
        (next ?? fold.querySelector("summary")).focus();
      });
      tell();
      const paper = item.querySelector(".predict-line");
      item.querySelector(".predict-bet").replaceChildren(label, button, paper);
      item.classList.remove("locked");
      fold.open = false;
      fold.hidden = true;
      if (item.dataset.claim in bets || (groupOf(item) && isShown(item))) lock(item);
    };

    const groups = [...new Set(items.map(groupOf).filter(Boolean))];
    for (const group of groups) {
      const chapter = group.dataset.chapter;
      const open = make("button", `Show chapter ${chapter}`, { type: "button" });
      open.className = "predict-show";
      open.addEventListener("click", () => {
        bets[shownKey(group)] = 1;
        store.write(bets);
        items.filter((item) => groupOf(item) === group).forEach(lock);
        show();
        group.querySelector("summary").focus();
      });
      group.append(open);
    }
    again.addEventListener("click", () => {
      for (const item of items) delete bets[item.dataset.claim];
      for (const group of groups) delete bets[shownKey(group)];
      store.write(bets);
      items.forEach(offer);
      show();
    });
    items.forEach(offer);
    show();

    const room = document.querySelector(".predict-class");
    if (!room) return;
    const area = make("textarea", "", { rows: 4 });
    area.setAttribute("aria-label", "Codes of the class, one a line");
    const count = make("p", "", { ariaLive: "polite" });
    const charts = make("div");
    room.append(area, count, charts);
    const chart = (item, own) => {
      const bins = Array(BINS).fill(0);
      for (const bet of own) bins[Math.min(BINS - 1, Math.floor((bet * BINS) / 100))] += 1;
      const row = make("figure", "", { className: "predict-bets" });
      const mean = own.reduce((sum, bet) => sum + bet, 0) / own.length;
      const told = [`${own.length} bet${own.length > 1 ? "s" : ""}, mean ${mean.toFixed(0)} %`];
      if (isShown(item))
        told.push(
          `score ${brier(own, own.map(() => outcome(item))).toFixed(3)}`,
          `the record: ${item.dataset.verdict}`,
        );
      const bars = make("div", "", { className: "predict-bars", role: "img" });
      bars.setAttribute("aria-label", `bets in tenths of 100 %: ${bins.join(", ")}`);
      for (const bin of bins) {
        const bar = make("i");
        bar.style.height = `${(100 * bin) / Math.max(...bins)}%`;
        bars.append(bar);
      }
      const scale = make("div", "", { className: "predict-scale", ariaHidden: true });
      scale.append(make("span", "0"), make("span", "100 %"));
      const said = item.querySelector(".predict-claim").textContent.trim();
      row.append(make("figcaption", `${said} ${told.join(", ")}`), bars, scale);
      return row;
    };
    draw = () => {
      const lines = area.value.split("\n").filter((text) => text.trim());
      const codes = lines.map((text) => decode(items, text));
      const read = codes.filter(Boolean);
      const failed = lines.filter((_, i) => !codes[i]).map((text) => `“${text.trim()}”`);
      count.textContent =
        `${read.length} of ${lines.length} codes read.` +
        (failed.length
          ? ` Not of this page, or of another record: ${failed.join(", ")}.`
          : "");
      charts.replaceChildren(
        ...items.flatMap((item, i) => {
          const own = read.map((code) => code[i]).filter((bet) => bet !== null);
          return own.length ? [chart(item, own)] : [];
        }),
      );
    };
    area.addEventListener("input", draw);
  });
}
