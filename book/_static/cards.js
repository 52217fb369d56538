/* Open what lies behind a number of a table. All data lie in the page (`script#fm-cards`, made by featuremining.showing.cards); nothing
   is fetched. Without this script the tables still show everything. */
(() => {
  "use strict";
  const source = document.getElementById("fm-cards");
  const CARDS = source ? JSON.parse(source.textContent) : {};
  const SVG = "http://www.w3.org/2000/svg";
  const DASH = "–";
  const known = (v) => v !== null && v !== undefined && v !== "";

  /* An element with attributes (on… are listeners) and children: nodes, texts, or nothing. */
  function h(tag, attributes, ...children) {
    const node = tag.startsWith("svg:") ? document.createElementNS(SVG, tag.slice(4)) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else node.setAttribute(name, value);
    }
    node.append(...children.flat().filter((c) => known(c) && c !== false));
    return node;
  }

  const fixed = (v, signed) => (signed && v > 0 ? "+" : "") + v.toFixed(2).replace("-", "−");
  const between = (i, signed) => `${fixed(i.low, signed)} to ${fixed(i.high, signed)}`;

  /* A JSON value in words: {a: 1, b: [2, 3]} is "a 1, b [2, 3]". */
  function words(value) {
    if (value === null) return "none";
    if (typeof value === "boolean") return value ? "yes" : "no";
    if (Array.isArray(value)) return `[${value.map(words).join(", ")}]`;
    if (typeof value !== "object") return String(value);
    return Object.entries(value).map(([k, v]) => `${k} ${words(v)}`).join(", ");
  }

  /* ---- the card -------------------------------------------------------------------------------------------------- */

  function badge(status, kind = "verdict") {
    return h("span", { class: `${kind} ${kind}-${status.replaceAll(" ", "-")}` }, status);
  }

  function list(pairs) {
    const shown = pairs.filter(([, value]) => known(value) && value.length !== 0);
    return shown.length ? h("dl", {}, shown.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]).flat()) : null;
  }

  function verdict(v, what) {
    if (!v) return null;
    const d = v.difference, margin = known(v.margin) ? `, margin ±${fixed(v.margin)}` : "";
    const interval = d && known(d.low) ? `${what} ${fixed(d.value, true)} (${fixed(100 * v.level)} % interval ${between(d, true)})${margin}` : "";
    return [badge(v.status), [v.detail, interval].filter(known).map((text) => ` ${text}.`).join("")];
  }

  function ours(rule) {
    if (!rule) return "";
    const interval = known(rule.low) ? `, 95 % interval ${between(rule)}` : ", no interval from one seed";
    return fixed(rule.mean) + (known(rule.sd) ? ` ± ${fixed(rule.sd)}` : "") + ` (n = ${rule.n})${interval}`;
  }

  const short = (hash) => h("code", { title: hash }, hash.slice(0, 12));
  const changed = (dirty) => (dirty ? " with uncommitted changes" : dirty === false ? "" : " (changes unknown)");
  const ORIGIN = [      // heading, and what a record or finding says under it
    ["commit", (s) => (s.commit ? [short(s.commit), changed(s.dirty)] : "none")],
    ["versions", (s) => s.versions && words(s.versions)],
    ["data (sha256)", (s) => s.data_sha256 && short(s.data_sha256)],
    ["weights (sha256)", (s) => s.weights && short(s.weights)],
    ["device", (s) => s.device],
    ["threads", (s) => s.threads],
    ["engine, precision", (s) => [s.engine, s.precision].filter(known).join(", ")],
    ["minutes", (s) => known(s.minutes) && s.minutes.toFixed(1)],
    ["peak memory (MiB)", (s) => s.peak_memory_mib],
    ["trained beside", (s) => (s.beside ? `${s.beside} other seeds` : "")],
    ["resumed", (s) => known(s.resumed) && `${s.resumed} times`],
    ["resumed with", (s) => (s.resumed_elsewhere?.length ? words(s.resumed_elsewhere) : "")],
    ["finished", (s) => s.finished],
  ];

  /* Attributes down, seeds or findings across; a mean of each rule where there are several seeds. */
  function table(caption, columns, rows) {
    const there = (v) => known(v) && v !== false;
    const body = rows.filter(([, ...values]) => values.some(there));
    return h("div", { class: "fm-scroll", role: "region", tabindex: "0", "aria-label": caption },
      h("table", {}, h("caption", {}, caption),
        h("thead", {}, h("tr", {}, h("td", {}), columns.map((c) => h("th", { scope: "col" }, c)))),
        h("tbody", {}, body.map(([name, ...values]) => h("tr", {}, h("th", { scope: "row" }, name),
          values.map((v) => h("td", {}, there(v) || v === null ? v : DASH)))))));
  }

  function seeds(card, tier) {
    const many = tier.seeds.length > 1;
    const rules = [["best", "best epoch"], ["last", "last epoch"], ["median10", "median of the last ten"]].map(([rule, name]) => [
      name, ...tier.seeds.map((s) => fixed(s[rule]) + (rule === "best" ? ` (epoch ${s.best_epoch})` : "")),
      ...(many ? [ours(tier.rules[rule])] : [])]);
    const origin = ORIGIN.map(([name, of]) => [name, ...tier.seeds.map(of), ...(many ? [null] : [])]);
    return table(`${card.quantity} by three rules, and where each number comes from`,
      [...tier.seeds.map((s) => `seed ${s.seed}`), ...(many ? ["mean ± spread"] : [])], [...rules, ...origin]);
  }

  function measured(tier) {
    const values = (f) => Object.entries(f.values).map(([k, v]) => h("div", {}, `${k}: ${words(v)}`));
    const origin = ORIGIN.map(([name, of]) => [name, ...tier.findings.map(of)]);
    return table("What was measured besides, and where", tier.findings.map((f) => `${f.kind}, ${f.name}`),
      [["verdict", ...tier.findings.map((f) => f.verdict)], ["values", ...tier.findings.map(values)], ...origin]);
  }

  function settings(tier) {
    const { spec, resolved } = tier, { parameters, network, methods, ...others } = resolved;
    const method = ({ name, ...rest }) => h("div", {}, h("code", {}, name), ` ${words(rest)}`);
    const all = methods || spec.methods;
    const note = Object.keys(resolved).length ? "" : "Only what is declared; defaults are named when it is run.";
    const differing = tier.differing.length
      ? `These are the settings of seed ${tier.seeds[0].seed}; seeds ${tier.differing.join(", ")} had others.` : "";
    const size = parameters ? `; ${parameters} parameters` : "";
    return h("details", {}, h("summary", {}, "Specification"), [note, differing].filter(known).map((text) => h("p", {}, text)),
      list([["data", [spec.dataset, spec.data ? `; ${words(spec.data)}` : ""]],
        ["network", [h("code", {}, spec.network), ` ${words(network || spec.options)}`, size]],
        [all.length > 1 ? "methods, outermost first" : "method", all.length ? all.map(method) : "none: plain cross-entropy"],
        ["recipe", words(spec.recipe)], ...Object.entries(others).map(([k, v]) => [k, words(v)])]));
  }

  function command(text) {
    const code = h("code", {}, text), said = h("span", { role: "status", class: "fm-said" });
    const select = () => {
      getSelection().selectAllChildren(code);
      return document.execCommand("copy") ? "copied" : "selected: copy it with Ctrl+C or ⌘C";
    };
    const copy = async () => {
      said.textContent = "";
      said.textContent = await (navigator.clipboard?.writeText(text).then(() => "copied") ?? Promise.reject()).catch(select);
    };
    return h("div", { class: "fm-command" }, h("pre", {}, code), h("button", { type: "button", onclick: copy }, "Copy"), said);
  }

  function section(card, tier) {
    const done = tier.seeds.length, there = done || tier.findings.length;
    const many = `${there} ${done ? "seed" : "measurement"}${there === 1 ? "" : "s"} on record`;
    const again = done ? "On record already, so this says so at once; with another folder in FM_RUNS_DIR it trains again." : "";
    const lacks = card.lacks && `It can’t be trained yet: the companion lacks the ${card.lacks}.`;
    return h("section", {},
      h("h3", {}, badge(tier.tier, "tier"), ` ${there ? many : "not run"}`),
      !there && h("p", {}, ["Nothing is on record in this tier.", lacks].filter(known).join(" ")),
      done ? [list([["ours, best epoch", ours(tier.rules.best)]]), plot(card, tier), seeds(card, tier)] : null,
      tier.findings.length ? measured(tier) : null, settings(tier),
      h("h4", {}, there ? "Run it again" : "Run it"), tier.rerun.map(command), again && h("p", {}, again));
  }

  /* A claim in words. */
  function sentence(card) {
    const rows = card.pairs.map((p) => [`${p.higher} above ${p.lower}`, p.printed, p.printed_p, p.ours, p.p, p.n]);
    return [
      h("blockquote", { class: "fm-quote" }, card.quote),
      h("p", {}, badge(card.status), card.detail && ` ${card.detail}`),
      card.reading && h("p", {}, card.reading),
      list(card.facts), rows.length ? table("Its comparisons, in percentage points", ["paper", "p (Holm)", "ours", "p (Holm), ours", "n"], rows) : null,
      h("p", {}, h("a", { href: `${document.documentElement.dataset.content_root || ""}${card.href}` }, "On the page of claims")),
      command(card.rerun)];
  }

  function fill(dialog, card) {
    const paper = card.paper && card.paper + (card.n ? ` (n = ${card.n})` : "");
    dialog.replaceChildren(
      h("header", {}, h("h2", { id: "fm-card-title", tabindex: "-1" }, card.title),
        h("button", { type: "button", class: "fm-close", "aria-label": "Close", onclick: () => dialog.close() }, "×")),
      h("p", { class: "fm-of" }, h("code", {}, card.id), ` ${[card.table, card.quantity].filter(known).join("; ")}`),
      ...(card.quote ? sentence(card) : [
        list([["paper", paper], ["number", verdict(card.verdict, "ours less the paper’s")],
          ["gain over the baseline", verdict(card.gain, "our gain")], ["still to run", card.cost]]),
        ...card.tiers.map((tier) => section(card, tier))]).filter(known));
    dialog.scrollTop = 0;
    dialog.querySelector("h2").focus({ preventScroll: true });
  }

  /* ---- seeds as dots, the interval and the printed number on one axis --------------------------------------------- */

  function ticks(low, high, most) {
    const rough = (high - low) / most, ten = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((k) => k * ten).find((s) => s >= rough);
    const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9)), found = [];
    for (let i = Math.ceil(low / step); i * step <= high + 1e-9; i += 1) found.push((i * step).toFixed(digits));
    return found;
  }

  function plot(card, tier) {
    const values = tier.seeds.map((s) => s.best), rule = tier.rules.best;
    const printed = tier.tier === "full" && known(card.published), spread = card.spread || 0;
    const all = [...values, ...(known(rule.low) ? [rule.low, rule.high] : []),
      ...(printed ? [card.published - spread, card.published + spread] : [])];
    const room = 0.08 * (Math.max(...all) - Math.min(...all)) || 0.5;
    const low = Math.min(...all) - room, high = Math.max(...all) + room;
    const width = Math.max(260, Math.min(620, innerWidth - 80)), left = 74, bottom = printed ? 92 : 64;
    const x = (v) => left + ((v - low) / (high - low)) * (width - left - 14);
    const line = (a, b, y, name) => h("svg:line", { x1: x(a), x2: x(b), y1: y, y2: y, class: name });
    const label = (text, y) => h("svg:text", { x: 0, y: y + 4 }, text);
    const y = printed ? 58 : 26, parts = [];
    if (printed) {
      parts.push(label("paper", 22), line(card.published - spread, card.published + spread, 22, "paper"),
        h("svg:circle", { cx: x(card.published), cy: 22, r: 5, class: "paper" }, h("svg:title", {}, `paper: ${card.paper}`)));
    }
    parts.push(label(values.length > 1 ? "our seeds" : "our seed", y));
    if (known(rule.low)) {
      parts.push(line(rule.low, rule.high, y + 13, "interval"),
        h("svg:line", { x1: x(rule.mean), x2: x(rule.mean), y1: y + 8, y2: y + 18, class: "interval" }));
    }
    values.forEach((v, i) => {
      const before = values.slice(0, i).filter((w) => Math.abs(x(w) - x(v)) < 7).length;       // dots that would hide each other
      parts.push(h("svg:circle", { cx: x(v), cy: y - 7 * before, r: 4.5, class: "seed" },
        h("svg:title", {}, `seed ${tier.seeds[i].seed}: ${fixed(v)}`)));
    });
    parts.push(h("svg:line", { x1: left - 6, x2: width - 6, y1: bottom, y2: bottom, class: "axis" }));
    for (const at of ticks(low, high, width / 110)) {
      parts.push(h("svg:line", { x1: x(at), x2: x(at), y1: bottom, y2: bottom + 5, class: "axis" }),
        h("svg:text", { x: x(at), y: bottom + 19, "text-anchor": "middle" }, at));
    }
    parts.push(h("svg:text", { x: (left + width) / 2, y: bottom + 36, "text-anchor": "middle" }, card.quantity));
    const text = [...tier.seeds.map((s) => `seed ${s.seed}: ${fixed(s.best)}`), ours(rule), printed && `paper: ${card.paper}`];
    const said = text.filter(Boolean).join("; ");
    return h("svg:svg", { class: "fm-dots", role: "img", "aria-label": said, width, height: bottom + 42 }, parts);
  }

  /* ---- opening ------------------------------------------------------------------------------------------------------ */

  /* On the scoreboard a card has an address, `#` and its id: opening is going there, and Back closes it. */
  const addressed = document.querySelector(".fm-map") !== null;
  let came = false;         // by a step that Back undoes

  function shut() {
    const at = decodeURIComponent(location.hash.slice(1));
    if (!addressed || !CARDS[at]) return;
    if (came) history.back();
    else history.replaceState(null, "", "#");
    came = false;
  }

  function follow() {
    const id = decodeURIComponent(location.hash.slice(1)), dialog = document.getElementById("fm-card");
    if (CARDS[id]) show(id, document.getElementById(id) || document.body);
    else if (dialog?.open) { came = false; dialog.close(); }
  }

  function ask(id, opener) {
    if (!addressed) return show(id, opener);
    came = true;
    last = opener;
    location.hash = id;         // and `follow` shows it
    return null;
  }

  let last = null;

  function show(id, from) {
    const opener = last || from;
    last = null;
    let dialog = document.getElementById("fm-card");
    if (!dialog) {
      dialog = h("dialog", { id: "fm-card", class: "fm-card", "aria-labelledby": "fm-card-title",
        onclick: (event) => event.target === dialog && dialog.close(),          // beside the card
        onclose: shut,
        onkeydown: (event) => event.key === "Escape" && dialog.close() });      // Sphinx keeps the browser from doing so
      document.body.append(dialog);
    }
    opener.focus({ preventScroll: true });      // where the focus returns to
    if (!dialog.open) dialog.showModal();
    fill(dialog, CARDS[id]);
  }

  function opener(id, ...content) {
    const button = h("button", { type: "button", class: "fm-open", "aria-haspopup": "dialog" }, ...content);
    button.addEventListener("click", () => ask(id, button));
    return button;
  }

  function openers(row) {
    const id = row.dataset.cell;
    if (!CARDS[id]) return;
    if (row.tagName !== "TR") return row.replaceChildren(opener(id, ...row.childNodes));
    const code = row.querySelector("td.key code") || row.querySelector("code") || row.cells[0];
    const button = opener(id);
    code.replaceWith(button);
    button.append(code);
    row.classList.add("fm-opens");
    row.addEventListener("click", (event) => {          // any number of the row, for the mouse
      if (!event.target.closest("a, button") && getSelection().isCollapsed) ask(id, button);
    });
  }

  document.querySelectorAll("[data-cell]:not(.fm-tile)").forEach(openers);
  document.querySelectorAll(".fm-tile").forEach((tile) => tile.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;       // a new tab or window
    event.preventDefault();
    ask(tile.dataset.cell, tile);
  }));
  if (addressed) {
    addEventListener("hashchange", follow);
    follow();
  }
  window.featureMining = { CARDS, DASH, h };        // tables.js goes on from here
})();
