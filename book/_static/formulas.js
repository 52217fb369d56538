/* Displayed formulas can be reached by the keyboard, so that one wider than a narrow screen can be scrolled. */
addEventListener("load", () => {
  window.MathJax?.startup?.promise?.then(() => {
    for (const formula of document.querySelectorAll('mjx-container[display="true"]')) formula.tabIndex = 0;
  });
});
