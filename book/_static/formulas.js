/* Displayed formulas are made smaller where they are wider than the page, to three fifths at least; and they can be reached by the
   keyboard, so that one that is wider still can be scrolled. */
const SMALLEST = 0.6;

const fit = (formula) => {
  formula.style.zoom = "";
  const room = formula.clientWidth / formula.scrollWidth;
  if (room < 1) formula.style.zoom = Math.max(SMALLEST, room);
};

addEventListener("load", () => {
  window.MathJax?.startup?.promise?.then(() => {
    const formulas = document.querySelectorAll('mjx-container[display="true"]');
    const all = () => formulas.forEach(fit);
    for (const formula of formulas) formula.tabIndex = 0;
    all();
    addEventListener("resize", all);
  });
});
