"use strict";

// What is on the page: see Column, Sound and page in sopilib/listen/page.py.
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const choosing = data.command !== "";
const COMPARED = { key: "preferred", label: "Preferred", help: "How often you liked it better in blind comparisons, in percent.",
  digits: 0, wish: "more", target: null, weight: 0 };
const columns = [...data.columns, COMPARED];
const ranked = columns.some((c) => c.weight > 0);
const sounds = data.sounds.map((sound, order) => ({ ...sound, order }));
const choice = sounds.filter((s) => !s.recorded);

// ---------------------------------------------------------------- what is remembered

// Some browsers forget, or refuse to remember, for a page that was opened from a file.
const place = "sopi " + data.id;
let state = { kept: [], ranking: {}, wins: {} };
try {
  state = { ...state, ...JSON.parse(localStorage.getItem(place) || "{}") };
} catch { /* it begins anew */ }
const kept = new Set(state.kept.filter((key) => choice.some((s) => s.key === key)));

function remember() {
  state.kept = [...kept];
  try {
    localStorage.setItem(place, JSON.stringify(state));
  } catch { /* it stays as long as the page is open */ }
}

// ---------------------------------------------------------------- figures and ranking

function figure(sound, column) {
  if (column !== COMPARED) return sound.figures[column.key] ?? null;
  const [won, compared] = state.wins[sound.key] || [0, 0];
  return compared ? (100 * won) / compared : null;
}

function setting(column) {
  return { wish: column.wish, target: column.target ?? median(column), weight: column.weight, ...state.ranking[column.key] };
}

function median(column) {
  const values = choice.map((s) => figure(s, column)).filter((v) => v !== null).sort((a, b) => a - b);
  return values.length ? values[values.length >> 1] : 0;
}

// How good a value is: the larger the better. What has no value is worst.
function goodness(value, { wish, target }) {
  if (value === null) return -Infinity;
  return wish === "near" ? -Math.abs(value - target) : wish === "less" ? -value : value;
}

// Of each sound, 0 to 1: the weighted mean of the share of sounds that it is at least as good as.
function rank() {
  const used = columns.filter((c) => setting(c).weight > 0 && setting(c).wish);
  const total = used.reduce((sum, c) => sum + setting(c).weight, 0);
  for (const sound of choice) sound.rank = total ? 0 : null;
  for (const column of used) {
    const how = setting(column);
    const all = choice.map((s) => goodness(figure(s, column), how));
    choice.forEach((sound, k) => {
      sound.rank += (how.weight / total) * (all.filter((g) => g <= all[k]).length / all.length);
    });
  }
}

// ---------------------------------------------------------------- the order of the rows

let sorted = data.sort || (ranked ? "rank" : "order");
let turned = false;

function sortValue(sound) {
  if (sorted === "order") return -sound.order;
  if (sorted === "rank") return sound.rank;
  if (sorted === "kept") return kept.has(sound.key) ? 1 : 0;
  return figure(sound, columns.find((c) => c.key === sorted));
}

// Recordings first, then by what is chosen; what has no value comes last, however it is turned.
function arrange() {
  rank();
  const down = turned ? -1 : 1;
  const rows = [...sounds].sort((a, b) => {
    if (a.recorded !== b.recorded) return a.recorded ? -1 : 1;
    const [x, y] = [sortValue(a), sortValue(b)];
    if ((x === null) !== (y === null)) return x === null ? 1 : -1;
    return down * ((y ?? 0) - (x ?? 0)) || a.order - b.order;
  });
  const focused = document.activeElement;
  for (const sound of rows) {
    sound.row.hidden = $("only").checked && !sound.recorded && !kept.has(sound.key);
    $("sounds").append(sound.row);
    showFigures(sound);
  }
  if (focused && focused !== document.activeElement) focused.focus({ preventScroll: true });
  for (const head of $("heads").children) {
    if (head.dataset.key === sorted) head.setAttribute("aria-sort", turned ? "ascending" : "descending");
    else head.removeAttribute("aria-sort");
    head.hidden = !shown(head.dataset.key);
  }
  $("sort").value = sorted;
  $("turn").setAttribute("aria-pressed", String(turned));
}

function shown(key) {
  if (key === "rank") return choice.some((s) => s.rank !== null);
  if (key === COMPARED.key) return Object.keys(state.wins).length > 0;
  return true;
}

function sortBy(key) {
  turned = sorted === key && !turned;
  sorted = key;
  arrange();
}

