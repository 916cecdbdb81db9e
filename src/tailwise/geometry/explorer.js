// geometry.step_blocks for R >= 1 and at least two classes of either kind.
function stepBlocks(kMajor, kMinor, R, gamma, kind) {
  const size = [kMajor, kMinor];
  const delta = [1, R ** -gamma];
  const m = [R, delta[1] ** -2];
  const v2 = kind === "ldt" ? [1, 1] : delta.map((d) => d ** -2);
  const total = kMajor * v2[0] + kMinor * v2[1];
  const share = size.map((k, i) => (k * v2[i]) / total);
  const s = m[0] * share[1] + m[1] * share[0];
  const u = [share[1] / kMajor, share[0] / kMinor];
  const uBetween = -Math.sqrt((share[0] / kMajor) * (share[1] / kMinor));
  const summary = (power, scale) => {
    const mixed = s ** power;
    const own = m.map((x) => x ** power);
    const norm2 = own.map((x, i) => (x * (1 - 1 / size[i]) + mixed * u[i]) * scale[i] ** 2);
    const cos = own.map((x, i) => ((mixed * u[i] - x / size[i]) * scale[i] ** 2) / norm2[i]);
    const between = (mixed * uBetween * scale[0] * scale[1]) / Math.sqrt(norm2[0] * norm2[1]);
    return { ratio: norm2[0] / norm2[1], major: cos[0], between, minor: cos[1] };
  };
  return { W: summary(0.5, [1, 1]), H: summary(-0.5, delta.map((d) => 1 / d)) };
}

// Eigenvalues and vectors of a symmetric matrix, by Jacobi's rotations.
function eigen(matrix) {
  const a = matrix.map((row) => [...row]);
  const k = a.length;
  const V = a.map((_, i) => a.map((_, j) => Number(i === j)));
  const size = Math.max(...a.flat().map(Math.abs));
  for (let round = 0; round < 50; round++) {
    for (let p = 0; p < k; p++) {
      for (let q = p + 1; q < k; q++) {
        if (Math.abs(a[p][q]) < 1e-16 * size) continue;
        const w = (a[q][q] - a[p][p]) / (2 * a[p][q]);
        const t = (w < 0 ? -1 : 1) / (Math.abs(w) + Math.hypot(w, 1));
        const c = 1 / Math.hypot(t, 1);
        const turn = (x, y) => [c * (x - t * y), c * (t * x + y)];
        for (const row of a) [row[p], row[q]] = turn(row[p], row[q]);
        for (let j = 0; j < k; j++) [a[p][j], a[q][j]] = turn(a[p][j], a[q][j]);
        for (const row of V) [row[p], row[q]] = turn(row[p], row[q]);
      }
    }
  }
  return [a.map((row, i) => Math.max(0, row[i])), V];
}

// The first of geometry.predicted_grams, for any counts.
function classifiers(counts, gamma, kind) {
  const delta = counts.map((n) => (n / Math.max(...counts)) ** gamma);
  const v = delta.map((d) => (kind === "ldt" ? 1 : 1 / d));
  const norm = v.reduce((sum, x) => sum + x * x, 0);
  const P = v.map((x, i) => v.map((y, j) => Number(i === j) - (x * y) / norm));
  const sum = (f) => counts.reduce((total, _, l) => total + f(l), 0);
  const A = P.map((row, i) => P.map((_, j) => sum((l) => (row[l] * P[l][j] * counts[l]) / delta[l] ** 2)));
  const [e, V] = eigen(A);
  return V.map((a) => V.map((b) => sum((l) => Math.sqrt(e[l]) * a[l] * b[l])));
}

function ownCounts(text, gamma, kind) {
  const counts = text.split(/[^0-9.]+/).filter(Boolean).map(Number);
  if (counts.length < 2 || counts.length > 40 || !counts.every((n) => n > 0 && n < 1e12))
    return "Give two to forty counts above zero, with commas between them.";
  const W = classifiers(counts, gamma, kind);
  const length = W.map((row, i) => Math.sqrt(row[i]));
  const longest = Math.max(...length);
  let [most, pair] = [-2, []];
  for (let i = 0; i < counts.length; i++)
    for (let j = 0; j < i; j++) {
      const cos = W[i][j] / (length[i] * length[j]);
      if (cos > most) [most, pair] = [cos, [j, i]];
    }
  return `Your counts: classifiers have lengths ${length.map((x) => short(x / longest)).join(", ")} ` +
    `of the longest; the closest two are ${pair.map((i) => i + 1).join(" and ")}, with the cosine ` +
    `${minus(most.toFixed(3))}, where balanced classes have ${minus((-1 / (counts.length - 1)).toFixed(3))}.`;
}

const minus = (text) => text.replace("-", "−");
const short = (x) => minus(String(Number(x.toPrecision(3))));
const degrees = (cos) => Math.round((Math.acos(Math.min(1, Math.max(-1, cos))) * 180) / Math.PI);
const PAIRS = { major: ["two majority", 0, 0], between: ["one of each", 0, 1], minor: ["two minority", 1, 1] };
const RADIUS = 52;

// Two vectors in their plane, mirrored about the vertical: [class kind, length, side].
function fan(x, y, cos, etf, arms) {
  const tip = (c, length, side) => {
    const half = Math.acos(Math.min(1, Math.max(-1, c))) / 2;
    return [x + side * length * Math.sin(half), y - length * Math.cos(half)];
  };
  const ghosts = [-1, 1].map((side) => {
    const [a, b] = tip(etf, RADIUS, side);
    return `<path class="etf" d="M${x} ${y}L${a} ${b}"/>`;
  });
  const arrows = arms.map(([kind, length, side]) => {
    const [a, b] = tip(cos, length, side);
    const [p, q] = [(a - x) / (length || 1), (b - y) / (length || 1)];
    const h = Math.min(7, length / 2);
    const [c, d] = [a - h * p, b - h * q];
    const w = h / 2;
    return `<g class="${kind ? "minor" : "major"}"><path d="M${x} ${y}L${c} ${d}"/>` +
      `<path class="head" d="M${a} ${b}L${c - w * q} ${d + w * p}L${c + w * q} ${d - w * p}Z"/></g>`;
  });
  return ghosts.concat(arrows).join("");
}

