"use strict";
// Draws what a selection changes. Data: analysis/output/report_data.py. All text goes through textContent.
const data = JSON.parse(document.getElementById("data").textContent);
const variants = data.variants;
const place = new Map(variants.map((variant, index) => [variant.name, index]));
const state = { variant: 0, split: "val", quantity: null, all: false };
const FIRST = 12;  // rows of a long figure before it is opened

const byId = id => document.getElementById(id);

function make(kind, tag, attributes, children) {
  const node = kind ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) if (value != null) node.setAttribute(name, value);
  node.append(...children.filter(child => child != null));
  return node;
}
const html = (tag, attributes, ...children) => make(false, tag, attributes, children);
const svg = (tag, attributes, ...children) => make(true, tag, attributes, children);

// ---- numbers and scales

function ticks(low, high, count) {
  if (!(high > low)) return [low];
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map(factor => factor * power).find(size => size >= raw);
  const result = [];
  for (let n = Math.ceil(low / step); n * step <= high + step * 1e-9; n++) result.push(n * step);
  return result;
}

function logTicks(low, high) {
  const result = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++)
    for (const factor of [1, 2, 3, 5, 7]) result.push(factor * 10 ** power);
  const inside = result.filter(value => value >= low && value <= high);
  return inside.length > 7 ? inside.filter(value => /^0*\.?0*1/.test(String(Number(value.toPrecision(3))))) : inside;
}

const shortNumber = value => String(Number(value.toPrecision(3))).replace("-", "−");
const percent = value => (value > 0 ? "+" : "") + shortNumber(100 * value) + " %";

function extent(values) {
  const finite = values.filter(Number.isFinite);
  return finite.length ? [Math.min(...finite), Math.max(...finite)] : [0, 1];
}

// ---- selection: one variant everywhere, kept in the address

function select(index, focus) {
  state.variant = index;
  remember();
  redraw();
  if (focus) byId("forest").querySelector(`[data-variant="${index}"] button`)?.focus();
}

function remember() {
  const words = new URLSearchParams({ variant: variants[state.variant].name, split: state.split });
  history.replaceState(null, "", "#" + words);
}

function recall() {
  const words = new URLSearchParams(location.hash.slice(1));
  state.variant = place.get(words.get("variant")) ?? place.get(data.choice) ?? 0;
  if (words.get("split") === "test" && variants.some(variant => variant.against.test)) state.split = "test";
}

// ---- figure 1: difference to the baseline

function shownRows() {
  const all = variants.map((_, index) => index).filter(index => variants[index].rank || variants[index].against.val);
  if (state.all || all.length <= FIRST + 4) return all;
  const needed = new Set([place.get(data.reference), place.get(data.choice), state.variant]);
  return all.filter((index, row) => row < FIRST || needed.has(index));
}

function forestRange() {
  const reach = [data.within * 1.4];
  for (const index of shownRows()) {
    const found = variants[index].against[state.split];
    if (found) reach.push(...[found.mean, found.low ?? 0, found.high ?? 0, ...found.seeds].map(Math.abs));
  }
  reach.sort((a, b) => a - b);
  const usual = reach[Math.floor(0.9 * (reach.length - 1))];  // a few that failed do not flatten all others
  return 1.08 * Math.min(reach.at(-1), 3 * usual);
}

function forest() {
  const range = forestRange(), at = value => 50 + 50 * Math.max(-1, Math.min(1, value / range)) + "%";
  const marks = ticks(-range, range, 6);
  const backdrop = () => [
    svg("rect", { x: at(-data.within), width: 50 * Math.min(2, 2 * data.within / range) + "%", y: 0, height: 26, class: "band" }),
    ...marks.map(value => svg("line", { x1: at(value), x2: at(value), y1: 0, y2: 26, class: value === 0 ? "zero" : "grid" })),
  ];
  const better = data.mode === "min" ? "← better" : "← worse", worse = data.mode === "min" ? "worse →" : "better →";
  const top = html("thead", {}, html("tr", {}, html("th", { scope: "col" }, "variant"),
    html("td", { class: "plot" }, svg("svg", { height: 20, role: "presentation" },
      svg("text", { x: 0, y: 14, class: "quiet" }, better),
      svg("text", { x: "50%", y: 14, "text-anchor": "middle", class: "quiet wide" }, `equal: ± ${shortNumber(100 * data.within)} %`),
      svg("text", { x: "100%", y: 14, "text-anchor": "end", class: "quiet" }, worse))),
    html("th", { scope: "col", class: "text" }, "difference [95 % interval]"),
    html("th", { scope: "col", class: "number" }, (state.split === "val" ? data.metric : data.test_metric) + (data.unit ? ` ${data.unit}` : ""))));
  const rows = shownRows().map(index => forestRow(index, at, backdrop()));
  const axis = html("tr", {}, html("td", {}), html("td", { class: "plot" }, svg("svg", { height: 20, role: "presentation" },
    ...marks.map(value => svg("text", { x: at(value), y: 15, "text-anchor": "middle", class: "quiet" }, percent(value))))));
  byId("forest").replaceChildren(html("table", { class: "forest", "aria-label": "Differences" }, top, html("tbody", {}, ...rows, axis)));
  const count = variants.filter(variant => variant.rank).length;
  byId("more").hidden = count <= FIRST + 4;
  byId("more").textContent = state.all ? "show fewer" : `show all ${count}`;
}

