/* Ground of the page: elements, numbers as text, unpacking, the address. Values become text, never markup. */

const $ = (id) => document.getElementById(id);
const DASH = "–";
const TURNS = /[\u202a-\u202e\u2066-\u2069]/g; // they would turn the text around a value too
const EARLY = new Set([...document.querySelectorAll("script[type='text/plain']")].map((one) => one.id));
const PARSED = new Promise((done) => {
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", done);
  else done();
});

/* An element; attributes named on... are listeners, those that are null or false are left out. */
function h(tag, attributes, ...inside) {
  return dressed(document.createElement(tag), attributes, inside);
}

function drawn(tag, attributes, ...inside) {
  return dressed(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, inside);
}

function dressed(element, attributes, inside) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  for (const one of inside.flat(3)) if (one) element.append(typeof one === "string" ? one.replace(TURNS, "") : one);
  return element;
}

const known = (value) => typeof value === "number";
const points = (value) => (known(value) ? (100 * value).toFixed(1) : DASH);
const span = (low, high) => (known(low) && known(high) ? `${points(low)}–${points(high)}` : "");
const percent = (fraction) => `${Number((100 * fraction).toPrecision(6))}\u00a0%`;
const grouped = (value) => (known(value) ? Math.round(value).toLocaleString("en") : DASH);
const plural = (count, word) => `${grouped(count)} ${word}${count === 1 ? "" : "s"}`;
const letter = (tie) => (tie < 26 ? String.fromCharCode(97 + tie) : String(tie + 1));
const short = (text, length = 12) => (text ? text.slice(0, length) : DASH);
const distinct = (values) => [...new Set(values)];

function seconds(value) {
  if (!known(value)) return DASH;
  if (value >= 7200) return `${grouped(value / 3600)}\u00a0h`;
  return `${value < 100 ? value.toFixed(1) : grouped(value)}\u00a0s`;
}

function size(value, unit = "") {
  if (!known(value)) return DASH;
  const steps = [[1e18, "E"], [1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];
  const [by, name] = value < 1e4 ? [1, ""] : steps.find(([least]) => value >= least);
  const text = by === 1 ? grouped(value) : (value / by).toFixed(1);
  return name + unit ? `${text}\u00a0${name}${unit}` : text;
}

const memory = (mib) => (!known(mib) ? DASH : mib < 10240 ? `${grouped(mib)}\u00a0MiB` : `${(mib / 1024).toFixed(1)}\u00a0GiB`);
const when = (text) => (text ? text.replace("T", " ").replace(/(\.\d+)?(\+00:00|Z)$/, " UTC") : DASH);

/* Bytes of a chunk. What stands behind this script in the file may still be on its way. */
async function unpack(name) {
  if (!EARLY.has(name)) await PARSED;
  const packed = Uint8Array.from(atob($(name).textContent), (sign) => sign.charCodeAt(0));
  const plain = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(plain);
}

const unpackJson = async (name) => (await unpack(name)).json();

async function unpackImage(name) {
  const bytes = new Uint8Array(await (await unpack(name)).arrayBuffer());
  let signs = "";
  for (let at = 0; at < bytes.length; at += 8192) signs += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return `data:image/svg+xml;base64,${btoa(signs)}`;
}

/* What is looked at. All of it stands in the address, so that a view can be sent to somebody. */
const KEPT = ["fraction", "corpus", "task", "leads", "paid", "rows", "q", "sort"];
const view = { place: "", open: new Set(), ...Object.fromEntries(KEPT.map((name) => [name, ""])) };

function readAddress(hash) {
  const [path, ...rest] = hash.replace(/^#/, "").split("&");
  const told = new URLSearchParams(rest.join("&"));
  let place = path;
  try {
    place = decodeURIComponent(path);
  } catch {
    place = "";
  }
  return { place, open: new Set(told.getAll("open")), ...Object.fromEntries(KEPT.map((name) => [name, told.get(name) || ""])) };
}

function address() {
  const told = new URLSearchParams();
  for (const name of KEPT) if (view[name]) told.set(name, view[name]);
  for (const key of view.open) told.append("open", key);
  const path = view.place.split("/").map(encodeURIComponent).join("/");
  return `#${[path, told.toString()].filter(Boolean).join("&")}`;
}

function keepAddress() {
  try {
    history.replaceState(null, "", address());
  } catch {
    /* Some browsers let no file change its address too often; the view stands all the same. */
  }
}

/* Say something once nothing happens any more, so that it is read out in one piece. */
function announce(text) {
  const place = $("count");
  if (place && place.textContent !== text) place.textContent = text;
}
