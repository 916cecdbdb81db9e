// Predict, then look. A bet is a percentage; it is locked before the fold can be opened.
// Without this script a bet is a line to fill in and a fold.
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
    const score = document.querySelector(".predict-score") ?? make("div");
    score.className = "predict-score";
    if (!score.isConnected) items.at(-1).after(score);
    const line = make("p", "", { ariaLive: "polite" });
    const again = make("button", "Forget my bets", { type: "button" });
    const code = make("code");
    const sent = make("p", "Code for a teacher: ");
    sent.append(code);
    score.append(line, again);
    items.at(-1).after(sent);

    const show = () => {
      const done = items.filter((item) => item.dataset.claim in bets);
      const own = done.map((item) => bets[item.dataset.claim]);
      line.textContent = done.length
        ? `Your score: ${brier(own, done.map(outcome)).toFixed(3)} over ${done.length} of ` +
          `${items.length} bets; always 50 % would give 0.250.`
        : `No bet yet, of ${items.length}.`;
      again.hidden = sent.hidden = !done.length;
      code.textContent = encode(items, bets);
    };

    const lock = (item) => {
      item.classList.add("locked");
      const fold = item.querySelector("details");
      fold.hidden = false;
      fold.open = true;
      for (const control of item.querySelectorAll(".predict-bet *")) control.disabled = true;
    };

    const offer = (item) => {
      const said = item.querySelector(".predict-claim").textContent.trim();
      const fold = item.querySelector("details");
      const range = make("input", "", { type: "range", min: 0, max: 100, step: 5 });
      const shown = make("output");
      const label = make("label", "I am ");
      const button = make("button", "Lock and look", { type: "button" });
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
        fold.querySelector("summary").focus();
      });
      tell();
      item.querySelector(".predict-bet").replaceChildren(label, button);
      item.classList.remove("locked");
      fold.open = false;
      fold.hidden = true;
      if (item.dataset.claim in bets) lock(item);
    };

    again.addEventListener("click", () => {
      for (const item of items) delete bets[item.dataset.claim];
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
    area.addEventListener("input", () => {
      const lines = area.value.split("\n").filter((text) => text.trim());
      const read = lines.map((text) => decode(items, text)).filter(Boolean);
      count.textContent = `${read.length} of ${lines.length} codes read.`;
      charts.replaceChildren(
        ...items.map((item, i) => {
          const own = read.map((code) => code[i]).filter((bet) => bet !== null);
          const bins = Array(BINS).fill(0);
          for (const bet of own) bins[Math.min(BINS - 1, Math.floor((bet * BINS) / 100))] += 1;
          const row = make("figure", "", { className: "predict-bets" });
          const mean = own.reduce((sum, bet) => sum + bet, 0) / own.length;
          const told = own.length
            ? `${own.length} bets, mean ${mean.toFixed(0)} %, score ` +
              brier(own, own.map(() => outcome(item))).toFixed(3)
            : "no bets";
          const bars = make("div", "", { className: "predict-bars", role: "img" });
          bars.setAttribute("aria-label", `bets in tenths of 100 %: ${bins.join(", ")}`);
          for (const bin of bins) {
            const bar = make("i");
            bar.style.height = `${(100 * bin) / Math.max(1, ...bins)}%`;
            bars.append(bar);
          }
          const said = item.querySelector(".predict-claim").textContent.trim();
          row.append(make("figcaption", `${said} ${told}`), bars);
          return row;
        }),
      );
    });
  });
}
