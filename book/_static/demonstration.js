/* The box on the feature map: drag it, move it by keys or sliders, or draw one as training does. All data lie in the page
   (`script#fm-demo-data`, made by featuremining.showing.demonstration); nothing is fetched. Without this script a still picture stands. */
(() => {
  "use strict";
  const root = document.getElementById("demonstration");
  if (!root) return;
  const DATA = JSON.parse(document.getElementById("fm-demo-data").textContent);
  const [H, W] = DATA.size, PLACES = H * W, SVG = "http://www.w3.org/2000/svg";
  const clamp = (v, low, high) => Math.min(high, Math.max(low, v));
  const find = (selector) => root.querySelector(selector);
  const put = (name, text, within = root) => { within.querySelector(`[data-demo="${name}"]`).textContent = text; };
  const form = find("form"), map = find(".fm-demo-map svg"), picture = find(".fm-demo-image svg");
  const places = [...map.querySelectorAll(".fm-place")], edges = [...form.querySelectorAll("[data-edge]")];
  const names = [...root.querySelectorAll("[data-part]")];
  let box = edges.map((e) => Number(e.value)), drawn = null;
  let image = Number(form.elements["fm-image"].value);

  /* ---- equations (2) to (4) --------------------------------------------------------------------------------------- */

  const covers = ([x0, y0, x1, y1], i) => i % W >= x0 && i % W < x1 && Math.floor(i / W) >= y0 && Math.floor(i / W) < y1;

  function pooled(features, weight) {         // weight(i): of a place
    const kept = Array.from({ length: PLACES }, (_, i) => weight(i)), channels = features.length / PLACES;
    return Array.from({ length: channels }, (_, c) => kept.reduce((sum, k, i) => sum + k * features[c * PLACES + i], 0) / PLACES);
  }

  function answer(part, at = image, by = box) {
    const { map: features, label } = DATA.images[at], { weight, bias } = DATA.heads[part];
    const z = pooled(features, (i) => (part === "whole" ? 1 : Number(covers(by, i) === (part === "inside"))));
    const logits = bias.map((b, k) => z.reduce((sum, v, c) => sum + v * weight[k * z.length + c], b));
    const most = Math.max(...logits), norm = most + Math.log(logits.reduce((sum, v) => sum + Math.exp(v - most), 0));
    return { z, p: Math.exp(logits[label] - norm), loss: norm - logits[label], best: logits.indexOf(most) };
  }

  /* One axis of a box, as featuremining.methods.boxes.interval has it. */
  function interval(size, side, u, rule) {
    const cut = Math.floor(size * side);
    if (rule === "inside") { const start = Math.floor(u * (size - cut + 1)); return [start, start + cut]; }
    const at = Math.floor(u * size);
    if (rule === "corner_clip") return [at, Math.min(at + cut, size)];
    const half = Math.floor(cut / 2), start = at - half;
    return [Math.max(start, 0), Math.min(rule === "exact_width" ? start + cut : at + half, size)];
  }

  function oneCell([start, end], size) {
    const wider = Math.max(end, Math.min(start + 1, size));
    return [Math.min(start, wider - 1), wider];
  }

  function draw(rule, lambda, ux, uy) {
    const side = Math.sqrt(1 - lambda);
    let x = interval(W, side, ux, rule), y = interval(H, side, uy, rule);
    if (rule === "min_box") {
      [x, y] = [oneCell(x, W), oneCell(y, H)];
      if (x[1] - x[0] === W && y[1] - y[0] === H) y = [y[0], y[1] - 1];
    }
    return [x[0], y[0], x[1], y[1]];
  }

  /* ---- showing ------------------------------------------------------------------------------------------------------ */

  const percent = (share, digits = 0) => (100 * share).toFixed(digits);

  function strip(part, values) {
    [...part.querySelectorAll(".fm-strip rect")].forEach((rect, i) => rect.style.setProperty("--shade", clamp(values[i], 0, 1)));
  }

  function show() {
    const { label, map: features } = DATA.images[image], answers = names.map((e) => answer(e.dataset.part));
    const most = Math.max(...answers[0].z, 1e-9), grey = pooled(features, () => 1);
    const mean = places.map((_, i) => grey.reduce((sum, __, c) => sum + features[c * PLACES + i], 0)), top = Math.max(...mean);
    places.forEach((rect, i) => {
      rect.style.setProperty("--shade", mean[i] / top);
      rect.classList.toggle("fm-out", !covers(box, i));
    });
    names.forEach((part, i) => {
      const a = answers[i];
      strip(part, a.z.map((v) => v / most));
      part.querySelector(".fm-bar i").style.width = `${percent(a.p, 1)}%`;
      put("p", `${percent(a.p)} %`, part);
      put("best", a.best === label ? "" : `says ${DATA.classes[a.best]}`, part);
      put("loss", a.loss.toFixed(2), part);
    });
    put("total", answers.reduce((sum, a) => sum + a.loss, 0).toFixed(2));
    put("truth", DATA.classes[label]);
    picture.setAttribute("aria-label", `Test image: ${DATA.classes[label]}, with the box over it`);
    for (const rect of root.querySelectorAll(".fm-box")) {
      for (const [name, value] of Object.entries({ x: box[0], y: box[1], width: box[2] - box[0], height: box[3] - box[1] })) {
        rect.setAttribute(name, Math.max(value, 0));
      }
    }
    find(".fm-handle").setAttribute("cx", box[2]);
    find(".fm-handle").setAttribute("cy", box[3]);
    edges.forEach((e) => { e.value = box[e.dataset.edge]; });
    const area = Math.max(0, (box[2] - box[0]) * (box[3] - box[1])) / PLACES, reading = find('[data-demo="reading"]').value;
    put("area", percent(area));
    put("lambda", drawn === null ? `A box of this area that lies wholly inside stands for λ = ${(1 - area).toFixed(2)}.`
      : `It was drawn with λ = ${drawn.toFixed(2)}, which asks for ${percent(1 - drawn)} %.`);
    const { empty } = DATA.boxes[String(W)][reading];
    put("empty", `${area ? "" : "This box is empty: its classifier sees nothing but its own bias. "}Read this way, a box is empty in `
      + `${percent(empty, 2)} % of the draws on a map of ${W} × ${H}.`);
  }

  /* ---- moving ------------------------------------------------------------------------------------------------------- */

  function set(next) {
    box = [clamp(next[0], 0, W), clamp(next[1], 0, H), clamp(next[2], 0, W), clamp(next[3], 0, H)];
    drawn = null;
    show();
  }

  function move(dx, dy) {
    const [x, y] = [clamp(dx, -box[0], W - box[2]), clamp(dy, -box[1], H - box[3])];
    set([box[0] + x, box[1] + y, box[2] + x, box[3] + y]);
  }

  const resize = (x1, y1) => set([box[0], box[1], clamp(x1, box[0] + 1, W), clamp(y1, box[1] + 1, H)]);

  function at(event) {
    const r = map.getBoundingClientRect(), view = map.viewBox.baseVal;
    return [view.x + ((event.clientX - r.left) / r.width) * view.width, view.y + ((event.clientY - r.top) / r.height) * view.height];
  }

  let held = null;
  map.addEventListener("pointerdown", (event) => {
    const [x, y] = at(event), corner = Math.hypot(x - box[2], y - box[3]) < 0.8;
    const within = x >= box[0] && x < box[2] && y >= box[1] && y < box[3];
    held = { how: corner ? "corner" : within ? "box" : "new", x, y, from: [...box] };
    if (held.how === "new") held.start = [clamp(Math.floor(x), 0, W - 1), clamp(Math.floor(y), 0, H - 1)];
    map.setPointerCapture(event.pointerId);
    event.preventDefault();
    map.focus({ preventScroll: true });
  });
  map.addEventListener("pointermove", (event) => {
    if (!held) return;
    const [x, y] = at(event);
    if (held.how === "box") {
      const [dx, dy] = [Math.round(x - held.x), Math.round(y - held.y)];
      box = [...held.from];
      move(dx, dy);
    } else if (held.how === "corner") resize(Math.round(x), Math.round(y));
    else {
      const [sx, sy] = held.start, [ex, ey] = [clamp(Math.floor(x), 0, W - 1), clamp(Math.floor(y), 0, H - 1)];
      set([Math.min(sx, ex), Math.min(sy, ey), Math.max(sx, ex) + 1, Math.max(sy, ey) + 1]);
    }
  });
  for (const end of ["pointerup", "pointercancel"]) map.addEventListener(end, () => { held = null; });
  map.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    if (event.shiftKey) resize(box[2] + step[0], box[3] + step[1]);
    else move(...step);
  });
  edges.forEach((e) => e.addEventListener("input", () => {
    const i = Number(e.dataset.edge), next = [...box];
    next[i] = i < 2 ? Math.min(Number(e.value), box[i + 2]) : Math.max(Number(e.value), box[i - 2]);
    set(next);
  }));
  form.addEventListener("change", (event) => {
    if (event.target.name !== "fm-image") return show();
    image = Number(event.target.value);
    const inner = event.target.parentElement.querySelector("img").src;
    picture.querySelector("image").setAttributeNS("http://www.w3.org/1999/xlink", "href", inner);
    picture.querySelector("image").setAttribute("href", inner);
    show();
  });
  find('[data-demo="draw"]').addEventListener("click", () => {
    const lambda = Math.random();
    box = draw(find('[data-demo="reading"]').value, lambda, Math.random(), Math.random());
    drawn = lambda;
    show();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  root.featureMining = { answer, draw };        // for tests
  show();
})();
