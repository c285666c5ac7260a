// Asks the routes beside it, and shows what they say. Nothing of what they say is taken for markup.

const PACE = 2000;
const SAMPLES = 300;
const KEPT = "sea-orm-cache-token";

const at = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

let token = sessionStorage.getItem(KEPT) ?? "";
let namespace = "";
let samples = [];
let stored = null;
let timer = 0;

// ------------------------------------------------------------------------------------ asking

class Refused extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

async function ask(path, body) {
  const headers = {};
  if (token) headers.authorization = `Bearer ${token}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  const answer = await fetch(path, {
    method: body === undefined ? "GET" : "POST",
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
    cache: "no-store",
    credentials: "same-origin",
  });
  const text = await answer.text();
  const said = text ? JSON.parse(text) : {};
  if (!answer.ok) throw new Refused(answer.status, said.message ?? `The answer was ${answer.status}.`);
  return said;
}

// ----------------------------------------------------------------------------------- writing

const percent = (share) => (share === null || share === undefined ? "–" : `${(share * 100).toFixed(1)} %`);
// As it stands at the edge of a chart.
const atEdge = (share) => `${Math.round(share * 100)} %`;

function size(bytes) {
  if (bytes === null || bytes === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (bytes >= 1024 && unit < units.length - 1) {
    bytes /= 1024;
    unit += 1;
  }
  return `${bytes >= 100 || unit === 0 ? Math.round(bytes) : bytes.toFixed(1)} ${units[unit]}`;
}

function millis(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 1) return `${Math.round(ms * 1000)} µs`;
  return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

function put(id, text) {
  const place = at(id);
  if (place.textContent !== text) place.textContent = text;
}

function make(name, text, kind) {
  const element = document.createElement(name);
  if (text !== undefined) element.textContent = text;
  if (kind) element.className = kind;
  return element;
}

// Leaves alone what would be written as it is, so that a reader or a finger is not disturbed.
function redraw(place, known, draw) {
  const mark = JSON.stringify(known);
  if (place.dataset.mark === mark) return;
  place.dataset.mark = mark;
  place.replaceChildren(...draw());
}

function say(text) {
  put("said", text);
  clearTimeout(say.timer);
  say.timer = setTimeout(() => put("said", ""), 6000);
}

// ------------------------------------------------------------------------------------ charts

function since(last, now) {
  const reads = now.reads - last.reads;
  const asked = now.asked - last.asked;
  const seconds = (now.at - last.at) / 1000;
  // After a reset there is nothing to compare with.
  if (reads < 0 || asked < 0 || seconds <= 0) return null;
  return {
    at: now.at,
    rate: reads > 0 ? (now.hits - last.hits) / reads : null,
    latency: asked > 0 ? (now.millis - last.millis) / asked : null,
    reads: reads / seconds,
  };
}

function plot(id, key, top, write, edge = write) {
  const figure = at(id);
  const points = samples.filter((sample) => sample[key] !== null);
  const last = points.at(-1);
  const now = last ? write(last[key]) : "no reads yet";
  figure.querySelector("[data-now]").textContent = now;
  const high = top ?? niceTop(Math.max(0, ...points.map((point) => point[key])));
  figure.querySelector("[data-high]").textContent = edge(high);
  figure.querySelector("[data-low]").textContent = edge(0);
  const first = samples[0]?.at ?? Date.now();
  const until = samples.at(-1)?.at ?? first;
  const minutes = Math.max(1, Math.round((until - first) / 60000));
  figure.querySelector("[data-span]").textContent =
    samples.length < 2 ? "Since this page was opened" : `Last ${minutes === 1 ? "minute" : `${minutes} minutes`}`;
  const svg = figure.querySelector("svg");
  svg.setAttribute("aria-label", `${figure.querySelector("h2").textContent} over time; now ${now}`);
  const shapes = [0, 50, 100].map((y) => shape("line", { x1: 0, x2: 300, y1: y, y2: y, class: "grid" }));
  if (points.length > 1) {
    const x = (point) => (300 * (point.at - first)) / Math.max(1, until - first);
    const y = (point) => 100 - 100 * Math.min(1, point[key] / (high || 1));
    const line = points.map((point) => `${x(point).toFixed(1)},${y(point).toFixed(1)}`).join(" ");
    const area = `${x(points[0]).toFixed(1)},100 ${line} ${x(last).toFixed(1)},100`;
    shapes.unshift(shape("polygon", { points: area, class: "area" }));
    shapes.push(shape("polyline", { points: line, class: "line" }));
  }
  svg.replaceChildren(...shapes);
}

function shape(name, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [attribute, value] of Object.entries(attributes)) element.setAttribute(attribute, value);
  return element;
}

function niceTop(value) {
  const step = 10 ** Math.floor(Math.log10(value || 1));
  return [1, 2, 5, 10].map((factor) => factor * step).find((top) => top >= value) ?? value;
}

// ------------------------------------------------------------------------------------ status

const WORDS = { healthy: "Healthy", degraded: "Degraded", unhealthy: "Store unreachable" };

function show(status) {
  namespace = status.namespace;
  const { health, total, store_time: time, server, purges } = status;
  put("namespace", namespace);
  put("health-word", WORDS[health.status] ?? health.status);
  at("health").className = `pill ${health.status}`;
  at("health").hidden = false;
  const version = server.version ? ` ${server.version}` : "";
  put("store", health.store === "memory" ? "in this process" : `${health.store}${version}`);

  const now = { at: Date.now(), reads: total.reads, hits: total.hits, asked: time.read.count, millis: time.read.total_ms };
  // What was asked for in between, after a button, is too short a time to say anything.
  if (!show.last || now.at - show.last.at >= PACE / 2) {
    show.step = show.last ? since(show.last, now) : null;
    show.last = now;
    if (show.step) samples = [...samples, show.step].slice(-SAMPLES);
  }

  put("tile-rate", percent(total.hit_rate));
  put("tile-rate-more", `${short.format(total.hits)} of ${short.format(total.reads)} reads`);
  put("tile-reads", show.step ? short.format(show.step.reads) : "–");
  put("tile-reads-more", `${short.format(total.near)} hits from memory`);
  put("tile-latency", millis(time.read.mean_ms));
  put("tile-latency-more", `99 of 100 within ${millis(time.read.p99_ms)}`);
  put("tile-memory", size(server.memory_bytes));
  const limit = server.memory_limit;
  put("tile-memory-more", limit ? `${percent(server.memory_bytes / limit)} of ${size(limit)}` : "no limit known");
  put("tile-waiting", whole.format(purges.waiting_tags));
  put("tile-waiting-more", `${short.format(purges.by_writes + purges.by_hand)} purges so far`);

  plot("chart-rate", "rate", 1, percent, atEdge);
  plot("chart-latency", "latency", null, millis);
  showAdvice(status.advice);
  showTables(status.tables);
  at("warm-up").hidden = !status.can_warm_up;
}

function showAdvice(advice) {
  at("no-advice").hidden = advice.length > 0;
  redraw(at("advice"), advice, () =>
    advice.map((one) => {
      const item = make("li", undefined, one.severity);
      const word = make("span", `${one.severity[0].toUpperCase()}${one.severity.slice(1)} `, "word");
      const what = make("p");
      what.append(word, make("b", one.what));
      item.append(what, make("p", one.why, "quiet"), make("p", one.do_this));
      return item;
    }),
  );
}

const COLUMNS = ["Reads", "Misses", "Bypasses", "Writes", "Stored"];
const rows = new Map();

// Rows stay where they are while their numbers change: a button under a finger must not move.
function rowOf(name) {
  const known = rows.get(name);
  if (known) return known;
  const row = make("tr");
  row.setAttribute("role", "row");
  row.dataset.table = name;
  const head = make("th", name === "(own)" ? "own entries" : name);
  head.scope = "row";
  head.setAttribute("role", "rowheader");
  const cell = (label, kind) => {
    const element = make("td", undefined, kind);
    element.setAttribute("role", "cell");
    element.dataset.label = label;
    return element;
  };
  const rate = cell("Hit rate", "rate");
  const bar = make("span", undefined, "bar");
  bar.setAttribute("aria-hidden", "true");
  const filled = make("i");
  bar.append(filled);
  const rateText = make("span");
  rate.append(bar, rateText);
  const numbers = COLUMNS.map((label) => cell(label, "number"));
  numbers[4].classList.add("stored");
  const act = cell("", "act");
  if (!name.startsWith("(")) {
    const button = make("button", "Invalidate", "small");
    button.type = "button";
    button.setAttribute("aria-label", `Invalidate ${name}`);
    button.addEventListener("click", () => invalidateTable(name));
    act.append(button);
  }
  row.append(head, rate, ...numbers, act);
  const parts = { row, filled, rateText, numbers };
  rows.set(name, parts);
  return parts;
}

function showTables(tables) {
  at("no-tables").hidden = tables.length > 0;
  const body = at("tables");
  for (const counts of tables) {
    const { row, filled, rateText, numbers } = rowOf(counts.table);
    filled.style.width = `${(counts.hit_rate ?? 0) * 100}%`;
    rateText.textContent = percent(counts.hit_rate);
    const there = stored?.get(counts.table) ?? 0;
    const texts = [counts.reads, counts.misses, counts.bypasses, counts.writes].map((count) => whole.format(count));
    [...texts, stored ? whole.format(there) : "–"].forEach((text, index) => {
      if (numbers[index].textContent !== text) numbers[index].textContent = text;
    });
    if (!row.isConnected) body.append(row);
  }
  for (const [name, { row }] of rows) {
    if (!tables.some((counts) => counts.table === name)) {
      row.remove();
      rows.delete(name);
    }
  }
}

function showPurges({ purges }) {
  at("no-purges").hidden = purges.length > 0;
  at("purges").hidden = purges.length === 0;
  redraw(at("purges"), purges, () =>
    purges.map((purge) => {
      const item = make("li");
      const when = new Date(purge.at);
      const time = make("time", when.toLocaleTimeString("en-GB"), "quiet");
      time.dateTime = when.toISOString();
      const by = purge.reason === "write" ? "write" : "by hand";
      item.append(time, make("span", what(purge)), make("span", purge.queued ? `${by}, queued` : by, "quiet"));
      return item;
    }),
  );
}

function what(purge) {
  if (purge.everything) return "everything";
  const parts = purge.tables.map(({ table, scope, rows }) => {
    if (scope === "rows") return `${table}: ${rows} ${rows === 1 ? "row" : "rows"}`;
    return scope === "lists" ? `${table}: lists` : `${table}: all of it`;
  });
  if (purge.more_tables) parts.push(`${purge.more_tables} more tables`);
  if (purge.tags) parts.push(`${purge.tags} ${purge.tags === 1 ? "tag" : "tags"}`);
  return parts.join(", ");
}

function showWarmUp(progress) {
  const loaders = Object.entries(progress.loaders);
  const entries = loaders.reduce((sum, [, loader]) => sum + loader.entries, 0);
  const failed = loaders.filter(([, loader]) => loader.failed).map(([name]) => name);
  at("warm-up").disabled = progress.running;
  if (progress.running) return put("warm-up-state", `Warming up: ${whole.format(entries)} entries so far.`);
  if (progress.skipped) return put("warm-up-state", `Warm-up skipped: ${progress.skipped}.`);
  if (progress.took_ms === null) return put("warm-up-state", "");
  const trouble = failed.length ? ` Failed: ${failed.join(", ")}.` : "";
  put("warm-up-state", `Warmed up: ${whole.format(entries)} entries in ${millis(progress.took_ms)}.${trouble}`);
}

// ------------------------------------------------------------------------------------ acting

// Resolves to true if the operator says yes; to a name, if one had to be typed.
function confirmed({ title, text, yes, name }) {
  const dialog = at("ask");
  put("ask-title", title);
  put("ask-text", text);
  put("ask-yes", yes);
  at("ask-confirm").hidden = !name;
  put("ask-label", name ? `Type ${name} to confirm` : "");
  const input = at("ask-name");
  input.value = "";
  at("ask-yes").disabled = Boolean(name);
  return new Promise((resolve) => {
    const over = new AbortController();
    const on = (place, event, work) => place.addEventListener(event, work, { signal: over.signal });
    const end = (answer) => {
      over.abort();
      if (dialog.open) dialog.close();
      resolve(answer);
    };
    on(input, "input", () => {
      at("ask-yes").disabled = input.value !== name;
    });
    on(input, "keydown", (event) => {
      if (event.key === "Enter" && input.value === name) end(true);
    });
    on(at("ask-yes"), "click", () => end(true));
    on(at("ask-no"), "click", () => end(false));
    on(dialog, "close", () => end(false));
    dialog.showModal();
    (name ? input : at("ask-no")).focus();
  });
}

async function act(question, request, done) {
  if (!(await confirmed(question))) return;
  try {
    const answer = await request();
    say(answer.delivered === false ? `${done(answer)} The store is away: it is queued.` : done(answer));
    if (stored) await count();
  } catch (error) {
    failed(error);
  }
  await refresh();
}

const dropped = (answer) => (answer.dropped === undefined ? "" : ` ${whole.format(answer.dropped)} entries dropped.`);

function invalidateTable(table) {
  const question = {
    title: `Invalidate ${table}?`,
    text: "Everything that was read from it becomes a miss, in all processes, and its entries are dropped.",
    yes: "Invalidate",
  };
  const request = () => ask("invalidate", { scope: "table", table, drop: true });
  return act(question, request, (answer) => `${table} was invalidated.${dropped(answer)}`);
}

async function count() {
  at("count").disabled = true;
  try {
    const { tables } = await ask("entries");
    stored = new Map(tables.map(({ table, rows, answers }) => [table, rows + answers]));
  } finally {
    at("count").disabled = false;
  }
}

function key(text) {
  const part = (one) => (/^-?\d{1,15}$/.test(one.trim()) ? Number(one) : one.trim());
  return text.includes(",") ? text.split(",").map(part) : part(text);
}

const LABELS = { tag: "Tag", row: "Primary key", group: "Group", pattern: "Pattern, such as row:book:*" };

at("scope").addEventListener("change", () => {
  const scope = at("scope").value;
  put("name-label", LABELS[scope]);
  at("table-field").hidden = scope !== "row";
  at("row-table").required = scope === "row";
});

at("one-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const scope = at("scope").value;
  const name = at("name").value;
  const body = {
    tag: { scope, tag: name },
    group: { scope, group: name },
    row: { scope, table: at("row-table").value, key: key(name) },
    pattern: { scope, pattern: name, confirm: namespace },
  }[scope];
  const whatItIs = scope === "row" ? `row ${name} of ${at("row-table").value}` : `${scope} ${name}`;
  const question = {
    title: `Invalidate ${whatItIs}?`,
    text: "What depends on it becomes a miss, and is read from the database the next time.",
    yes: "Invalidate",
    name: scope === "pattern" ? namespace : undefined,
  };
  act(question, () => ask("invalidate", body), (answer) => `Invalidated.${dropped(answer)}`);
});

at("clear").addEventListener("click", () => {
  const question = {
    title: "Invalidate everything?",
    text: "Every entry of the namespace becomes a miss, in all processes. The database gets all reads until they are back.",
    yes: "Invalidate everything",
    name: namespace,
  };
  act(question, () => ask("invalidate", { scope: "all", confirm: namespace }), () => "Everything was invalidated.");
});

at("reset").addEventListener("click", () => {
  const question = {
    title: "Reset statistics?",
    text: "The counters of this process begin at zero. Entries stay.",
    yes: "Reset",
  };
  act(question, () => ask("reset-stats", {}), () => "Statistics were reset.");
});

at("warm-up").addEventListener("click", () => {
  const question = {
    title: "Warm up?",
    text: "What the entities declare, and what the application registered, is read from the database and stored.",
    yes: "Warm up",
  };
  act(question, () => ask("warm-up", {}), () => "Warm-up started.");
});

at("count").addEventListener("click", () => count().then(refresh).catch(failed));

// ----------------------------------------------------------------------------------- running

function failed(error) {
  if (error instanceof Refused && error.code === 401) return signIn(token ? "That is not the token." : "");
  say(error instanceof Refused ? error.message : "The application does not answer.");
}

function signIn(why) {
  token = "";
  sessionStorage.removeItem(KEPT);
  put("token-error", why);
  at("board").hidden = true;
  at("leave").hidden = true;
  at("sign-in").hidden = false;
  at("token").focus();
}

async function refresh() {
  clearTimeout(timer);
  try {
    // One after the other: without the token, one refusal is enough.
    const status = await ask("status");
    const purges = await ask("purges");
    at("sign-in").hidden = true;
    at("board").hidden = false;
    at("leave").hidden = !token;
    at("trouble").hidden = true;
    show(status);
    showPurges(purges);
    if (status.can_warm_up) showWarmUp(await ask("warm-up"));
  } catch (error) {
    if (error instanceof Refused && error.code === 401) return signIn(token ? "That is not the token." : "");
    const trouble = at("trouble");
    at("board").hidden = false;
    trouble.hidden = false;
    const text = error instanceof Refused ? error.message : "The application does not answer. Trying again.";
    if (trouble.textContent !== text) trouble.textContent = text;
  }
  // Nobody is looking: nobody is asked.
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(refresh, PACE);
}

at("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token = at("token").value.trim();
  at("token").value = "";
  sessionStorage.setItem(KEPT, token);
  refresh();
});

at("leave").addEventListener("click", () => {
  clearTimeout(timer);
  signIn("");
});

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && at("sign-in").hidden) refresh();
});

refresh();