function showFigures(sound) {
  for (const cell of sound.row.querySelectorAll("td.figure")) {
    const column = columns.find((c) => c.key === cell.dataset.key);
    const value = column ? figure(sound, column) : sound.rank;
    cell.textContent = value === null || value === undefined ? "" : column ? value.toFixed(column.digits) : (100 * value).toFixed(0);
    cell.hidden = !shown(cell.dataset.key);
  }
  sound.row.classList.toggle("kept", kept.has(sound.key));
  const box = sound.row.querySelector("input");
  if (box) box.checked = kept.has(sound.key);
}

// ---------------------------------------------------------------- hearing

function time(seconds) {
  const s = Math.floor(seconds);
  return Math.floor(s / 60) + ":" + String(s % 60).padStart(2, "0");
}

// A player is made when it is needed first: a hundred of them would all ask for their files.
function player(sound) {
  if (sound.player) return sound.player;
  const audio = (sound.player = new Audio());
  audio.preload = "auto";
  audio.src = sound.link;
  audio.addEventListener("play", () => showPlaying(sound));
  audio.addEventListener("pause", () => showPlaying(sound));
  audio.addEventListener("ended", () => showPlaying(sound));
  audio.addEventListener("seeked", () => showPosition(sound));
  audio.addEventListener("error", () => {
    const { code, message } = audio.error;
    const missing = code === MediaError.MEDIA_ERR_SRC_NOT_SUPPORTED && !sound.link.startsWith("data:");
    const why = missing ? "is " + text(sound.link) + " still beside this page?" : message || "the browser doesn't say why";
    sound.row.querySelector(".wrong").textContent = "can't be played: " + why;
  });
  return audio;
}

// What is in an address, for people: a byte that is no text is the replacement character.
function text(address) {
  return new TextDecoder().decode(Uint8Array.from(unescape(address), (letter) => letter.charCodeAt(0)));
}

function playing(sound) {
  return Boolean(sound.player && !sound.player.paused && !sound.player.ended);
}

function silence(but) {
  for (const sound of sounds) if (sound !== but && sound.player) sound.player.pause();
}

function play(sound, volume = 1) {
  silence(sound);
  const audio = player(sound);
  audio.volume = volume;
  audio.play().catch(() => {}); // the error event has said it
}

function playOrPause(sound) {
  if (playing(sound)) sound.player.pause();
  else play(sound);
}

function seek(sound, seconds) {
  player(sound).currentTime = Math.max(0, Math.min(sound.seconds, seconds));
  showPosition(sound);
}

function showPlaying(sound) {
  const button = sound.row.querySelector("td.play button");
  button.textContent = playing(sound) ? "❚❚" : "▶";
  button.setAttribute("aria-label", (playing(sound) ? "Pause " : "Play ") + sound.name);
  showPosition(sound);
  if (playing(sound)) requestAnimationFrame(() => followed(sound));
}

function followed(sound) {
  showPosition(sound);
  if (playing(sound)) requestAnimationFrame(() => followed(sound));
}

function showPosition(sound) {
  const at = sound.player ? sound.player.currentTime : 0;
  const look = sound.row.querySelector(".look > div");
  look.querySelector("i").style.left = (100 * at) / sound.seconds + "%";
  look.querySelector("output").textContent = time(at) + " / " + time(sound.seconds);
  look.setAttribute("aria-valuenow", at.toFixed(1));
  look.setAttribute("aria-valuetext", time(at) + " of " + time(sound.seconds));
}

