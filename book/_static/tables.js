/* Tables of cells: sort by a column, filter the grid of claims, save the records behind a table. Needs cards.js before it. */
(() => {
  "use strict";
  const { CARDS, DASH, h } = window.featureMining;

  /* ---- sorting -------------------------------------------------------------------------------------------------------- */

  const order = new Intl.Collator("en", { numeric: true }).compare;
  const text = (row, i) => row.cells[i].innerText.trim();
  const leading = (t) => Number.parseFloat(t.replace("−", "-"));

  function sort(body, i, direction, original) {
    const rows = original.map((row) => ({ row, text: text(row, i), value: leading(text(row, i)) }));
    const there = rows.filter((r) => r.text !== DASH);
    const numeric = 2 * there.filter((r) => !Number.isNaN(r.value)).length > there.length;
    const missing = (r) => r.text === DASH || (numeric && Number.isNaN(r.value));       // last, whichever way it is sorted
    const compare = (a, b) => missing(a) - missing(b) || direction * (numeric ? a.value - b.value : order(a.text, b.text)) || 0;
    body.append(...(direction ? rows.sort(compare) : rows).map((r) => r.row));
  }

  function sortable(table) {
    const body = table.tBodies[0], original = [...body.rows], heads = [...table.tHead.rows[0].cells];
    if (original.length < 2) return;
    const next = { none: ["ascending", 1], ascending: ["descending", -1], descending: ["none", 0] };
    heads.forEach((head, i) => {
      head.setAttribute("aria-sort", "none");
      const button = h("button", { type: "button", class: "fm-sort" }, ...head.childNodes);
      button.addEventListener("click", () => {
        const [state, direction] = next[head.getAttribute("aria-sort")];
        heads.forEach((other) => other.setAttribute("aria-sort", "none"));
        head.setAttribute("aria-sort", state);
        sort(body, i, direction, original);
      });
      head.append(button);
    });
  }

  /* ---- filtering -------------------------------------------------------------------------------------------------------- */

  function choice(name, values, of) {
    const counts = new Map();
    values.forEach((v) => counts.set(v, (counts.get(v) || 0) + 1));
    const options = [...counts].map(([v, n]) => h("option", { value: v }, `${of(v)} (${n})`));
    return h("label", {}, name, h("select", {}, h("option", { value: "" }, "all"), options));
  }

  /* The filters stand in the address, as `#verdict=not+run&table=T8`. */
  const asked = () => new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");

  function filterable(table) {
    const rows = [...table.tBodies[0].rows];
    const verdictOf = (row) => (row.querySelector(".verdict") || row.cells[1]).innerText.trim();
    const tableOf = (row) => row.dataset.cell.split(".")[0];
    const title = (name) => (name === "P" ? "the text" : name.replace(/^T(?=\d)/, "Table ").replace(/^F(?=\d)/, "Figure "));
    const find = h("label", {}, "find", h("input", { type: "search", autocomplete: "off" }));
    const verdicts = choice("verdict", rows.map(verdictOf), (v) => v), tables = choice("table", rows.map(tableOf), title);
    const said = h("span", { role: "status" });
    const fields = { find: find.lastChild, verdict: verdicts.lastChild, table: tables.lastChild };
    const write = () => {
      const parts = Object.entries(fields).filter(([, e]) => e.value).map(([name, e]) => [name, e.value]);
      history.replaceState(null, "", `#${new URLSearchParams(parts)}`);
    };
    const read = () => {
      if (!location.hash.includes("=") && location.hash.length > 1) return;       // of a card
      for (const [name, e] of Object.entries(fields)) e.value = asked().get(name) || "";
      apply();
    };
    const apply = () => {
      const wanted = find.lastChild.value.toLowerCase().split(/\s+/), [v, t] = [verdicts, tables].map((c) => c.lastChild.value);
      rows.forEach((row) => {
        const all = row.textContent.toLowerCase();
        row.hidden = !(wanted.every((w) => all.includes(w)) && (!v || verdictOf(row) === v) && (!t || tableOf(row) === t));
      });
      said.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
    };
    const form = h("form", { class: "fm-filter", role: "search", "aria-label": "Filter the table", oninput: () => { apply(); write(); },
      onsubmit: (event) => event.preventDefault(), onreset: () => setTimeout(() => { apply(); write(); }) },
    find, verdicts, tables, h("button", { type: "reset" }, "Show all"), said);
    table.closest(".fm-table").before(form);
    addEventListener("hashchange", read);
    apply();
    read();
  }

  /* ---- saving ------------------------------------------------------------------------------------------------------------ */

  function saveable(table) {
    const csv = table.closest(".fm-table").previousElementSibling?.querySelector("a[download]");
    const named = [...table.querySelectorAll("[data-cell]")].map((e) => e.dataset.cell);
    const ids = [...new Set(named)].filter((id) => CARDS[id]);
    if (!csv || !ids.length) return;
    const link = h("a", { href: "#", class: csv.className, download: csv.download.replace(/csv$/, "json"),
      "aria-label": csv.getAttribute("aria-label").replace("CSV", "JSON"), title: "the records behind the table" }, "JSON");
    const make = () => {        // not before it is wanted: the page holds the data once
      const json = JSON.stringify(ids.map((id) => CARDS[id]), null, 1);
      link.href = `data:application/json;charset=utf-8,${encodeURIComponent(json)}`;
    };
    for (const event of ["pointerenter", "focus", "click"]) link.addEventListener(event, make);
    csv.after(" ", link);
  }

  document.querySelectorAll(".fm-table table:has([data-cell])").forEach((table) => {
    saveable(table);
    sortable(table);
    if (table.classList.contains("fm-grid")) filterable(table);
  });
})();
