/* Columns of the board. Of one setting everything is shown; of several one column each, and what they have in common. */

const field = (name) => h("span", { class: `chip ${/^[a-z]+$/.test(name) ? name : ""}` }, name);
const chips = (names) => (names.length ? names.map(field) : [h("span", { class: "chip none" }, "none")]);

function columns() {
  const alone = board.settings.length === 1;
  const together = alone ? [] : overalls();
  return [
    ...(alone ? [rankColumn(board.settings[0])] : together.slice(0, 1).map(meanRankColumn)),
    nameColumn(),
    paidColumn(alone),
    ...(alone ? [testColumn()] : []),
    ...(alone ? ofOneSetting(board.settings[0]) : board.settings.map((at) => scoreColumn(at))),
    ...together.map((one, place) => overallColumn(one, place, together.length)),
    costColumn("seconds", "Time", "device, a fit", seconds),
    costColumn("flops", "FLOPs", "a fit", size),
    ...(alone ? [costColumn("parameters", "Parameters", "", size), costColumn("peak_memory_mib", "Memory", "peak", memory)] : []),
    ...(alone && board.data.rows.some((row) => row.savings_short) ? [savingsColumn()] : []),
    flagsColumn(),
  ];
}

/* Averages whose blocks all stand in the table, at the label fraction that is looked at. */
function overalls() {
  const shown = new Set(board.settings.map((at) => nameOf(board.data.settings[at])));
  const found = [];
  for (const one of board.data.overall) {
    const fraction = view.fraction ? Number(view.fraction) : Math.max(...one.fractions);
    if (!one.fractions.includes(fraction) || !one.blocks.every((block) => shown.has(block))) continue;
    const rows = one.rows.filter((row) => row.fraction === fraction);
    found.push({ ...one, fraction, by: new Map(rows.map((row) => [`${row.origin} ${row.label}`, row])) });
  }
  return found;
}

const nameOf = (setting) => setting.name || `${setting.corpus}, ${setting.task}`;
const titleOf = (setting) => [nameOf(setting), ...telling(setting).filter((one) => !nameOf(setting).includes(one))].join(" · ");
const inOverall = (one, line) => (line.source ? undefined : one.by.get(`${line.origin} ${line.label}`));

function nameColumn() {
  const fill = (cell, line) => {
    const button = h("button", { type: "button", class: "opener", "aria-expanded": "false", onclick: () => toggle(line) }, line.name);
    cell.setAttribute("scope", "row");
    cell.append(button);
    line.button = button;
  };
  return { id: "name", kind: "name", head: "Strategy", sub: [], first: 1, value: (line) => line.name, fill };
}

function paidColumn(alone) {
  const fill = (cell, line) => {
    cell.append(...chips(line.paid));
    if (!alone && line.atTest.length) cell.append(h("small", null, `at test too: ${line.atTest.join(", ")}`));
  };
  return { id: "paid", kind: "paid", head: "Paid for", sub: ["in training"], first: 1, value: (line) => [...line.paid].sort().join(" "), fill,
    told: "What training reads beside the signal; the probe's labels are not counted" };
}

function testColumn() {
  const fill = (cell, line) => cell.append(...chips(line.atTest));
  return { id: "test", kind: "paid", head: "Needs", sub: ["at test"], first: 1, value: (line) => line.atTest.join(" "), fill };
}

function rankColumn(at) {
  const fill = (cell, line) => {
    const score = scoreAt(line, at);
    if (!score || !known(score.rank)) return cell.append(DASH);
    const reach = known(score.rank_low) ? `${score.rank_low}–${score.rank_high}` : "";
    cell.append(h("b", null, String(score.rank)), h("small", { title: "95 % interval over test patients" }, reach));
  };
  return { id: "rank", kind: "rank", head: "Rank", sub: ["95 %"], first: 1, value: (line) => scoreAt(line, at)?.rank ?? null, fill };
}

