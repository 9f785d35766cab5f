/* A suite's page around its board: head, winners, legend, figures, tables, provenance. */

const badge = (simulated) => h("span", { class: simulated ? "badge" : "badge real" }, simulated ? "SIMULATED" : "REAL ECGs");

/* The empty places of a suite, in their order. */
function skeleton(data) {
  const { suite } = data;
  const facts_ = suite.facts.length ? h("details", { class: "facts" }, h("summary", null, "What was run"), facts(suite.facts)) : null;
  const jump = (id, text) => h("li", null, h("button", { type: "button", onclick: () => goTo(id) }, text));
  const scored = data.rows.length > 0;
  return [
    h("section", { class: "suite" },
      h("h2", null, suite.title, " ", badge(suite.simulated)),
      h("div", { class: "under" },
        h("p", { class: "soft" }, [`Suite ${suite.name}, scale ${suite.scale}`, suite.paper].filter(Boolean).join(". ")),
        h("nav", { class: "jump", "aria-label": "Parts of this suite" }, h("ul", null,
          scored && jump("h-board", "Board"), data.figures.length + data.undrawn.length > 0 && jump("h-figures", "Figures"),
          data.tables && jump("h-tables", "Tables"), jump("h-provenance", "Provenance")))),
      suite.notice ? h("p", { class: "notice" }, suite.notice) : null, facts_),
    scored ? boardPart() : h("p", { class: "soft" }, "Nothing is ranked in this suite: its results are in the tables."),
    h("section", { id: "figures" }),
    h("section", { id: "tables", class: data.rows.length > 2000 ? "large" : null }),
    h("section", { id: "provenance" }),
  ];
}

function goTo(id) {
  const place = $(id);
  if (!place) return;
  place.scrollIntoView({ block: "start" });
  place.focus({ preventScroll: true });
}

const heading = (id, text, ...more) => h("h2", { id, tabindex: "-1" }, text, more);

function boardPart() {
  return h("section", { "aria-labelledby": "h-board" },
    heading("h-board", "The board"),
    h("div", { id: "winners", class: "winners" }),
    filters(),
    h("p", { id: "count", class: "soft", role: "status", "aria-live": "polite" }),
    h("div", { id: "box", class: "scroll box", tabindex: "0", role: "region", "aria-label": "The board, a table" }),
    h("p", { id: "nothing", class: "soft", hidden: true }, "No row is left. Loosen a filter."),
    h("div", { id: "legend", class: "legend" }));
}

/* Who stands first in each setting, and who cannot be told from it. */
function cards() {
  const found = board.settings.map(card).filter(Boolean);
  $("winners").replaceChildren(...found);
  $("winners").classList.toggle("many", found.length > 4);
}

function card(at) {
  const setting = board.data.settings[at];
  const ranked = board.lines.map((line) => [line, scoreAt(line, at)]).filter(([, score]) => score && known(score.rank));
  ranked.sort((a, b) => a[1].rank - b[1].rank);
  if (!ranked.length) return null;
  const [[first, score]] = ranked;
  const tied = ranked.filter(([line, one]) => one.tie === 0 && line !== first).map(([line]) => line.name);
  const above = board.lines.map((line) => [line, scoreAt(line, at)])
    .filter(([line, one]) => line.origin === "baseline" && one && one.mean > score.mean).sort((a, b) => b[1].mean - a[1].mean);
  const free = first.paid.length ? ranked.find(([line]) => !line.paid.length) : undefined;
  const alike = tied.length > 3 ? `${tied.slice(0, 2).join(", ")} and ${tied.length - 2} more` : tied.join(", ");
  return h("article", { class: "card" },
    h("p", { class: "where" }, h("b", null, setting.corpus), ` ${[setting.task, ...telling(setting)].join(" · ")} · ${percent(fractionOf(setting))} labels`),
    h("p", { class: "who" }, h("span", { class: "big" }, points(score.mean)), h("span", null, h("b", null, first.name), h("small", null, span(score.low, score.high)))),
    h("p", { class: "paid" }, "paid for ", chips(first.paid)),
    h("p", { class: "soft" }, tied.length ? `† Not separable from it: ${alike}.` : ranked.length > 1 ? "Separable from every other strategy." : "The only ranked strategy."),
    above.length ? h("p", { class: "soft" }, `Above it, not ranked: ${above.map(([line, one]) => `${line.name} ${points(one.mean)}`).join(", ")}.`) : null,
    free ? h("p", { class: "soft" }, `Best that paid for nothing: ${free[0].name}, ${points(free[1].mean)} (rank ${free[1].rank}).`) : null);
}