function forestRow(index, at, backdrop) {
  const variant = variants[index], found = variant.against[state.split], isReference = variant.name === data.reference;
  const parts = [...backdrop];
  if (isReference) parts.push(svg("text", { x: "50%", y: 18, "text-anchor": "middle" }, "◆"));
  let side = "";
  if (found) {
    if (found.low != null) {
      side = found.low > 0 ? "more" : found.high < 0 ? "less" : "";
      parts.push(svg("line", { x1: at(found.low), x2: at(found.high), y1: 13, y2: 13, class: "interval" }));
    }
    for (const seed of found.seeds.length > 1 ? found.seeds : []) parts.push(svg("circle", { cx: at(seed), cy: 13, r: 2.6, class: "ring" }));
    parts.push(svg("circle", { cx: at(found.mean), cy: 13, r: 5.5, class: "mean" }));
  }
  const good = data.mode === "min" ? "less" : "more";
  const classes = [side && (side === good ? "better" : "worse"), index === state.variant && "on", variant.name === data.choice && "chosen"];
  const blocked = variant.findings.some(finding => finding.level === "blocking");
  const mark = variant.name === data.choice ? "★ " : blocked ? "■ " : "";
  const text = isReference ? (data.is_baseline ? "baseline" : "the best") : found ? found.text : "not comparable";
  const row = html("tr", { "data-variant": index, class: classes.filter(Boolean).join(" ") },
    html("th", { scope: "row" }, html("button", { type: "button", "aria-pressed": index === state.variant }, mark + variant.name)),
    html("td", { class: "plot" }, svg("svg", { height: 26, role: "img", "aria-label": text }, ...parts)),
    html("td", { class: "text" }, text), html("td", { class: "number" }, variant.short[state.split]));
  row.addEventListener("click", () => select(index, true));
  return row;
}

// ---- lines by epoch

function chart(box, lines, options) {
  const width = Math.max(220, box.clientWidth), height = options.height ?? 280, right = options.labels ? 134 : 12;
  const margin = { left: 48, top: 8, bottom: 34 };
  const xs = lines.flatMap(line => line.points.map(point => point[0])), ys = lines.flatMap(line => line.points.map(point => point[1]));
  const log = options.log && Math.min(...ys) > 0;
  let [low, high] = extent([...ys, ...(options.band ?? []).filter(value => !log || value > 0)]);
  if (low === high) [low, high] = [low - 0.5 * Math.abs(low || 1), high + 0.5 * Math.abs(high || 1)];
  const [first, last] = extent(xs), scale = log ? Math.log : value => value;
  const x = epoch => margin.left + (width - margin.left - right) * (last > first ? (epoch - first) / (last - first) : 0.5);
  const y = value => margin.top + (height - margin.top - margin.bottom) * (1 - (scale(value) - scale(low)) / (scale(high) - scale(low)));
  const parts = (log ? logTicks(low, high) : ticks(low, high, 5)).flatMap(value => [
    svg("line", { x1: margin.left, x2: width - right, y1: y(value), y2: y(value), class: "grid" }),
    svg("text", { x: margin.left - 6, y: y(value) + 4, "text-anchor": "end", class: "quiet" }, shortNumber(value))]);
  if (options.band) {
    const [upper, lower] = [Math.min(high, options.band[1]), Math.max(low, options.band[0])];
    parts.push(svg("rect", { x: margin.left, width: width - margin.left - right, y: y(upper), height: Math.max(0, y(lower) - y(upper)), class: "band" }));
  }
  for (const value of ticks(first, last, Math.max(2, width / 110)).filter(Number.isInteger))
    parts.push(svg("text", { x: x(value), y: height - 18, "text-anchor": "middle", class: "quiet" }, shortNumber(value)));
  parts.push(svg("text", { x: (margin.left + width - right) / 2, y: height - 3, "text-anchor": "middle", class: "quiet" }, "epoch"));
  const labelled = [];
  for (const line of lines) {
    const path = line.points.map(([epoch, value], step) => `${step ? "L" : "M"}${x(epoch).toFixed(1)} ${y(value).toFixed(1)}`).join("");
    parts.push(line.points.length > 1 ? svg("path", { d: path, class: `line ${line.kind}` })
      : svg("circle", { cx: x(line.points[0][0]), cy: y(line.points[0][1]), r: 3, class: `line ${line.kind}` }));
    if (line.label && options.labels) labelled.push([y(line.points.at(-1)[1]), line]);
  }
  labelled.sort((one, two) => one[0] - two[0]);
  let lowest = 0;
  for (const [wanted, line] of labelled) {
    lowest = Math.max(wanted + 4, lowest + 14);
    const name = line.label.length > 17 ? line.label.slice(0, 9) + "…" + line.label.slice(-7) : line.label;
    parts.push(svg("text", { x: width - right + 6, y: lowest }, name));
  }
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": options.title }, ...parts);
  drawing.addEventListener("click", event => {
    const spot = drawing.getBoundingClientRect(), factor = width / spot.width;
    const [px, py] = [(event.clientX - spot.left) * factor, (event.clientY - spot.top) * factor];
    let nearest = [Infinity, null];
    for (const line of lines) for (const [epoch, value] of line.points) {
      const distance = Math.hypot(x(epoch) - px, y(value) - py);
      if (distance < nearest[0]) nearest = [distance, line.index];
    }
    if (nearest[0] < 40) select(nearest[1]);
  });
  box.replaceChildren(drawing);
}

