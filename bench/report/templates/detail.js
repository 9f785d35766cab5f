/* What an opened row shows: its method, and in each setting its runs, health, provenance and what is missing. */

function toggle(line) {
  if (line.opened) close(line);
  else open(line, true);
}

function close(line) {
  line.opened.remove();
  line.opened = null;
  line.button.setAttribute("aria-expanded", "false");
  view.open.delete(line.key);
  keepAddress();
}

/* The row beneath stands at once; its content follows when it is unpacked. */
async function open(line, asked) {
  fillRow(line);
  const inside = h("div", { class: "inside" }, h("p", { class: "soft" }, "Unpacking …"));
  const id = `detail-${board.lines.indexOf(line)}`;
  const cell = h("td", { role: "cell", colspan: board.columns.length }, inside);
  line.opened = h("tr", { class: "detail", role: "row", id }, cell);
  line.row.after(line.opened);
  line.button.setAttribute("aria-expanded", "true");
  line.button.setAttribute("aria-controls", id);
  view.open.add(line.key);
  if (asked) keepAddress();
  const { data, settings } = board;
  const here = settings.filter((at) => line.own.has(at));
  const found = await Promise.all(here.map((at) => detailOf(data, line, at)));
  inside.replaceChildren(...opened(line, here, found));
}

/* Unpacked once a chunk, kept as long as the suite. */
async function detailOf(data, line, at) {
  const name = data.details[line.own.get(at).detail];
  data.unpacked = data.unpacked || new Map();
  if (!data.unpacked.has(name)) data.unpacked.set(name, unpackJson(name));
  const { rows, fits } = await data.unpacked.get(name);
  return { more: rows[line.places.get(at)], fits };
}

function opened(line, here, found) {
  const title = h("h3", null, line.name, line.source ? h("small", null, ` pre-trained on ${line.source}`) : null);
  const several = here.length > 1;
  const parts = here.map((at, place) => {
    const inside = settingOf(line.own.get(at), found[place]);
    if (!several) return inside;
    return h("details", { open: place === 0 }, h("summary", null, titleOf(board.data.settings[at])), inside);
  });
  return [title, method(line, here, found), ...parts];
}

/* Name and text lines; those without text are left out. */
function facts(lines) {
  return h("dl", null, lines.filter(([, text]) => text !== "" && text !== null && text !== undefined)
    .map(([name, text]) => [h("dt", null, name), h("dd", null, text)]));
}

/* The method note; what differs between settings is told of each. */
function method(line, here, found) {
  const rows = here.map((at) => line.own.get(at));
  const each = (get) => distinct(rows.map((row, place) => get(row, found[place].more)).filter(Boolean)).join("; ");
  const deviations = distinct(found.flatMap((one) => one.more.deviations));
  const flags = distinct(rows.flatMap((row) => row.flags));
  return h("div", { class: "method" },
    facts([
      ["Paper", each((_, more) => more.paper)],
      ["Row", h("code", null, line.label)],
      ["Recipe", each((row, more) => [row.strategy !== line.label && row.strategy, more.recipe].filter(Boolean).join(", "))],
      ["Paid for", h("span", null, chips(line.paid))],
      ["Needs at test", h("span", null, chips(line.atTest))],
      ["Own encoder", each((row) => row.own_encoder)],
      ["Label fractions of", each((row) => row.fractions_by)],
      ["Label savings", distinct(rows.map((row, place) => row.savings && (rows.length > 1 ? `${titleOf(board.data.settings[here[place]])}: ${row.savings}` : row.savings)).filter(Boolean)).join("; ")],
      ["Parameters", each((_, more) => parameters(more.params))],
    ]),
    flags.length ? h("div", { class: "warn" }, h("h4", null, "Flags"), h("ul", null, flags.map((one) => h("li", null, one)))) : null,
    deviations.length ? h("div", null, h("h4", null, "Where it departs from the paper"), h("ul", null, deviations.map((one) => h("li", null, one)))) : null);
}

function parameters(params) {
  return Object.entries(params).map(([name, value]) => `${name} ${typeof value === "string" ? value : JSON.stringify(value)}`).join(", ");
}

function settingOf(row, { more, fits }) {
  const setting = board.data.settings[row.setting];
  const fraction = fractionOf(setting);
  const at = more.runs.filter((run) => run.fraction === fraction && fits[run.fit]);
  const curves = distinct(at.map((run) => run.fit)).map((key) => fits[key]);
  return h("div", { class: "setting" }, missing(row), h("div", { class: "pair" }, runs(more.runs, setting), health(curves, fraction)), provenanceOf(more.runs, fits));
}

function missing(row) {
  if (!row.missing.length) return null;
  const where = (one) => `${one.fractions.map(percent).join(", ")} labels, seed ${one.seeds.join(", ")}`;
  return h("div", { class: "warn" }, h("h4", null, "Without a result"),
    h("ul", null, row.missing.map((one) => h("li", null, `${where(one)}: ${one.status}${one.reason ? `: ${one.reason}` : ""}`))));
}

