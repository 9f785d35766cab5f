/* The board of one suite: its lines (a strategy or baseline over all settings), the table, filters and sorting. */

const BLOCKS = [
  ["strategy", "Strategies (ranked)"],
  ["baseline", "Controls and floors (not ranked)"],
  ["transfer", "Pre-trained on another corpus (not ranked)"],
  ["overlap", "Saw test ECGs in pre-training, to measure the leak (not ranked)"],
  ["", "Others (not ranked)"],
];
const ORIGINS = { strategy: "Strategies", baseline: "Baselines", transfer: "From another corpus", overlap: "Saw test ECGs", "": "Others" };

const FIRST = 40;
const board = { data: null, lines: [], order: [], columns: [], settings: [], body: null };

const asTrained = (setting) => setting.lead_set === setting.eval_lead_set;
const leadsOf = (s) => (asTrained(s) ? s.lead_set : `${s.lead_set}, evaluated with ${s.eval_lead_set}`);
const EVERY = "every";
const largest = (setting) => (setting.fractions.length ? Math.max(...setting.fractions) : 1);
const fractionOf = (setting) => (view.fraction ? Number(view.fraction) : largest(setting));
const scoreOf = (row, fraction) => (row ? row.scores.find((one) => one.fraction === fraction && known(one.mean)) : undefined);
const scoreAt = (line, at) => scoreOf(line.own.get(at), fractionOf(board.data.settings[at]));
const missingAt = (row, fraction) => (row ? row.missing.filter((one) => one.fractions.includes(fraction)) : []);

/* Rows of the same label and source are one line, with a row a setting. */
function linesOf(data) {
  const lines = new Map();
  data.rows.forEach((row, place) => {
    const key = [row.label, row.source].filter(Boolean).join("@");
    const line = lines.get(key) || { key, label: row.label, name: row.name, source: row.source, own: new Map(), places: new Map() };
    line.origin = BLOCKS.some(([origin]) => origin === row.origin) ? row.origin : "";
    line.own.set(row.setting, row);
    line.places.set(row.setting, place);
    lines.set(key, line);
  });
  for (const line of lines.values()) {
    const rows = [...line.own.values()];
    line.paid = distinct(rows.flatMap((row) => row.paid_for));
    line.atTest = distinct(rows.flatMap((row) => row.needs_at_test));
    const told = rows.flatMap((row) => [row.name, row.label, row.strategy, row.source, row.own_encoder, ...row.flags]);
    line.text = distinct([...told, ...line.paid, ORIGINS[line.origin]]).join(" ").toLowerCase();
  }
  return [...lines.values()];
}

/* Places of the settings that the filters of columns leave. */
function settingsShown(data) {
  const bySelf = data.settings.some(asTrained);
  const leadsWanted = (setting) => (view.leads ? view.leads === leadsOf(setting) : asTrained(setting) || !bySelf);
  const wanted = (setting) =>
    (!view.corpus || setting.corpus === view.corpus) &&
    (!view.task || setting.task === view.task) &&
    (view.leads === EVERY || leadsWanted(setting));
  return data.settings.map((_, at) => at).filter((at) => wanted(data.settings[at]));
}

function lineShown(line) {
  if (view.rows && line.origin !== view.rows) return false;
  if (view.paid === "none" ? line.paid.length : view.paid && !line.paid.includes(view.paid)) return false;
  if (!board.settings.some((at) => line.own.has(at))) return false;
  return view.q.toLowerCase().split(/\s+/).every((word) => line.text.includes(word));
}

/* The column that is sorted by, and its direction: 1 is ascending. */
function sorting() {
  const [id, turn] = view.sort.split(":");
  const chosen = board.columns.find((one) => one.id === id);
  const column = chosen || board.columns.find((one) => one.chief) || board.columns.find((one) => one.id === "name");
  return { column, way: column.first * (chosen && turn === "turned" ? -1 : 1) };
}

