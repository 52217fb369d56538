/* Below each result of the search stand the words around what was found, and its link leads to the section that holds them. Sphinx
   would fetch each page for this, which a browser refuses for files; here all texts lie in texts.js. */
(() => {
  "use strict";
  const TEXTS = window.featureMiningTexts, results = document.getElementById("search-results");
  if (!TEXTS || !results) return;
  const AROUND = 110;

  const terms = () => (new URLSearchParams(location.search).get("q") || "").toLowerCase().split(/[^\p{L}\p{N}_.-]+/u).filter(Boolean);

  /* The section of a page that holds most of the words, and where the first of them is in it. */
  function place(sections, words) {
    const found = sections.map(([id, text]) => {
      const at = words.map((word) => text.toLowerCase().indexOf(word)).filter((i) => i >= 0);
      return { id, text, held: at.length, at: at.length ? Math.min(...at) : 0 };
    });
    return found.reduce((best, one) => (one.held > best.held ? one : best), found[0]);
  }

  function excerpt(text, at, words) {
    const start = at > AROUND ? text.indexOf(" ", at - AROUND) + 1 : 0, end = text.indexOf(" ", at + AROUND);
    const shown = (start ? "… " : "") + text.slice(start, end < 0 ? undefined : end) + (end < 0 ? "" : " …");
    const p = document.createElement("p");
    p.className = "fm-excerpt";
    const pattern = new RegExp(`(${words.map((w) => w.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|")})`, "giu");
    shown.split(pattern).forEach((part, i) => {
      const node = i % 2 ? document.createElement("mark") : document.createTextNode(part);
      if (i % 2) node.textContent = part;
      p.append(node);
    });
    return p;
  }

  function fill(item) {
    const link = item.querySelector("a"), words = terms();
    if (!link || !words.length || item.querySelector(".fm-excerpt")) return;
    const [page, anchor] = decodeURIComponent(link.getAttribute("href")).split("#");
    const sections = TEXTS[page.replace(/^\.\//, "").replace(/\.html$/, "")];
    if (!sections?.length) return;
    const named = sections.filter(([id]) => id === anchor);
    const best = place(named.length ? named : sections, words);
    if (!anchor && best.held && best.id && best.id !== sections[0][0]) link.setAttribute("href", `${page}#${best.id}`);
    item.append(excerpt(best.text, best.at, words));
  }

  new MutationObserver(() => results.querySelectorAll("li").forEach(fill)).observe(results, { childList: true, subtree: true });
  results.querySelectorAll("li").forEach(fill);
})();