function meanRankColumn(one) {
  const value = (line) => inOverall(one, line)?.mean_rank ?? null;
  const fill = (cell, line) => {
    const row = inOverall(one, line);
    const reach = row && known(row.rank_low) ? `${row.rank_low.toFixed(1)}–${row.rank_high.toFixed(1)}` : "";
    cell.append(known(value(line)) ? h("b", null, value(line).toFixed(1)) : DASH, reach && h("small", null, reach));
  };
  return { id: "rank", kind: "rank", head: "Rank", sub: ["mean"], first: 1, value, fill, chief: true,
    told: `Mean rank over ${one.blocks.join("; ")}, among strategies that have all of them` };
}

function overallColumn(one, place, count) {
  const ends = axisOf([...one.by.values()]);
  const fill = (cell, line) => {
    const row = inOverall(one, line);
    if (!row) return cell.append(DASH);
    if (row.n < row.of || !known(row.iqm)) return cell.append(h("span", { class: "part", title: "Without all blocks there is no average" }, `${row.n} of ${row.of}`));
    cell.append(h("span", { class: "value" }, points(row.iqm)), h("small", null, span(row.low, row.high)));
    bar(cell, row.iqm, row.low, row.high, ends);
    return cell;
  };
  const told = [`Interquartile mean over ${one.blocks.join("; ")}`, one.text].filter(Boolean).join(". ");
  const title = count > 1 ? `Overall ${place + 1}` : "Overall";
  return { id: `overall${place || ""}`, kind: "score over", head: title, sub: [`IQM of ${one.blocks.length}`, `at ${percent(one.fraction)}`],
    first: -1, over: true, value: (line) => inOverall(one, line)?.iqm ?? null, fill, told };
}

/* The score of a setting: value, rank and tie group, interval as text and as a bar. */
function scoreColumn(at, fraction = fractionOf(board.data.settings[at]), leading = true) {
  const setting = board.data.settings[at];
  const scores = board.lines.map((line) => scoreOf(line.own.get(at), fraction)).filter(Boolean);
  const ends = axisOf(scores);
  const apart = scores.some((one) => one.tie > 0);
  const fill = (cell, line) => {
    const row = line.own.get(at);
    const score = scoreOf(row, fraction);
    if (!score) return nothing(cell, missingAt(row, fraction));
    const mark = known(score.rank) && apart ? ["", "best", "second"][score.rank] || "" : "";
    const dagger = score.tie === 0 && score.rank > 1;
    if (known(score.rank)) cell.append(h("i", null, `${score.rank}${known(score.tie) ? `\u2009${letter(score.tie)}` : ""}`));
    cell.append(h("span", { class: `value ${mark}` }, points(score.mean)));
    if (dagger) cell.append(h("sup", { class: "dagger", title: "not separable from the best" }, "†"));
    if (score.notes.length) cell.append(h("sup", { class: "note", title: score.notes.join(". ") }, "*"));
    cell.append(h("small", null, span(score.low, score.high)));
    bar(cell, score.mean, score.low, score.high, ends);
    return cell;
  };
  const id = fraction === fractionOf(setting) ? `s${at}` : `s${at}at${fraction}`;
  const [head, sub] = leading ? [setting.corpus, [setting.task, ...telling(setting), `at ${percent(fraction)} labels`]] : [percent(fraction), ["labels"]];
  return { id, kind: "score", head, sub, first: -1,
    chief: leading, value: (line) => scoreOf(line.own.get(at), fraction)?.mean ?? null, fill, told: toldOf(setting) };
}

function nothing(cell, missing) {
  const [first] = missing;
  cell.append(DASH);
  if (first) cell.append(h("small", null, first.status));
  if (first) cell.title = missing.map((one) => `${one.status}: ${one.reason}`).join(". ");
  return cell;
}

/* From the lowest to the highest end of any interval that has a width. */
function axisOf(scores) {
  const wide = scores.filter((one) => known(one.low) && one.low < one.high);
  return [Math.min(...wide.map((one) => one.low)), Math.max(...wide.map((one) => one.high))];
}