/* Unknown values stand last whichever way; equal ones by the score that leads, then by name. */
function ordered(lines) {
  const { column, way } = sorting();
  const score = board.columns.find((one) => one.over) || board.columns.find((one) => one.kind === "score");
  const keyed = lines.map((line) => ({ line, name: line.name, value: column.value(line), score: score ? score.value(line) : null }));
  keyed.sort((a, b) => compare(a.value, b.value, way) || compare(a.score, b.score, -1) || compare(a.name, b.name, 1));
  return keyed.map((one) => one.line);
}

const words = new Intl.Collator("en", { numeric: true });
const empty = (value) => value === null || value === undefined || value === "";

function compare(first, second, way) {
  if (empty(first) || empty(second)) return empty(first) - empty(second);
  return way * (typeof first === "string" ? words.compare(first, second) : first - second);
}

/* Build the table anew: after a suite is opened, or when its columns change. */
function build() {
  board.settings = settingsShown(board.data);
  board.columns = columns();
  const table = h("table", { class: "board", role: "table", "aria-label": caption() });
  const widths = board.columns.map((one) => `var(--w-${one.kind.split(" ")[0]})`);
  table.style.setProperty("--tracks", [...widths.slice(0, -1), `minmax(${widths[widths.length - 1]}, 1fr)`].join(" "));
  table.style.setProperty("--least", `calc(${widths.join(" + ")})`);
  table.append(h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, board.columns.map(head))));
  board.body = new Map();
  for (const [origin, title] of BLOCKS) {
    const own = board.lines.filter((line) => line.origin === origin);
    if (!own.length) continue;
    const top = h("tr", { class: "block", role: "row" }, h("th", { role: "rowheader", colspan: board.columns.length, scope: "rowgroup" }, h("span", null, title)));
    const body = h("tbody", { role: "rowgroup" }, top);
    board.body.set(origin, body);
    for (const line of own) Object.assign(line, { row: h("tr", { class: "line", role: "row" }), filled: false, opened: null });
    table.append(body);
  }
  $("box").classList.toggle("tall", board.lines.length > FIRST);
  $("box").classList.toggle("rich", board.lines.some((line) => line.paid.length > 2));
  $("box").replaceChildren(table);
  sort();
  cards();
  described();
  filter();
  for (const line of board.lines) if (view.open.has(line.key)) open(line, false);
  fillLater();
}

function caption() {
  const { suite } = board.data;
  const kind = suite.simulated ? "SIMULATED data" : "real ECGs";
  return `${suite.title}: ${kind}. Scores of strategies and baselines; a button in a head sorts by its column.`;
}

function head(column) {
  const button = h("button", { type: "button", "data-sort": column.id, onclick: () => sortBy(column) }, h("span", null, column.head));
  return h("th", { role: "columnheader", scope: "col", class: column.kind, title: column.told || null }, button, column.sub.map((text) => h("small", null, text)));
}

/* The cells of a row, once. */
function fillRow(line) {
  if (line.filled) return;
  line.filled = true;
  for (const column of board.columns) {
    const named = column.id === "name";
    const cell = document.createElement(named ? "th" : "td");
    cell.setAttribute("role", named ? "rowheader" : "cell");
    cell.className = column.kind;
    column.fill(cell, line);
    line.row.append(cell);
  }
}

/* What can be seen of the table is filled at once, the rest bit by bit. */
const fillFirst = () => board.order.filter((line) => !line.row.hidden).slice(0, FIRST).forEach(fillRow);
const fillAll = () => board.lines.forEach(fillRow);

function fillLater() {
  const { body } = board;
  const some = () => {
    if (board.body !== body) return;
    const left = board.order.filter((line) => !line.filled);
    left.slice(0, FIRST).forEach(fillRow);
    if (left.length > FIRST) setTimeout(some);
    else document.documentElement.dataset.filled = view.place;
  };
  delete document.documentElement.dataset.filled;
  setTimeout(some);
}

function sortBy(column) {
  const now = sorting();
  const turned = now.column === column && now.way === column.first;
  view.sort = turned ? `${column.id}:turned` : column.id;
  keepAddress();
  sort();
  fillFirst();
  announce(`Sorted by ${[column.head, ...column.sub].join(", ")}, ${sorting().way > 0 ? "ascending" : "descending"}.`);
}