/* A long hash: shown short, copied whole. */
const hash = (text) => (text ? h("code", { class: "hash", title: text }, text) : DASH);

function plain(title, heads, rows, kinds = []) {
  const kind = (place) => kinds[place] || null;
  const cells = (row) => row.map((one, place) => h(place ? "td" : "th", { scope: place ? null : "row", class: kind(place) }, one));
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": title },
    h("table", { class: "plain" }, h("caption", null, title),
      h("thead", null, h("tr", null, heads.map((text, place) => h("th", { scope: "col", class: kind(place) }, text)))),
      h("tbody", null, rows.map((row) => h("tr", null, cells(row))))));
}

function runs(all, setting) {
  if (!all.length) return null;
  const sorted = [...all].sort((a, b) => b.fraction - a.fraction || a.seed - b.seed);
  const rows = sorted.map((run) => [percent(run.fraction), String(run.seed), run.status && run.status !== "done" ? run.status : points(run.value), hash(run.key), hash(run.fit)]);
  return plain(`Runs: ${metricOf(setting)} ×100 on the test part`, ["labels", "seed", "score", "cell", "fit"], rows, ["", "", "", "left", "left"]);
}

/* Loss and effective rank by step, a line a seed. */
function health(fits, fraction) {
  const curves = fits.map((fit) => fit.health.filter((one) => known(one.step))).filter((curve) => curve.length);
  if (!curves.length) return null;
  const named = [["loss", "Loss"], ["effective_rank", "Effective rank of the embeddings"]];
  const all = named.map(([name, title]) => curve(curves, name, title)).filter(Boolean);
  return h("div", { class: "health" }, h("h4", null, `Health at ${percent(fraction)} labels, a line a seed`), all);
}

function curve(curves, name, title) {
  const lines = curves.map((one) => one.filter((point) => known(point[name])).map((point) => [point.step, point[name]])).filter((one) => one.length);
  if (!lines.length) return null;
  const [wide, high] = [250, 74];
  const steps = lines.flat().map(([step]) => step);
  const values = lines.flat().map(([, value]) => value);
  const [last, least, most] = [Math.max(...steps, 1), Math.min(...values), Math.max(...values)];
  const x = (step) => 2 + (step / last) * (wide - 4);
  const y = (value) => (most > least ? high - 3 - ((value - least) / (most - least)) * (high - 6) : high / 2);
  const number = (value) => String(Number(value.toPrecision(3)));
  const told = `${title} of ${plural(lines.length, "fit")} up to step ${last}: from ${lines.map((one) => number(one[0][1])).join(", ")} to ${lines.map((one) => number(one[one.length - 1][1])).join(", ")}`;
  const paths = lines.map((one, place) =>
    drawn("path", { class: `line l${place % 4}`, d: one.map(([step, value], at) => `${at ? "L" : "M"}${x(step).toFixed(1)} ${y(value).toFixed(1)}`).join("") }));
  const dots = lines.filter((one) => one.length === 1).map(([[step, value]]) => drawn("circle", { cx: x(step), cy: y(value), r: 2 }));
  return h("figure", { class: "curve" }, h("figcaption", null, title),
    h("div", { class: "plot" }, h("span", { class: "most" }, number(most)), h("span", { class: "least" }, number(least)),
      drawn("svg", { viewBox: `0 0 ${wide} ${high}`, role: "img", "aria-label": told }, drawn("title", null, told), paths, dots)),
    h("div", { class: "steps" }, h("span", null, "0"), h("span", null, `step ${grouped(last)}`)));
}

/* Where the fits behind the runs come from. */
function provenanceOf(all, fits) {
  const keys = distinct(all.map((run) => run.fit)).filter((key) => fits[key]);
  if (!keys.length) return null;
  const made = (fit) => [
    fit.seed_index ?? DASH, grouped(fit.steps), seconds(fit.seconds), size(fit.flops), memory(fit.peak_memory_mib),
    [fit.accelerator, fit.cpu, fit.device].filter(Boolean).join(", ") || DASH, fit.threads ?? DASH,
    h("span", null, hash(fit.commit), fit.modified ? " with changes" : ""), hash(fit.source_hash), hash(fit.corpus), when(fit.finished),
  ].map((one) => (typeof one === "number" ? String(one) : one));
  const heads = ["fit", "seed", "steps", "time", "FLOPs", "peak memory", "device", "threads", "commit", "source", "corpus", "finished"];
  const rows = keys.map((key) => [hash(key), ...made(fits[key])]);
  const versions = distinct(keys.map((key) => versionsOf(fits[key])).filter(Boolean));
  return h("details", { class: "origin" }, h("summary", null, `Provenance of ${plural(keys.length, "fit")}`),
    plain("Fits", heads, rows, ["left", "", "", "", "", "", "left", "", "left", "left", "left", "left"]), versions.map((text) => h("p", { class: "soft" }, text)));
}

function versionsOf(fit) {
  const packages = Object.entries(fit.packages || {}).map(([name, version]) => `${name} ${version}`);
  return [fit.python && `Python ${fit.python}`, ...packages].filter(Boolean).join(", ");
}