function ordered(points, wide) {
  // grey context first, the reference, the selected one's seeds, then the selected one on top
  const lines = [];
  variants.forEach((variant, index) => {
    const found = points(variant);
    if (!found?.length) return;
    const on = index === state.variant, reference = variant.name === data.reference;
    lines.push({ index, points: found, kind: on ? "on" : reference ? "reference" : "", label: on || reference ? variant.name : "" });
    if (on && wide) for (const seed of variant.curves) if (seed.length) lines.push({ index, points: seed, kind: "seed", label: "" });
  });
  const order = ["", "reference", "seed", "on"];
  return lines.sort((one, two) => order.indexOf(one.kind) - order.indexOf(two.kind));
}

function curves() {
  const lines = ordered(variant => variant.curve, true);
  byId("learning").hidden = lines.length === 0;
  if (lines.length) chart(byId("curves"), lines, { log: data.mode === "min", labels: true, title: `${data.metric} by epoch` });
}

// ---- what the fused layers logged

function layers() {
  const names = data.panels.map(panel => panel.name).filter(name => variants.some(variant => Object.values(variant.layers).some(layer => layer[name])));
  byId("fusion").hidden = names.length === 0;
  if (!names.length) return;
  if (!names.includes(state.quantity)) state.quantity = names[0];
  byId("quantities").replaceChildren(...names.map(name => {
    const button = html("button", { type: "button", "aria-pressed": name === state.quantity }, name);
    button.addEventListener("click", () => { state.quantity = name; layers(); });
    return button;
  }));
  const all = [...new Set(variants.flatMap(variant => Object.keys(variant.layers)))];
  all.sort((one, two) => one.localeCompare(two, undefined, { numeric: true }));
  const boxes = all.map(layer => {
    const lines = ordered(variant => variant.layers[layer]?.[state.quantity]);
    if (!lines.length) return null;
    const title = /^\d+$/.test(layer) ? `layer ${layer}` : layer, box = html("div", {});
    return [html("div", {}, html("h3", {}, title), box), box, lines, title];
  }).filter(Boolean);
  byId("layers").replaceChildren(...boxes.map(([whole]) => whole));
  const panel = data.panels.find(one => one.name === state.quantity), band = panel.low == null || panel.high == null ? null : [panel.low, panel.high];
  for (const [, box, lines, title] of boxes)
    chart(box, lines, { height: 190, log: panel.log, band, title: `${state.quantity} of ${title} by epoch` });
}

// ---- parallel coordinates

