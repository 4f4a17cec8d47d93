// The page: what is on the map, which image is picked, and images of the user's own.
// The address keeps it (#item=12&x=0&y=1&colour=labels&sought=cat), but for a lasso, so that a reload or a bookmark finds
// it again.

import { array, blob, json, lines } from "./api.js";
import { palette } from "./colours.js";
import { CodeMap } from "./map.js";
import { Panel } from "./panel.js";

const byId = (id) => document.getElementById(id);
const MOST_LEGEND = 60;
const NUMBERS = new Set(["x", "y"]);
const state = { item: null, layout: "pca", x: 0, y: 1, colour: null, only: null, sought: "" };
let [atlas, early, groups, names, file, turn] = [null, null, null, null, null, 0];
let chosen = null; // rows that a search or a lasso left, in order; null for all

let noticed; // timer that hides the notice
const map = begin();
const panel = new Panel({
  image: imageOf,
  caption,
  pick: (key) => pick(key, { show: true }),
  hover: (key) => hover(key, key === null ? null : map.screen(key)),
  dreamt: (places) => state.layout === "pca" && map.mark({ path: [place, ...places].map(shown) }),
  fail: notice,
});
let place = null; // principal components of the picked image

function begin() {
  try {
    return new CodeMap(byId("canvas"), byId("overlay"), {
      over: (row, at) => hover(row, at),
      out: () => hover(null),
      pick: (row) => pick(String(row)),
      choose: (rows) => choose(within(rows), "in the lasso"),
      drawn: () => byId("lasso").setAttribute("aria-pressed", "false"),
    });
  } catch (error) {
    byId("loading").hidden = true;
    notice(new Error("the map needs WebGL, which this browser does not offer; allow it, or try another browser"));
    throw error;
  }
}

// Points that the server knows before it knows anything else; colours, images and names come later.
async function first() {
  const given = new URLSearchParams(location.hash.slice(1));
  if (given.get("layout") === "umap") return;
  const query = `x=${given.get("x") ?? 0}&y=${given.get("y") ?? 1}`;
  const response = await fetch(`/api/early?${query}`);
  if (response.status !== 200) return;
  const points = new Float32Array(await response.arrayBuffer());
  early = { query, points, fingerprint: response.headers.get("X-Fingerprint") };
  map.lay(points);
  await map.paint(null);
  performance.mark("first");
  document.documentElement.dataset.drawn = "first";
}

async function start() {
  try {
    await first().catch(() => {}); // what is wrong shows in the next answer
    await lines("/api/atlas", (line) => {
      if (line.progress) progress(line.progress);
      if (line.atlas) atlas = line.atlas;
    });
    document.title = `${atlas.run} · acn explorer`;
    byId("run").textContent = atlas.run;
    const { height, width, channels, levels } = atlas.shape;
    byId("about").textContent =
      `${atlas.count.toLocaleString("en")} images of ${atlas.title}, ${atlas.splits.length > 1 ? "all splits" : `${atlas.splits[0]} split`} · ${height} × ${width}` +
      `${channels === 3 ? " colour" : ""}, ${levels} levels · ${atlas.code_size} numbers each`;
    fill();
    read();
    await draw();
    byId("loading").hidden = true;
    performance.mark("drawn");
    document.documentElement.dataset.drawn = "yes";
    if (state.sought) await search(state.sought);
    if (state.item) await pick(state.item);
    addEventListener("hashchange", follow);
  } catch (error) {
    byId("loading").hidden = true;
    notice(error);
  }
}

function progress({ done, total }) {
  const bar = document.querySelector("#loading progress");
  if (done) {
    bar.value = done / total;
    byId("loading").firstElementChild.textContent =
      `Encoding images: ${done.toLocaleString("en")} of ${total.toLocaleString("en")}`;
  }
}

function fill() {
  const option = (value, text) => new Option(text, value);
  if (atlas.umap) byId("layout").append(option("umap", "UMAP"));
  for (const id of ["x", "y"])
    byId(id).append(...atlas.shares.map((share, at) => option(at, `PC ${at + 1} (${(100 * share).toFixed(0)} %)`)));
  if (atlas.labels) byId("colour").append(option("labels", "by label"));
  byId("colour").append(option("clusters", "by cluster"));
  if (atlas.splits.length > 1) byId("colour").append(option("splits", "by split"));
  byId("colour").append(option("none", "none"));
  byId("sought").placeholder = atlas.files ? "file name or number" : "number";
  for (const part of document.querySelectorAll(".daydream")) part.hidden = !atlas.daydreams;
  state.colour = byId("colour").value;
}

// The address into `state`, as far as it makes sense here.
function read() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const id of ["layout", "x", "y", "colour"]) {
    const value = given.get(id);
    if ([...byId(id).options].some((option) => option.value === value)) state[id] = NUMBERS.has(id) ? Number(value) : value;
    byId(id).value = state[id];
  }
  state.item = /^(\d{1,9}|drop-[0-9a-f]{16})$/.test(given.get("item") ?? "") ? given.get("item") : null;
  state.sought = given.get("sought") ?? "";
  byId("axes").hidden = state.layout !== "pca";
}