const metricOf = (setting) => (setting.score || "score").replace(/ ×100$/, "");

/* What the marks mean, and what each column of scores is of. */
function described() {
  const metric = distinct(board.data.settings.map((one) => metricOf(one))).join(", ");
  const { resamples } = board.data.provenance;
  const drawn_ = resamples ? ` (${grouped(resamples)} bootstrap resamples)` : "";
  const key = `${metric} of the test part ×100, mean over seeds; small and as a bar: 95 % interval over test patients${drawn_}. Before it rank and tie group.`;
  const marks = [h("b", null, "best"), ", ", h("u", null, "second"), ", ", h("sup", { class: "dagger" }, "†"),
    " not separable from the best (paired bootstrap, Holm-corrected, and a gap beyond the largest that any two rows reach by chance), ", h("sup", null, "*"), " has a note. Only strategies are ranked. Intervals hold for these trained encoders: seed-to-seed differences are not in them. Paid for: what training reads beside the signal. A name opens its runs."];
  const about = board.settings.map((at) => {
    const s = board.data.settings[at];
    const classes = known(s.kept) && s.kept < s.total ? `, ${s.kept} of ${s.total} classes` : "";
    const units = known(s.units) && s.units > s.records ? `, ${grouped(s.units)} units` : "";
    const files = s.folder ? `; files: ${view.place}/${s.folder}/` : "";
    return h("li", null, h("b", null, titleOf(s)),
      `: ${s.title || s.corpus}; split ${s.split}; ${plural(s.records, "test record")}${units}${classes}; leads ${leadsOf(s)}; encoder ${s.encoder}; protocol ${short(s.protocol, 8)}${files}`);
  });
  const overall = board.data.overall.filter((one) => one.text).map((one) => h("li", null, h("b", null, "Overall"), `: ${one.blocks.join("; ")}. ${one.text}`));
  $("legend").replaceChildren(h("p", null, key, " ", marks), h("ul", null, about, board.settings.length > 1 ? overall : null));
}

/* Figures one after another, once the board stands. */
async function figures(data) {
  const { figures: all, undrawn } = data;
  if (!all.length && !undrawn.length) return;
  const places = all.map((one) => [one, h("img", { alt: one.caption || one.name, decoding: "async" })]);
  const shown = places.map(([one, image]) => h("figure", null, image, h("figcaption", null, one.caption)));
  $("figures").append(heading("h-figures", "Figures"), ...shown, undrawn.length ? h("ul", { class: "notes" }, undrawn.map((text) => h("li", null, text))) : "");
  for (const [one, image] of places) image.src = await unpackImage(one.chunk);
}

async function tables(data) {
  if (!data.tables) return;
  const found = await unpackJson(data.tables);
  if (data !== board.data) return;
  const shown = found.filter((one) => one.tables.length + one.details.length);
  if (shown.length) $("tables").append(heading("h-tables", "Tables"), ...shown.map((one) => sectionOf(one, data.rows.length > 0)));
}

/* Our own flat board is folded where the one above shows the same. */
function sectionOf(section, scored) {
  const folded = (table) => scored && table.name === "board";
  const open_ = section.tables.filter((one) => !folded(one));
  const closed = [...section.tables.filter(folded), ...section.details];
  return h("section", { class: "of" },
    h("h3", null, section.name, " ", badge(section.simulated), section.folder ? h("code", null, `${view.place}/${section.folder}/`) : null),
    open_.map(tableOf), closed.map(fold));
}