function drawing(blocks, etf) {
  const rows = Object.entries({ W: "Classifiers W", H: "Embeddings H" });
  return rows.map(([name, title], row) => {
    const b = blocks[name];
    const y = 74 + 104 * row;
    const longest = Math.max(1, b.ratio);
    const length = [Math.sqrt(b.ratio / longest), 1 / Math.sqrt(longest)].map((x) => x * RADIUS);
    const panels = Object.entries(PAIRS).map(([pair, [label, i, j]], column) => {
      const x = 60 + 120 * column;
      return fan(x, y, b[pair], etf, [[i, length[i], -1], [j, length[j], 1]]) +
        `<text x="${x}" y="${y + 17}">${label}: ${degrees(b[pair])}°</text>`;
    });
    return `<text class="row" x="2" y="${y - 60}">${title}</text>${panels.join("")}`;
  }).join("");
}

function note(loss, R, gamma) {
  if (loss === "ldt")
    return `LDT has the classifiers of CE at the ratio R^(1 − 2γ) = ${short(R ** (1 - 2 * gamma))}; ` +
      "one γ makes them the ETF, whatever R is.";
  if (loss === "cdt" || loss === "vs")
    return "CDT and VS with the same γ have the same limit: what VS adds to the logits does not move it.";
  return "CE, weighted CE and additive LA have the same limit: weights and constants added to the logits " +
    "do not move it. They have no γ.";
}

// Marks of Figure 3: by loss and exponent, of the free model, an MLP and a ResNet.
function printedMarks(marks, loss, R, gamma, kMajor, kMinor) {
  const of = { ce: "LDT", wce: "none", la: "none", ldt: "LDT", cdt: "CDT", vs: "none" }[loss];
  const found = R === 10 && kMajor === 5 && kMinor === 5 && marks[of]?.[gamma];
  if (!found) return "The paper's Figure 3 has R = 10, 5 and 5 classes, LDT and CDT; we have read it at γ = −1, −0.5, 0, 0.5, 1 and 1.5.";
  const [free, mlp, resnet] = found.map(short);
  return `Printed there, squared length of classifiers, M / m: ${free} free model, ${mlp} MLP, ${resnet} ResNet.`;
}

function start(root) {
  const find = (name) => root.querySelector(`.${name}`);
  const [classes, loss, ratio, gamma, own] = ["classes", "loss", "ratio", "gamma", "own"].map(find);
  let later;
  const update = () => {
    const [kMajor, kMinor] = classes.value.split("+").map(Number);
    const R = Number((10 ** (ratio.value / 20)).toPrecision(2));
    const tempered = ["ldt", "cdt", "vs"].includes(loss.value);
    const g = tempered ? Number(gamma.value) : 0;
    const blocks = stepBlocks(kMajor, kMinor, R, g, loss.value === "ldt" || !tempered ? "ldt" : "cdt");
    const etf = -1 / (kMajor + kMinor - 1);
    gamma.disabled = !tempered;
    find("ratio-is").value = R;
    find("gamma-is").value = tempered ? minus(g.toFixed(2)) : "not used";
    ratio.setAttribute("aria-valuetext", `R is ${R}`);
    gamma.setAttribute("aria-valuetext", g.toFixed(2));
    for (const cell of root.querySelectorAll("td")) {
      const [name, row] = cell.dataset.is.split(".");
      const value = name === "ETF" ? (row === "ratio" ? 1 : etf) : blocks[name][row];
      cell.textContent = row === "ratio" ? short(value) : minus(value.toFixed(3));
    }
    const chosen = loss.selectedOptions[0].textContent;
    find("setting").textContent = `${chosen}, R = ${R}` + (tempered ? `, γ = ${minus(g.toFixed(2))}` : "") +
      `, ${kMajor} majority and ${kMinor} minority classes`;
    const svg = root.querySelector("svg");
    svg.innerHTML = drawing(blocks, etf);
    const angles = (b) => Object.entries(PAIRS).map(([p, [label]]) => `${label} ${degrees(b[p])}°`).join(", ");
    svg.setAttribute("aria-label", `Angles. Classifiers: ${angles(blocks.W)}. Embeddings: ${angles(blocks.H)}.`);
    find("balanced").textContent = `${degrees(etf)}°`;
    find("note").textContent = note(loss.value, R, g);
    find("marks").textContent = printedMarks(MARKS, loss.value, R, g, kMajor, kMinor);
    const kind = ["cdt", "vs"].includes(loss.value) ? "cdt" : "ldt";
    find("own-is").textContent = own.value.trim() ? ownCounts(own.value, g, kind) : "";
    // A moving slider should not talk all the time.
    clearTimeout(later);
    later = setTimeout(() => {
      find("summary").textContent = `Majority over minority, squared lengths: ${short(blocks.W.ratio)} for ` +
        `classifiers, ${short(blocks.H.ratio)} for embeddings. Two minority classifiers are ` +
        `${degrees(blocks.W.minor)}° apart; with balanced classes ${degrees(etf)}°.`;
    }, 300);
  };
  root.dataset.live = "";
  for (const part of root.querySelectorAll("[hidden]")) part.removeAttribute("hidden");
  find("still").remove();
  root.addEventListener("input", update);
  update();
}