/* An interval as a thin bar beneath its text, on an axis that all rows of its column share; one without width has none. */
function bar(cell, mean, low, high, [least, most]) {
  if (!known(low) || !known(high) || low >= high) return;
  const share = (value) => (value - least) / (most - least);
  const wide = share(high) - share(low);
  const put = (name, value) => cell.style.setProperty(name, `${(100 * value).toFixed(1)}%`);
  cell.classList.add("bar");
  put("--wide", wide);
  put("--at", wide < 1 ? share(low) / (1 - wide) : 0);
  const middle = share(known(mean) ? mean : low);
  put("--dot-at", middle);
  cell.style.setProperty("--dot-off", `${((middle - 0.5) * 0.5).toFixed(3)}em`);
}

/* What tells a setting from others of the same corpus and task; of those alike in all of it, the protocol does. */
function telling(setting) {
  const axes = [leadsOf, (one) => one.encoder, (one) => one.split];
  const alike = board.data.settings.filter((one) => one.corpus === setting.corpus && one.task === setting.task);
  const differs = (get, among) => new Set(among.map(get)).size > 1;
  const told = axes.filter((get) => differs(get, alike)).map((get) => get(setting));
  const same = alike.filter((one) => axes.every((get) => get(one) === get(setting)));
  return differs((one) => one.protocol, same) ? [...told, `protocol ${short(setting.protocol, 8)}`] : told;
}

function toldOf(setting) {
  return [setting.title, `task ${setting.task}`, `${grouped(setting.records)} test records`].join(", ");
}

/* Everything about one setting: spread over seeds, every label fraction, both selections. */
function ofOneSetting(at) {
  const setting = board.data.settings[at];
  const now = fractionOf(setting);
  const others = [...setting.fractions].sort((a, b) => b - a).filter((one) => one !== now);
  const every = (line) => scoreAt(line, at)?.all ?? null;
  const found = [scoreColumn(at), spreadColumn(at), ...others.map((one) => scoreColumn(at, one, false))];
  if (board.lines.some((line) => known(every(line)) && every(line) !== scoreAt(line, at)?.mean)) {
    const fill = (cell, line) => cell.append(points(every(line)));
    found.push({ id: "all", kind: "number", head: "Selected on", sub: ["all validation labels", `at ${percent(now)}`], first: -1, value: every, fill });
  }
  return found;
}

function spreadColumn(at) {
  const value = (line) => scoreAt(line, at)?.sd ?? null;
  const fill = (cell, line) => {
    const score = scoreAt(line, at);
    if (!score || score.seeds < 2 || !known(score.seed_low)) return cell.append(DASH);
    cell.append(known(score.sd) && score.seeds > 2 ? `±${points(score.sd)}` : span(score.seed_low, score.seed_high));
    return cell.append(h("small", null, score.seeds > 2 ? span(score.seed_low, score.seed_high) : ""));
  };
  return { id: "spread", kind: "number", head: "Seeds", sub: ["SD or range"], first: 1, value, fill };
}

/* A cost of a fit; over several settings from the least to the most. */
function costColumn(name, title, sub, text) {
  const costs = (line) => board.settings.map((at) => line.own.get(at)?.cost[name]).filter(known);
  const value = (line) => (costs(line).length ? Math.max(...costs(line)) : null);
  const fill = (cell, line) => {
    const all = costs(line).map((one) => [one, text(one)]).sort((a, b) => a[0] - b[0]);
    const [least, most] = all.length ? [all[0][1], all[all.length - 1][1]] : [DASH, DASH];
    cell.append(least === most ? least : h("span", null, least, "\u2009–\u200a", h("wbr"), most));
  };
  return { id: name, kind: "number", head: title, sub: sub ? [sub] : [], first: 1, value, fill };
}

function savingsColumn() {
  const value = (line) => line.own.get(board.settings[0])?.savings_short || null;
  const fill = (cell, line) => cell.append(value(line) || DASH);
  return { id: "savings", kind: "text", head: "Label savings", sub: [], first: 1, value, fill };
}

function flagsColumn() {
  const flags = (line) => distinct(board.settings.flatMap((at) => line.own.get(at)?.flags || []));
  const value = (line) => flags(line).length || null;
  const fill = (cell, line) => {
    if (flags(line).length) cell.append(h("div", { class: "flags", title: flags(line).join(". ") }, flags(line).join(". ")));
  };
  return { id: "flags", kind: "flags", head: "Flags", sub: [], first: -1, value, fill };
}