// ---------------------------------------------------------------- rows

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function look(sound) {
  const box = element("div", { role: "slider", tabindex: "-1", "aria-label": "Place in " + sound.name, "aria-valuemin": "0",
    "aria-valuemax": String(sound.seconds) });
  const image = element("img", { src: "data:image/png;base64," + sound.picture, alt: "", draggable: "false" });
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${Math.max(1, sound.levels.length - 1)} 80`);
  svg.setAttribute("preserveAspectRatio", "none");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", sound.levels.map((db, k) => (k ? "L" : "M") + k + " " + -db).join(""));
  svg.append(path);
  box.append(image, svg, element("i"), element("output"));
  const point = (event) => {
    const frame = box.getBoundingClientRect();
    seek(sound, ((event.clientX - frame.left) / frame.width) * sound.seconds);
  };
  box.addEventListener("pointerdown", (event) => {
    box.setPointerCapture(event.pointerId);
    point(event);
  });
  box.addEventListener("pointermove", (event) => {
    if (box.hasPointerCapture(event.pointerId)) point(event);
  });
  return box;
}

function row(sound) {
  const button = element("button", { type: "button", tabindex: "-1" });
  button.addEventListener("click", () => playOrPause(sound));
  const name = element("td", { class: "name" }, element("b", {}, sound.name), element("div", { class: "about" }, sound.about),
    element("div", { class: "wrong" }, sound.wrong.join(", ")));
  const made = element("tr", { tabindex: "-1", "data-key": sound.key, "aria-label": sound.name }, element("td", { class: "play" }, button),
    name, element("td", { class: "look" }, look(sound)));
  if (choosing) {
    const cell = element("td", { class: "keep" });
    if (!sound.recorded) {
      const box = element("input", { type: "checkbox", tabindex: "-1", "aria-label": "Keep " + sound.name });
      box.addEventListener("change", () => keep(sound, box.checked));
      cell.append(box);
    }
    made.children[1].after(cell);
  }
  for (const [key, label] of [["rank", "Rank"], ...columns.map((c) => [c.key, c.label])])
    made.append(element("td", { class: "figure", "data-key": key, "data-label": label }));
  if (sound.recorded) made.classList.add("recorded");
  made.addEventListener("focusin", () => select(sound));
  return made;
}

function heads() {
  const head = (key, label, help) => {
    const button = element("button", { type: "button", title: help }, label);
    button.addEventListener("click", () => sortBy(key));
    return element("th", { scope: "col", "data-key": key }, button);
  };
  const blank = () => element("th", {});
  $("heads").append(blank(), head("order", "Sound", "In the order in which they were made."));
  if (choosing) $("heads").append(head("kept", "Keep", "Those that you keep."));
  $("heads").append(blank(), head("rank", "Rank", "Out of 100, by the weights under Ranking."));
  $("heads").append(...columns.map((c) => head(c.key, c.label, c.help)));
  const names = [["order", "order of making"], ["rank", "rank"], ...(choosing ? [["kept", "keepers"]] : [])];
  for (const [key, label] of [...names, ...columns.map((c) => [c.key, c.label])]) $("sort").append(element("option", { value: key }, label));
  $("sort").addEventListener("change", () => {
    turned = false;
    sorted = $("sort").value;
    arrange();
  });
}

// ---------------------------------------------------------------- the ranking's settings

function weights() {
  $("weights").replaceChildren();
  for (const column of columns.filter((c) => c.wish)) {
    const now = setting(column);
    const wish = element("select", { "aria-label": column.label + ": what is better" });
    for (const word of ["more", "less", "near"]) wish.append(element("option", { value: word }, word));
    wish.value = now.wish;
    const target = element("input", { type: "number", step: "any", value: now.target.toFixed(column.digits + 1),
      "aria-label": column.label + ": near to" });
    const weight = element("input", { type: "range", min: "0", max: "5", step: "0.5", value: now.weight,
      "aria-label": column.label + ": weight" });
    target.style.visibility = now.wish === "near" ? "visible" : "hidden";
    const change = () => {
      const near = target.value === "" || target.value === now.target.toFixed(column.digits + 1) ? now.target : Number(target.value);
      state.ranking[column.key] = { wish: wish.value, target: near, weight: Number(weight.value) };
      target.style.visibility = wish.value === "near" ? "visible" : "hidden";
      remember();
      arrange();
    };
    for (const input of [wish, target, weight]) input.addEventListener("input", change);
    $("weights").append(element("div", { "data-key": column.key }, element("span", {}, column.label), wish, target, weight,
      element("small", {}, column.help)));
  }
}

// ---------------------------------------------------------------- keeping

function keep(sound, wanted) {
  if (!choosing || sound.recorded) return;
  if (wanted) kept.add(sound.key);
  else kept.delete(sound.key);
  remember();
  showFigures(sound);
  showKept();
}

function keys() {
  return choice.filter((s) => kept.has(s.key)).map((s) => s.key);
}

// Where this page lies, as a word for a shell.
function folder() {
  if (location.protocol !== "file:") return "FOLDER";
  const address = location.pathname.replace(/[^/]*$/, "").replace(/(.)\/$/, "$1").replace(/^\/(?=[A-Za-z]:)/, "");
  const path = text(address);
  if (path.includes("\ufffd")) return "$'" + address.replace(/['\\]/g, "\\$&").replace(/%(..)/g, "\\x$1") + "'"; // as names.for_shell
  return /^[\w@%+=:,./-]+$/.test(path) ? path : "'" + path.replaceAll("'", `'"'"'`) + "'";
}

function showKept() {
  $("kept").textContent = `${kept.size} of ${choice.length} kept`;
  $("command").value = kept.size ? data.command.replace("FOLDER", folder).replace("KEEP", () => keys().join(" ")) : "";
  $("copy").disabled = $("export").disabled = !kept.size;
}

function save() {
  const file = URL.createObjectURL(new Blob([keys().join("\n") + "\n"], { type: "text/plain" }));
  const link = element("a", { href: file, download: "keepers.txt" });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(file), 60000);
}

