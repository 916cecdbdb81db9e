// A pilot in the page: priors, effective ratio and moved threshold of a reader's file.
// Functions of the package, written a second time; tests compare them.
{
  const MOST_FEATURES = 256;
  const Z = 1.959963984540054; // 97.5 % of the normal distribution

  // The rows of a CSV: commas or other marks, quotes, a header.
  const cut = (text, mark) => {
    const rows = [[""]];
    let quoted = false;
    for (let i = 0; i < text.length; i++) {
      const letter = text[i];
      const row = rows.at(-1);
      if (quoted && letter === '"' && text[i + 1] === '"') row[row.length - 1] += text[i++];
      else if (letter === '"') quoted = !quoted;
      else if (!quoted && letter === mark) row.push("");
      else if (!quoted && letter === "\n") rows.push([""]);
      else if (quoted || letter !== "\r") row[row.length - 1] += letter;
    }
    return rows.filter((row) => row.length > 1 || row[0].trim());
  };
  // own.tables.read_text: semicolons where the first line has no comma.
  const parse = (text) => {
    const rows = cut(text, ",");
    const semicolons = rows[0]?.length === 1 && rows[0][0].includes(";");
    return semicolons ? cut(text, ";") : rows;
  };

  const isNumber = (text) => text.trim() !== "" && Number.isFinite(Number(text));
  const ordered = (values) => {
    const found = [...new Set(values)];
    return found.every(isNumber)
      ? found.sort((a, b) => a - b)
      : found.sort((a, b) => (a < b ? -1 : 1));
  };

  // Columns of a file by what they are; an Error says what to change. The second class is
  // the one of a high score: `high` where the labels have it.
  const read = (text, high) => {
    const [head = [], ...rows] = parse(text.replace(/^\ufeff/, ""));
    const names = head.map((name) => name.trim());
    const column = (name) => rows.map((row) => (row[names.indexOf(name)] ?? "").trim());
    const short = rows.findIndex((row) => row.length !== names.length);
    if (!names.includes("label")) throw Error(`no column "label" in: ${names.join(", ")}`);
    if (short >= 0) throw Error(`line ${short + 2} has ${rows[short].length} columns, ` +
        `the first line has ${names.length}`);
    const labels = column("label");
    const classes = ordered(labels);
    if (classes.length !== 2)
      throw Error(`column "label" holds ${classes.length} classes: expected two`);
    if (classes[0] === high) classes.reverse();
    const y = labels.map((label) => classes.indexOf(label));
    const numbers = (name) => {
      const found = column(name);
      const bad = found.findIndex((value) => !isNumber(value));
      if (/^[+-]?\d*,\d+(e[+-]?\d+)?$/i.test(found[bad]))
        throw Error(`line ${bad + 2}: "${found[bad]}" in column "${name}" has a decimal comma: ` +
          "write decimals with points");
      if (bad >= 0) throw Error(`line ${bad + 2}: "${found[bad]}" in column "${name}" is no number`);
      return found.map(Number);
    };
    const others = names.filter((name) => !["label", "score", "group"].includes(name));
    if (others.length > MOST_FEATURES)
      throw Error(`${others.length} features: this page takes ${MOST_FEATURES}; ` +
          "Bring your own features takes more");
    return {
      classes,
      y,
      scores: names.includes("score") ? numbers("score") : null,
      groups: names.includes("group") ? column("group") : null,
      features: others.map(numbers),
    };
  };

  // Indices of every second row of each cell, and of the others.
  const halves = (cells) => {
    const seen = {};
    const parts = [[], []];
    cells.forEach((cell, i) => {
      seen[cell] = (seen[cell] ?? 0) + 1;
      parts[(seen[cell] + 1) % 2].push(i);
    });
    return parts;
  };

  // Numbers of a sorted array that do not exceed a value.
  const upTo = (sorted, value) => {
    let [low, high] = [0, sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sorted[middle] <= value) low = middle + 1;
      else high = middle;
    }
    return low;
  };

  // methods.linear_head.threshold_today
  const thresholdToday = (scores) => (scores.every((x) => x >= 0 && x <= 1) ? 0.5 : 0);

  // methods.linear_head.threshold_shift
  const thresholdShift = (scores, y, groups, today) => {
    const levels = [...new Set(scores)].sort((a, b) => a - b);
    const middle = levels.slice(1).map((level, i) => (level + levels[i]) / 2);
    const cuts = [today, levels[0] - 1, levels.at(-1) + 1, ...middle];
    const sorted = [...new Set(groups)].map((group) =>
      [0, 1].map((c) =>
        scores.filter((_, i) => groups[i] === group && y[i] === c).sort((a, b) => a - b),
      ),
    );
    let [best, most] = [today, -1];
    const nearer = (cut) => Math.abs(cut - today) < Math.abs(best - today);
    for (const cut of cuts) {
      const worst = Math.min(
        ...sorted.map(
          ([down, up]) =>
            (upTo(down, cut) + up.length - upTo(up, cut)) / (down.length + up.length),
        ),
      );
      if (worst > most || (worst === most && nearer(cut)))
        [best, most] = [cut, worst];
    }
    return best;
  };

  // Features with mean 0 and variance 1; one that never changes is left out.
  const scaled = (features) =>
    features.flatMap((column) => {
      const mean = column.reduce((sum, x) => sum + x, 0) / column.length;
      const centred = column.map((x) => x - mean);
      const spread = Math.sqrt(centred.reduce((sum, x) => sum + x * x, 0) / column.length);
      return spread > 0 ? [centred.map((x) => x / spread)] : [];
    });

  // Count, mean and centred Gram matrix of the rows of a class.
  const moments = (features, rows) => {
    const mean = features.map((x) => rows.reduce((sum, i) => sum + x[i], 0) / rows.length);
    const centred = features.map((x, j) => Float64Array.from(rows, (i) => x[i] - mean[j]));
    const gram = centred.map((a, j) =>
      Float64Array.from({ length: j + 1 }, (_, k) => {
        const b = centred[k];
        let sum = 0;
        for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
        return sum;
      }),
    );
    return { n: rows.length, mean, gram };
  };

  // tr(H (H + penalty I)^-1) for the lower triangle of H: d - penalty |L^-1|^2.
  const dofOf = (H, penalty) => {
    const d = H.length;
    const L = H.map((row, j) => Float64Array.from(row, (x, k) => x + (j === k) * penalty));
    for (let j = 0; j < d; j++)
      for (let k = 0; k <= j; k++) {
        let sum = L[j][k];
        for (let m = 0; m < k; m++) sum -= L[j][m] * L[k][m];
        L[j][k] = j === k ? Math.sqrt(sum) : sum / L[k][k];
      }
    let square = 0;
    for (let k = 0; k < d; k++) {
      const column = new Float64Array(d);
      for (let j = k; j < d; j++) {
        let sum = j === k ? 1 : 0;
        for (let m = k; m < j; m++) sum -= L[j][m] * column[m];
        column[j] = sum / L[j][j];
        square += column[j] ** 2;
      }
    }
    return d - penalty * square;
  };

  // weighting.effective_ratio, whose fixed point is sought until it stands still.
  const effectiveRatio = (features, y, ridge) => {
    const n = y.length;
    const rare = y.filter(Boolean).length * 2 <= n ? 1 : 0;
    const rowsOf = (wanted) => y.flatMap((c, i) => ((c === rare) === wanted ? [i] : []));
    const [few, many] = [true, false].map((wanted) => moments(features, rowsOf(wanted)));
    const prior = few.n / n;
    let [ratio, dof] = [(1 - prior) / prior, 0];
    for (let step = 0; step < 1000; step++) {
      const joint = (ratio * few.n * many.n) / (ratio * few.n + many.n);
      const gap = few.mean.map((x, j) => x - many.mean[j]);
      const H = few.gram.map((row, j) =>
        row.map((x, k) => ratio * x + many.gram[j][k] + joint * gap[j] * gap[k]),
      );
      dof = dofOf(H, n * ridge);
      if (dof / n >= 2 * prior) return { ratio: NaN, dof };
      const found = (2 * (1 - prior) - dof / n) / (2 * prior - dof / n);
      const change = Math.abs(found / ratio - 1);
      ratio = found;
      if (change < 1e-13) return { ratio, dof };
    }
    return { ratio: NaN, dof };
  };

  // Wilson's interval of a share.
  const wilson = (right, n) => {
    const middle = (right + Z * Z / 2) / (n + Z * Z);
    const half = (Z / (n + Z * Z)) * Math.sqrt((right * (n - right)) / n + Z * Z / 4);
    return [middle - half, middle + half];
  };

  // Everything that the page shows of a file.
  const pilot = (text, ridge = 0.1, high = undefined) => {
    const { classes, y, scores, groups, features } = read(text, high);
    const counts = [0, 1].map((c) => y.filter((value) => value === c).length);
    const found = { classes, counts, priors: Math.max(...counts) / Math.min(...counts) };
    const usable = scaled(features);
    if (usable.length) found.effective = effectiveRatio(usable, y, ridge);
    if (!scores) return found;
    const of = (rows, values) => rows.map((i) => values[i]);
    const cells = y.map((c, i) => (groups ? `${classes[c]} · ${groups[i]}` : classes[c]));
    const [chosen, judged] = halves(cells);
    if ([0, 1].some((c) => judged.every((i) => y[i] !== c))) return { ...found, tooFew: true };
    found.today = thresholdToday(scores);
    found.threshold = thresholdShift(
      of(chosen, scores), of(chosen, y), of(chosen, cells), found.today,
    );
    const row = (name, rows) => {
      const right = (cut) => rows.filter((i) => scores[i] > cut === Boolean(y[i])).length;
      const [before, after] = [right(found.today), right(found.threshold)];
      return { name, n: rows.length, before, after };
    };
    found.rows = ordered(cells).map((cell) =>
      row(cell, judged.filter((i) => cells[i] === cell)),
    );
    found.single = found.rows.filter(({ n }) => !n).map(({ name }) => name);
    found.rows = found.rows.filter(({ n }) => n);
    found.all = row("all rows, as they come", judged);
    return found;
  };

  globalThis.tailwisePilot = { effectiveRatio, pilot, read, thresholdShift, wilson };

  const make = (tag, text = "", settings = {}) =>
    Object.assign(document.createElement(tag), { textContent: text }, settings);
  const percent = (share) => `${(100 * share).toFixed(1)} %`;

  const table = ({ rows, all }) => {
    const body = [...rows, all].map(({ name, n, before, after }) => {
      const line = make("tr");
      line.append(make("th", name, { scope: "row" }), make("td", n));
      for (const right of [before, after]) {
        const [low, high] = wilson(right, n);
        line.append(make("td", `${percent(right / n)} (${percent(low)} to ${percent(high)})`));
      }
      const gain = (100 * (after - before)) / n;
      line.append(make("td", (gain > 0 ? "+" : "") + gain.toFixed(1).replace("-", "−")));
      return line;
    });
    const head = make("tr");
    for (const name of ["judged on", "rows", "today", "moved threshold", "points"])
      head.append(make("th", name, { scope: "col" }));
    const made = make("table");
    made.createTHead().append(head);
    made.createTBody().append(...body);
    const box = make("div", "", { className: "pilot-table", tabIndex: 0 });
    box.append(made);
    return box;
  };

  const sentences = (found) => {
    const { classes, counts, priors, effective, threshold } = found;
    const rare = classes[counts[1] <= counts[0] ? 1 : 0];
    const said = [
      `${counts[0]} rows of “${classes[0]}”, ${counts[1]} of “${classes[1]}”. ` +
        `The ratio of priors is ${priors.toFixed(2)}: so much a row of “${rare}” would count.`,
    ];
    if (effective)
      said.push(
        Number.isNaN(effective.ratio)
          ? `The head uses ${effective.dof.toFixed(1)} effective features: too many for so few ` +
              "rare rows. No ratio balances the errors; take a larger ridge, or more rare rows."
          : `The head uses ${effective.dof.toFixed(1)} effective features, and the effective ` +
              `ratio is ${effective.ratio.toFixed(2)}.`,
      );
    else said.push("Without columns of features there is no effective ratio.");
    if (found.tooFew)
      said.push(
        "Too few rows for a threshold: it is chosen on every second row of each class and group " +
          "and judged on the others, and there a class has no row.",
      );
    else if (threshold === undefined) said.push("Without a column “score” there is no threshold.");
    else {
      const worst = (key) => Math.min(...found.rows.map((row) => row[key] / row.n));
      const { all, today, single } = found;
      said.push(
        today
          ? "All scores lie between 0 and 1, so they are taken for probabilities: today " +
              `“${classes[1]}” is predicted above 0.5.`
          : `Today “${classes[1]}” is predicted above 0.`,
      );
      if (all.before * 2 < all.n)
        said.push(
          `Most rows are wrong today. Does a high score mean “${classes[0]}”? Then choose it above.`,
        );
      if (single.length) said.push(`With one row each, and so not judged: ${single.join(", ")}.`);
      said.push(
        `Moving the threshold from ${today} to ${threshold.toPrecision(4)} takes the worst group from ` +
          `${percent(worst("before"))} to ${percent(worst("after"))}, and all rows from ` +
          `${percent(all.before / all.n)} to ${percent(all.after / all.n)}.`,
      );
    }
    return said;
  };

  document.addEventListener("DOMContentLoaded", () => {
    const root = document.querySelector(".pilot");
    if (!root) return;
    const area = make("textarea", "", { rows: 6, spellcheck: false });
    area.setAttribute("aria-label", "The file, as text");
    area.placeholder =
      "label,score,group\n0,0.12,site A\n1,0.71,site A\n0,0.40,site A\n1,0.35,site A";
    const file = make("input", "", { type: "file", accept: ".csv,text/csv" });
    const pick = make("label", "A file: ");
    pick.append(file);
    const ridge = make("input", "", { type: "number", min: 0.001, step: "any", value: 0.1 });
    const ask = make("label", "Ridge: ");
    ask.append(ridge);
    const high = make("select");
    const means = make("label", "A high score means: ");
    means.append(high);
    const button = make("button", "Compute", { type: "button" });
    const bar = make("p", "", { className: "pilot-bar" });
    bar.append(pick, means, ask, button);
    const result = make("div", "", { ariaLive: "polite" });
    root.replaceChildren(bar, area, result);

    // The classes of the text to choose from; the second in order unless one is chosen.
    const offer = () => {
      const classes = read(area.value).classes;
      if ([...high.options].map(({ value }) => value).sort().join() === [...classes].sort().join())
        return;
      high.replaceChildren(...classes.map((name) => make("option", name, { value: name })));
      high.value = classes[1];
    };
    const show = () => {
      try {
        if (!(ridge.valueAsNumber > 0)) throw Error("the ridge must be a number above 0");
        offer();
        const found = pilot(area.value, ridge.valueAsNumber, high.value);
        result.replaceChildren(...sentences(found).map((text) => make("p", text)));
        if (found.rows) result.append(table(found));
      } catch (error) {
        result.replaceChildren(make("p", `This does not work: ${error.message}.`));
      }
    };
    const load = async (chosen) => {
      if (!chosen) return;
      area.value = await chosen.text();
      show();
    };
    button.addEventListener("click", show);
    high.addEventListener("change", show);
    file.addEventListener("change", () => load(file.files[0]));
    root.addEventListener("dragover", (event) => event.preventDefault());
    root.addEventListener("drop", (event) => {
      event.preventDefault();
      load(event.dataTransfer.files[0]);
    });
  });
}