function write() {
  const { item, layout, x, y, colour, sought } = state;
  const axes = layout === "pca" ? { x, y } : {};
  const parts = { ...(item ? { item } : {}), layout, ...axes, colour, ...(sought ? { sought } : {}) };
  history.replaceState(null, "", `#${new URLSearchParams(parts)}`);
}

// Back, forward, or an address that was edited.
async function follow() {
  const before = { ...state };
  read();
  if (["layout", "x", "y", "colour"].some((id) => state[id] !== before[id])) await draw();
  if (state.sought !== before.sought) await (state.sought ? search(state.sought) : choose(null));
  if (state.item !== before.item) await (state.item ? pick(state.item) : unpick());
}

async function draw({ moving = false } = {}) {
  const mine = ++turn;
  const query = state.layout === "umap" ? "map=umap" : `x=${state.x}&y=${state.y}`;
  const version = `v=${atlas.fingerprint}`;
  const words = state.layout === "umap" ? "Computing UMAP; this takes a while" : "Working";
  const slow = setTimeout(() => mine === turn && busy(words), 400);
  try {
    const [points, found] = await Promise.all([
      early?.query === query && early.fingerprint === atlas.fingerprint
        ? early.points
        : array(`/api/points?${query}&${version}`, Float32Array),
      state.colour === "none" ? null : array(`/api/groups/${state.colour}?${version}`, Uint32Array),
    ]);
    if (mine !== turn) return;
    groups = found;
    names = !groups ? [] : { labels: atlas.labels, splits: atlas.splits }[state.colour] ?? clusterNames();
    map.lay(points);
    map.mark({ path: [], rings: [], here: null });
    await map.paint(groups, palette(names.length), { moving });
    await legend();
    mark();
  } finally {
    clearTimeout(slow);
    if (mine === turn) busy(null);
  }
}

const clusterNames = () => Array.from({ length: atlas.clusters }, (_, at) => `cluster ${at + 1}`);

async function legend() {
  const colours = palette(names.length);
  if (state.only !== null && state.only >= names.length) state.only = null;
  byId("legend").replaceChildren(
    ...names.slice(0, MOST_LEGEND).map((name, at) => {
      const button = document.createElement("button");
      const dot = document.createElement("span");
      dot.style.background = colours[at];
      button.type = "button";
      button.append(dot, name);
      button.ariaPressed = String(state.only === at);
      button.addEventListener("click", () => isolate(state.only === at ? null : at));
      return button;
    }),
  );
  if (names.length > MOST_LEGEND) byId("legend").append(`and ${names.length - MOST_LEGEND} more`);
  await isolate(state.only);
}

async function isolate(group) {
  state.only = group;
  [...byId("legend").querySelectorAll("button")].forEach((button, at) => (button.ariaPressed = String(at === group)));
  byId("legend").classList.toggle("isolated", group !== null);
  await map.only(shownRows());
}

// Rows that are not hidden by the legend, a search or a lasso; null for all.
function shownRows() {
  const { only } = state;
  if (only === null) return chosen;
  if (chosen) return chosen.filter((row) => groups[row] === only);
  const rows = [];
  groups.forEach((own, row) => own === only && rows.push(row));
  return rows;
}

function within(rows) {
  const shown = shownRows();
  const seen = shown && new Set(shown);
  return rows.filter((row) => !seen || seen.has(row)).sort((one, other) => one - other);
}

// Shows these rows alone, `why` in a few words; null shows all again.
async function choose(rows, why) {
  if (rows && !rows.length) return;
  chosen = rows;
  byId("chosen").hidden = !rows;
  if (rows) {
    const count = rows.length === 1 ? "1 image" : `${rows.length.toLocaleString("en")} images`;
    byId("chosen").firstElementChild.textContent = `${count} ${why}`;
  } else state.sought = byId("sought").value = "";
  write();
  await map.only(shownRows());
}

async function search(text) {
  byId("sought").value = text;
  try {
    if (/^\d+$/.test(text) && Number(text) < atlas.count) return await pick(String(Number(text)), { show: true });
    if (!atlas.files) throw new Error(`there is no image ${text}; there are 0 to ${atlas.count - 1}`);
    const rows = [...(await array(`/api/called?text=${encodeURIComponent(text)}`, Uint32Array))];
    if (!rows.length) throw new Error(`no file name has “${text}” in it`);
    state.sought = text;
    await choose(rows, `with “${text}” in their names`);
    return rows;
  } catch (error) {
    notice(error);
  }
}