function parallel() {
  const axes = data.axes.filter(axis => new Set(variants.map(variant => variant.axes[axis.key] ?? "")).size > 1);
  const scored = variants.filter(variant => variant.val != null);
  byId("axes").hidden = axes.length < 2 || scored.length < 3;
  if (byId("axes").hidden) return;
  const box = byId("parallel"), width = Math.max(320, box.clientWidth), height = 260, top = 26, bottom = 14;
  const columns = [...axes.map(axis => column(axis.label, scored.map(variant => variant.axes[axis.key] ?? ""))),
    column(data.metric, scored.map(variant => variant.val))];
  const x = step => 60 + (width - 150) * step / (columns.length - 1);
  const y = share => top + (height - top - bottom) * (1 - share);
  const parts = [];
  const order = scored.map((_, row) => row).sort((one, two) => kindOf(scored[one]) - kindOf(scored[two]));
  for (const row of order) {
    const path = columns.map((one, step) => `${step ? "L" : "M"}${x(step).toFixed(1)} ${y(one.shares[row]).toFixed(1)}`).join("");
    const line = svg("path", { d: path, class: `line ${["", "reference", "on"][kindOf(scored[row])]}` });
    line.addEventListener("click", () => select(place.get(scored[row].name)));
    parts.push(line);
  }
  columns.forEach((one, step) => {
    parts.push(svg("line", { x1: x(step), x2: x(step), y1: top, y2: height - bottom, class: "zero" }));
    parts.push(svg("text", { x: x(step), y: 12, "text-anchor": "middle" }, one.label));
    for (const [share, text] of one.marks) parts.push(svg("text", { x: x(step) + 5, y: y(share) + 4, class: "mark" }, text));
  });
  box.replaceChildren(svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "axes and metric of every variant" }, ...parts));
}

const kindOf = variant => place.get(variant.name) === state.variant ? 2 : variant.name === data.reference ? 1 : 0;

function column(label, values) {
  const numbers = values.map(Number), numeric = values.every((value, row) => value !== "" && Number.isFinite(numbers[row]));
  if (!numeric) {
    const distinct = [...new Set(values)].sort((one, two) => String(one).localeCompare(String(two), undefined, { numeric: true }));
    const share = value => distinct.length > 1 ? distinct.indexOf(value) / (distinct.length - 1) : 0.5;
    return { label, shares: values.map(share), marks: distinct.length > 12 ? [] : distinct.map(value => [share(value), String(value).slice(0, 22) || "–"]) };
  }
  const [low, high] = extent(numbers), log = low > 0 && high / low >= 10, scale = log ? Math.log : value => value;
  const share = value => high > low ? (scale(value) - scale(low)) / (scale(high) - scale(low)) : 0.5;
  const marks = label !== data.metric && new Set(numbers).size <= 6 ? [...new Set(numbers)] : log ? logTicks(low, high) : ticks(low, high, 4);
  return { label, shares: numbers.map(share), marks: marks.map(value => [share(value), shortNumber(value)]) };
}

// ---- health and the card of the selected variant

const SIGNS = { blocking: "■", warning: "▲", info: "○" };

function health() {
  const rules = [...new Set(variants.flatMap(variant => variant.findings.filter(one => one.level !== "info").map(one => one.rule)))];
  byId("health").hidden = rules.length === 0;
  if (!rules.length) return;
  const head = html("thead", {}, html("tr", {}, html("th", { scope: "col" }, "variant"), ...rules.map(rule => html("th", { scope: "col" }, rule.replaceAll("_", " ")))));
  const rows = variants.map((variant, index) => {
    const cells = rules.map(rule => {
      const worst = ["blocking", "warning", "info"].find(level => variant.findings.some(one => one.rule === rule && one.level === level));
      const messages = variant.findings.filter(one => one.rule === rule).map(one => one.message).join("; ");
      return html("td", { class: worst, title: messages || "fine" }, worst ? SIGNS[worst] : "·");
    });
    const row = html("tr", { "data-variant": index, class: index === state.variant ? "on" : null }, html("th", { scope: "row" }, variant.name), ...cells);
    row.addEventListener("click", () => select(index));
    return row;
  });
  byId("matrix").replaceChildren(head, html("tbody", {}, ...rows));
}