function sort() {
  const { column, way } = sorting();
  const heads = $("box").querySelectorAll(".board > thead th");
  board.columns.forEach((one, place) => {
    const cell = heads[place];
    cell.setAttribute("aria-sort", one === column ? (way > 0 ? "ascending" : "descending") : "none");
  });
  board.order = ordered(board.lines);
  for (const [origin, body] of board.body) {
    const own = board.order.filter((line) => line.origin === origin);
    body.append(...own.flatMap((line) => [line.row, line.opened].filter(Boolean)));
  }
}

/* Hide the rows that are not asked for. Nothing is built anew. */
function filter() {
  let count = 0;
  const left = new Map();
  for (const line of board.lines) {
    const shown = lineShown(line);
    if (line.row.hidden === shown) line.row.hidden = !shown;
    if (line.opened) line.opened.hidden = !shown;
    if (shown) left.set(line.origin, (left.get(line.origin) || 0) + 1);
    count += shown;
  }
  for (const [origin, body] of board.body) body.hidden = !left.get(origin);
  fillFirst();
  const { settings } = board.data;
  const where = settings.length > 1 ? `, ${board.settings.length} of ${settings.length} columns of scores` : "";
  $("nothing").hidden = count > 0;
  announce(`${count} of ${plural(board.lines.length, "row")}${where}.`);
}

/* A choice of each filter: value, text. The first one is no choice at all. */
function choices() {
  const { settings } = board.data;
  const fractions = distinct(settings.flatMap((one) => one.fractions)).sort((a, b) => b - a);
  const tops = distinct(settings.map(largest));
  const top = tops.length === 1 ? percent(tops[0]) : "the largest";
  const lower = fractions.filter((one) => tops.length > 1 || one !== tops[0]);
  const paid = distinct(board.lines.flatMap((line) => line.paid)).sort();
  const leads = settings.every(asTrained) || !settings.some(asTrained) ? [["", "all"]] : [["", "as trained"], [EVERY, "all, fewer than trained too"]];
  const same = (values) => distinct(values).map((one) => [one, one]);
  return [
    ["corpus", "Corpus", [["", "all"], ...same(settings.map((one) => one.corpus))]],
    ["task", "Task", [["", "all"], ...same(settings.map((one) => one.task))]],
    ["fraction", "Label fraction", [["", top], ...lower.map((one) => [String(one), percent(one)])]],
    ["leads", "Leads", [...leads, ...same(settings.map(leadsOf))]],
    ["paid", "Paid for", [["", "anything"], ["none", "nothing but the signal"], ...paid.map((one) => [one, one])]],
    ["rows", "Rows", [["", "all"], ...BLOCKS.filter(([o]) => board.lines.some((l) => l.origin === o)).map(([o]) => [o, ORIGINS[o]])]],
  ];
}

/* The filters' form. One with a single choice is left out, and a choice that is not there is none. */
function filters() {
  const search = h("input", { type: "search", id: "f-q", autocomplete: "off", placeholder: "name, flag, field", value: view.q });
  search.addEventListener("input", () => choose("q", search.value.trim()));
  const fields = [h("label", { for: "f-q" }, h("span", null, "Find"), search)];
  for (const [name, title, options] of choices()) {
    if (!options.some(([value]) => value === view[name])) view[name] = "";
    if (options.length < (["paid", "fraction"].includes(name) ? 2 : 3)) continue;
    const select = h("select", { id: `f-${name}` }, options.map(([value, text]) => h("option", { value }, text)));
    select.value = view[name];
    select.addEventListener("change", () => choose(name, select.value));
    fields.push(h("label", { for: select.id }, h("span", null, title), select));
  }
  const reset = h("button", { type: "button", id: "reset", onclick: clear }, "Reset");
  return h("form", { class: "filters", role: "search", "aria-label": "Filters of the board", onsubmit: (e) => e.preventDefault() }, fields, reset);
}

function choose(name, value) {
  view[name] = value;
  keepAddress();
  if (["q", "paid", "rows"].includes(name)) filter();
  else build();
}

function clear() {
  for (const name of KEPT) view[name] = "";
  view.open.clear();
  for (const line of board.lines) line.opened = null;
  keepAddress();
  document.querySelector(".filters").replaceWith(filters());
  build();
  $("reset").focus();
}