async function save() {
  try {
    const path = `/api/table?clusters=${Number(state.colour === "clusters")}`;
    const rows = shownRows() ?? chosen;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await blob(path, { method: "POST", body: Uint32Array.from(rows) }));
    link.download = `${atlas.run}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  } catch (error) {
    notice(error);
  }
}

function imageOf(key) {
  return `/api/image/${atlas.fingerprint}/${key}.png`;
}

function caption(key) {
  if (String(key).startsWith("drop-")) return "Your image";
  return `Image ${key}${groups ? ` · ${names[groups[key]]}` : ""}`;
}

function hover(key, at) {
  const tip = byId("hover");
  tip.hidden = key === null || !at || !atlas;
  if (tip.hidden) return;
  tip.firstElementChild.src = imageOf(key);
  tip.lastElementChild.textContent = caption(key);
  const { clientWidth, clientHeight } = byId("map");
  tip.style.left = `${Math.min(Math.max(at[0], 0), clientWidth)}px`;
  tip.style.top = `${Math.min(Math.max(at[1], 0), clientHeight)}px`;
  tip.classList.toggle("leftward", at[0] > clientWidth / 2);
  tip.classList.toggle("upward", at[1] > clientHeight / 2);
}

async function pick(key, { show = false } = {}) {
  if (!atlas) return;
  try {
    const item = await panel.show(key);
    if (!item) return;
    state.item = key;
    place = item.place;
    panel.near = item.by_code.map(([row]) => row);
    write();
    map.mark({ path: [] });
    await mark();
    if (show && map.marks.here) map.show(map.marks.here);
  } catch (error) {
    if (error.name !== "AbortError") notice(error);
  }
}

function unpick() {
  panel.close();
  [state.item, place] = [null, null];
  map.mark({ path: [], rings: [], here: null });
  write();
}

// Shows on the map where the picked image is, and its nearest codes.
async function mark() {
  if (!place) return;
  const key = state.item;
  let here = shown(place);
  if (state.layout === "umap") here = (await json(`/api/item/${key}/umap`)).place;
  if (key === state.item) map.mark({ here, rings: panel.near.map((row) => map.at(row)) });
}

const shown = (components) => [components[state.x], components[state.y]];

async function land(image, { invert = false } = {}) {
  if (image.size > atlas.most_bytes)
    return notice(new Error(`the file has more than ${atlas.most_bytes >> 20} MiB; make the image smaller`));
  busy("Encoding your image");
  try {
    const { key } = await json(`/api/land?invert=${Number(invert)}`, { method: "POST", body: image });
    file = { image, invert };
    await pick(key, { show: true });
  } catch (error) {
    notice(error);
  } finally {
    busy(null);
  }
}

function busy(words) {
  byId("loading").hidden = !words;
  if (!words) return;
  byId("loading").firstElementChild.textContent = words;
  byId("loading").lastElementChild.removeAttribute("value");
}

function notice(error) {
  byId("notice").textContent = error.message;
  byId("notice").hidden = false;
  clearTimeout(noticed);
  noticed = setTimeout(() => (byId("notice").hidden = true), 8000);
}

function change(id, redraw = {}) {
  byId(id).addEventListener("change", () => {
    const { value } = byId(id);
    state[id] = NUMBERS.has(id) ? Number(value) : value;
    byId("axes").hidden = state.layout !== "pca";
    if (id === "colour") state.only = null;
    write();
    draw(redraw).catch(notice);
  });
}

function step(by) {
  const row = state.item === null || state.item.startsWith("drop-") ? null : Number(state.item);
  const rows = shownRows();
  let next = row === null ? 0 : row + by;
  if (rows) next = by > 0 ? rows.find((other) => row === null || other > row) : rows.findLast((other) => other < row);
  if (next >= 0 && next < atlas.count) pick(String(next), { show: true });
}

change("layout", { moving: true });
change("x", { moving: true });
change("y", { moving: true });
change("colour");
byId("go").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = byId("sought").value.trim();
  if (text) search(text).then((rows) => rows && pick(String(rows[0])));
  else choose(null);
});
byId("lasso").addEventListener("click", () => {
  const on = byId("lasso").ariaPressed !== "true";
  byId("lasso").ariaPressed = String(on);
  map.lasso(on);
});
byId("save").addEventListener("click", save);
byId("clear").addEventListener("click", () => choose(null));
byId("find").addEventListener("click", () => map.marks.here && map.show(map.marks.here));
byId("close").addEventListener("click", unpick);
byId("invert").addEventListener("click", () =>
  file ? land(file.image, { invert: !file.invert }) : notice(new Error("drop the image again to exchange its tones")));
byId("open").addEventListener("click", () => byId("file").click());
byId("file").addEventListener("change", () => {
  if (byId("file").files[0]) land(byId("file").files[0]);
  byId("file").value = "";
});
addEventListener("keydown", (event) => {
  if (!atlas || event.target.matches("input, select") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") unpick();
  else if (event.key === "n") step(1);
  else if (event.key === "p") step(-1);
});
addEventListener("paste", (event) => {
  const [image] = event.clipboardData.files;
  if (atlas && image) land(image);
});

let depth = 0; // of nested elements that a dragged file has entered
addEventListener("dragenter", (event) => {
  event.preventDefault();
  byId("drop").hidden = !(++depth > 0);
});
addEventListener("dragleave", () => (byId("drop").hidden = !(--depth > 0)));
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  depth = 0;
  byId("drop").hidden = true;
  const [image] = event.dataTransfer.files;
  if (atlas && image) land(image);
});

start();