function fold(table) {
  const inside = h("details", null, h("summary", null, table.name === "board" ? "The board as one flat table" : table.heading || table.title || table.name));
  inside.addEventListener("toggle", () => inside.open && inside.children.length < 2 && inside.append(tableOf(table)));
  return inside;
}

const raised = (notes) => (notes.length ? h("sup", null, notes.join(",")) : null);

function tableOf(table) {
  const title = table.title || table.name;
  const left = (place) => (table.columns[place]?.left ? "left" : null);
  const cell = (one, place) => h("td", { class: left(place) },
    one.emphasis === "best" ? h("b", null, one.text) : one.emphasis === "second" ? h("u", null, one.text) : one.text,
    one.dagger ? h("sup", { class: "dagger", title: "not separable from the best" }, "†") : null, raised(one.notes));
  const bodies = table.blocks.map((block) => h("tbody", null,
    block.name ? h("tr", { class: "block" }, h("th", { colspan: table.columns.length || 1, scope: "rowgroup" }, h("span", null, block.name))) : null,
    block.rows.map((row) => h("tr", null, row.map(cell)))));
  const heads = table.columns.map((one) => h("th", { scope: "col", class: one.left ? "left" : null }, one.head, raised(one.notes)));
  return h("div", { class: "table" },
    h("p", { class: "caption" }, h("strong", null, title), " ", table.caption),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": title },
      h("table", { class: "flat" }, h("caption", { class: "unseen" }, title), h("thead", null, h("tr", null, heads)), bodies)),
    table.footnotes.length ? h("ol", { class: "notes" }, table.footnotes.map((text) => h("li", null, text))) : null);
}

function provenance(data) {
  const p = data.provenance;
  const versions = [["Python", p.python], ...Object.entries(p.packages)].filter(([, all]) => all.length).map(([name, all]) => `${name} ${all.join("/")}`);
  const status = Object.entries(p.evaluations).map(([name, count]) => `${grouped(count)} ${name}`).join(", ");
  const metrics = Object.entries(p.metric_versions).map(([name, version]) => `${name} ${version}`).join(", ");
  const changed = p.modified.includes(true) ? " (with uncommitted changes)" : "";
  $("provenance").append(heading("h-provenance", "Provenance"), facts([
    ["Code", (p.commit.join(", ") || "unknown") + changed],
    ["Cells", known(p.cells) ? `${plural(p.cells, "cell")}, ${seconds(p.compute_seconds)} of computing; keys ${short(p.keys, 16)}` : ""],
    ["Evaluations", status],
    ["Time", p.last_finished ? `${when(p.first_finished)} to ${when(p.last_finished)}` : ""],
    ["Machine", distinct([...p.cpu, ...p.device, ...p.accelerator]).join(", ")],
    ["Versions", versions.join(", ")],
    ["Statistics", [known(p.resamples) && plural(p.resamples, "resample"), metrics && `metrics version: ${metrics}`].filter(Boolean).join("; ")],
  ]), corpora(p.corpora));
}

function corpora(all) {
  if (!all.length) return null;
  const band = (one) => (one.band ? `pass band ${one.band.join(" to ")} Hz` : "no pass band");
  const told = (one) => [one.title, known(one.rate) && `${one.rate} Hz`, band(one), one.licence && `licence ${one.licence}`, one.fingerprint && `fingerprint ${short(one.fingerprint, 16)}`];
  return h("div", null, h("h3", null, "Corpora"), h("ul", { class: "corpora" }, all.map((one) => h("li", null, h("b", null, one.name), " ", badge(one.simulated), " ",
    told(one).filter(Boolean).join("; "), one.citation ? h("cite", null, one.citation) : null))));
}
