/* Opens the suite that the address names, and keeps the page's own switches. */

const suites = JSON.parse(atob($("index").textContent));

async function route() {
  if (location.hash && location.hash === address()) return;
  const told = readAddress(location.hash);
  if (location.hash && view.place && !suites.some((one) => one.place === told.place)) return;
  const chosen = suites.find((one) => one.place === told.place) || suites[0];
  if (!chosen) return;
  const again = chosen.place === view.place;
  Object.assign(view, told, { place: chosen.place });
  for (const link of document.querySelectorAll("#suites a")) {
    if (link.dataset.place === chosen.place) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (again && board.data.rows.length) {
    for (const line of board.lines) line.opened = null;
    document.querySelector(".filters").replaceWith(filters());
    build();
  } else if (!again) await enter(chosen);
}

async function enter(chosen) {
  const data = { ...(await unpackJson(chosen.view)), tables: chosen.sections };
  if (view.place !== chosen.place) return;
  const lines = linesOf(data);
  Object.assign(board, { data, lines });
  $("main").replaceChildren(...skeleton(data));
  if (lines.length) {
    build();
    fit();
  }
  performance.mark("board");
  document.documentElement.dataset.board = chosen.place;
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  if (data !== board.data) return;
  provenance(data);
  await Promise.all([tables(data), figures(data)]);
  if (data === board.data) document.documentElement.dataset.whole = chosen.place;
}

/* Opened rows are as wide as what is seen of the table. */
const watch = new ResizeObserver(() => fit());

function fit() {
  const box = $("box");
  if (!box) return;
  watch.disconnect();
  box.style.setProperty("--seen", `${box.clientWidth}px`);
  watch.observe(box);
}

/* The system's choice of light or dark until the button is pressed; kept as long as the page is open. */
const dark = matchMedia("(prefers-color-scheme: dark)");
const root = document.documentElement;

function themed() {
  const now = (root.dataset.theme || (dark.matches ? "dark" : "light")) === "dark";
  $("theme").setAttribute("aria-pressed", String(now));
}

$("theme").addEventListener("click", () => {
  root.dataset.theme = $("theme").getAttribute("aria-pressed") === "true" ? "light" : "dark";
  themed();
});
dark.addEventListener("change", themed);
themed();

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  $("main").focus();
});

if (typeof DecompressionStream === "undefined") {
  $("main").append(h("p", { class: "notice" }, "This browser cannot unpack the board. The same tables lie beside this file, as CSV, Markdown and LaTeX."));
} else {
  addEventListener("beforeprint", fillAll);
  addEventListener("hashchange", route);
  route();
}
