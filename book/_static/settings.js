/* Switches over verdicts. Every verdict under every setting was computed when the book was built (featuremining.showing.settings) and
   lies in the page; this only shows another of them. */
(() => {
  "use strict";
  const root = document.getElementById("fm-settings");
  if (!root) return;
  const { statuses, settings, rows } = JSON.parse(document.getElementById("fm-settings-data").textContent);
  const form = root.querySelector("form"), say = root.querySelector("[data-say]"), first = say.textContent;
  const shown = [...root.querySelectorAll("[data-row]")];
  const chosen = () => ["level", "margin", "selection"].map((name) => form.elements[name].value).join(" ");
  const ours = settings.indexOf(chosen());

  form.addEventListener("change", () => {
    const at = settings.indexOf(chosen());
    let changed = 0;
    for (const row of shown) {
      const by = rows[row.dataset.row], { text, css } = statuses[by[at]], badge = row.querySelector(".verdict");
      badge.className = `verdict ${css}`;
      badge.textContent = text;
      row.classList.toggle("fm-changed", by[at] !== by[ours]);
      changed += by[at] !== by[ours];
    }
    say.textContent = at === ours ? first : `${changed} of ${shown.length} verdicts are others than under our setting; they are marked.`;
  });
  form.hidden = false;
})();