function card() {
  const variant = variants[state.variant];
  const facts = variant.facts.map(([name, value]) => html("tr", {}, html("th", { scope: "row" }, name), html("td", {}, value)));
  const findings = variant.findings.map(one => {
    const where = one.layer == null ? "" : /^\d+$/.test(one.layer) ? `layer ${one.layer}: ` : `${one.layer}: `;
    return html("li", {}, html("span", { class: one.level }, `${SIGNS[one.level]} ${one.level}: `), where + one.message + (one.advice ? `; ${one.advice}` : ""));
  });
  const seeds = variant.runs.map(run => {
    const folder = run.folder.split("/").map(encodeURIComponent).join("/");
    const links = [html("a", { href: folder + run.config }, "config"), " ", html("a", { href: `${folder}logs/` }, "logs")];
    const epoch = run.epoch == null ? "" : run.state === "completed" ? `best epoch ${run.epoch}` : `epoch ${run.epoch}`;
    return html("tr", {}, html("th", { scope: "row" }, `seed ${run.seed ?? "–"}`), html("td", {}, run.state), html("td", {}, epoch),
      html("td", {}, ...(run.state === "new" ? [] : links)));
  });
  const difference = variant.name === data.reference ? "nothing: the others are compared with it" : variant.diff.join("\n") || "nothing but the seed";
  byId("card").replaceChildren(
    html("h3", {}, (variant.name === data.choice ? "★ " : "") + variant.name), html("table", {}, html("tbody", {}, ...facts)),
    ...(data.reference ? [html("h3", {}, `Differs from ${data.reference} in`), html("pre", { tabindex: 0 }, difference)] : []),
    html("h3", {}, "Health"), findings.length ? html("ul", { class: "plain" }, ...findings) : html("p", {}, variant.health || "nothing is known yet"),
    html("h3", {}, "Seeds"), html("table", {}, html("tbody", {}, ...seeds)));
}

// ---- the table: sorting, filter, CSV

function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, index) => head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = row => row.cells[index].dataset.key ?? row.cells[index].textContent;
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort((one, two) => {
      const [a, b] = [value(one), value(two)];
      if (a === "" || b === "") return (a === "") - (b === "");  // what has no value stays below
      const byNumber = Number(a) - Number(b);
      const result = Number.isNaN(byNumber) ? a.localeCompare(b, undefined, { numeric: true }) : byNumber;
      return down ? -result : result;
    }));
  }));
}

function csv(table) {
  const quoted = text => /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  const plain = text => /^[=+@-]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;  // no formula
  return [...table.rows].filter(row => !row.hidden).map(row => [...row.cells].map(cell => quoted(plain(cell.textContent.trim()))).join(",")).join("\n") + "\n";
}

function tableTools(table) {
  sortable(table);
  byId("filter").addEventListener("input", event => {
    const words = event.target.value.toLowerCase().split(/\s+/);
    for (const row of table.tBodies[0].rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every(word => text.includes(word));
    }
  });
  byId("csv").addEventListener("click", () => {
    const link = html("a", { download: "variants.csv", href: URL.createObjectURL(new Blob([csv(table)], { type: "text/csv" })) });
    link.click();
    URL.revokeObjectURL(link.href);
  });
  for (const row of table.tBodies[0].rows) {
    const index = place.get(row.dataset.name);
    if (index === undefined) continue;
    row.dataset.variant = index;
    row.addEventListener("click", () => select(index));
  }
}

// ---- all together

const BELOW = { learning: curves, fusion: layers, axes: parallel, health };  // section → what draws it once it is near

function redraw() {
  forest(); card();
  for (const [section, draw] of Object.entries(BELOW)) if (seen.has(section)) draw();
  mark();
}

const seen = new Set();
const watcher = new IntersectionObserver(entries => {
  for (const entry of entries) if (entry.isIntersecting) show(entry.target.id);
}, { rootMargin: "300px" });

function show(section) {
  if (seen.has(section)) return;
  seen.add(section);
  watcher.unobserve(byId(section));
  BELOW[section]();
  mark();
}

function mark() {
  for (const row of document.querySelectorAll("tr[data-variant]")) row.classList.toggle("on", Number(row.dataset.variant) === state.variant);
  for (const split of ["val", "test"]) byId(`split-${split}`)?.setAttribute("aria-pressed", split === state.split);
}

function start() {
  const table = document.querySelector("table.sortable");
  if (table) tableTools(table);
  if (data.reload) setTimeout(() => location.reload(), 30000);
  if (!variants.length) return;
  recall();
  for (const split of ["val", "test"]) byId(`split-${split}`)?.addEventListener("click", () => { state.split = split; remember(); redraw(); });
  byId("more").addEventListener("click", () => { state.all = !state.all; forest(); });
  byId("forest").addEventListener("keydown", event => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const rows = shownRows(), next = rows[rows.indexOf(state.variant) + step];
    if (next !== undefined) select(next, true);
  });
  redraw();
  for (const section of Object.keys(BELOW)) watcher.observe(byId(section));
  addEventListener("beforeprint", () => Object.keys(BELOW).forEach(show));
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; redraw(); } });
}

start();