async function copy() {
  $("command").select();
  try {
    await navigator.clipboard.writeText($("command").value);
  } catch { // only pages with a server have a clipboard in some browsers
    document.execCommand("copy");
  }
}

// ---------------------------------------------------------------- comparing blind

let pair = [];
let chosen = true;

// Of those that were compared least, so that all have their turn.
function another() {
  silence();
  const pool = sounds.filter((s) => s.recorded || !$("only").checked || kept.has(s.key));
  const turn = new Map(pool.map((s) => [s, (state.wins[s.key] || [0, 0])[1] + 0.9 * Math.random()]));
  pair = [...pool].sort((a, b) => turn.get(a) - turn.get(b)).slice(0, 2);
  if (Math.random() < 0.5) pair.reverse();
  chosen = pair.length < 2;
  for (const section of $("test").querySelectorAll(".pair p")) section.textContent = "";
  $("answer").textContent = chosen ? "There are no two sounds to compare." : "";
  for (const sound of pair) seek(sound, 0);
  for (const button of $("test").querySelectorAll(".pair button")) button.disabled = chosen;
}

function hear(k) {
  if (pair.length < 2) return;
  const softest = Math.min(...pair.map((s) => s.rms_db));
  play(pair[k], Math.pow(10, (softest - pair[k].rms_db) / 20));
}

function choose(k) {
  if (chosen) return;
  chosen = true;
  pair.forEach((sound, which) => {
    const [won, compared] = state.wins[sound.key] || [0, 0];
    state.wins[sound.key] = [won + (which === k ? 1 : 0), compared + 1];
    $("test").querySelectorAll(".pair p")[which].textContent = sound.name + (sound.about ? ": " + sound.about : "");
  });
  $("answer").textContent = "You chose " + pair[k].name + ".";
  for (const button of $("test").querySelectorAll("[data-choose]")) button.disabled = true;
  remember();
  arrange();
}

function blind() {
  another();
  $("test").showModal();
}

// ---------------------------------------------------------------- keys

let selected = null;

function select(sound) {
  if (selected) selected.row.tabIndex = -1;
  selected = sound;
  sound.row.tabIndex = 0;
}

function move(by) {
  const rows = [...$("sounds").children].filter((r) => !r.hidden);
  const at = selected ? rows.indexOf(selected.row) : -1;
  const next = rows[Math.max(0, Math.min(rows.length - 1, document.activeElement.closest("tr") ? at + by : Math.max(0, at)))];
  if (next) next.focus();
}

function seekBy(seconds) {
  seek(selected, player(selected).currentTime + seconds);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const inside = event.target.closest("input:not([type=checkbox]), select, textarea");
  const pressed = event.target.closest("button, summary, input");
  if (inside || (pressed && (key === " " || key === "Enter"))) return;
  const done = $("test").open
    ? { 1: () => hear(0), 2: () => hear(1), a: () => choose(0), b: () => choose(1), n: another }[key]
    : { ArrowDown: () => move(1), ArrowUp: () => move(-1), b: blind, ...(selected && { " ": () => playOrPause(selected),
        ArrowLeft: () => seekBy(-5), ArrowRight: () => seekBy(5), k: () => keep(selected, !kept.has(selected.key)) }) }[key];
  if (!done) return;
  event.preventDefault();
  done();
});

// ---------------------------------------------------------------- the page

document.title = $("title").textContent = data.title;
$("about").textContent = data.about;
for (const part of document.querySelectorAll(".choosing")) part.hidden = !choosing;
heads();
for (const sound of sounds) {
  sound.row = row(sound);
  showPlaying(sound);
}
weights();
arrange();
showKept();
if (sounds.length) select(sounds.find((s) => s.row === $("sounds").firstElementChild));
$("ranking").hidden = !ranked;
$("turn").addEventListener("click", () => {
  turned = !turned;
  arrange();
});
$("only").addEventListener("change", arrange);
$("usual").addEventListener("click", () => {
  state.ranking = {};
  remember();
  weights();
  arrange();
});
$("copy").addEventListener("click", copy);
$("export").addEventListener("click", save);
$("blind").addEventListener("click", blind);
$("next").addEventListener("click", another);
$("leave").addEventListener("click", () => $("test").close());
$("test").addEventListener("close", () => silence());
for (const button of $("test").querySelectorAll("[data-play]")) button.addEventListener("click", () => hear(Number(button.dataset.play)));
for (const button of $("test").querySelectorAll("[data-choose]"))
  button.addEventListener("click", () => choose(Number(button.dataset.choose)));
