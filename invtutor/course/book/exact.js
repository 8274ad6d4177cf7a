// The exact world of two bits: a method's descent on two weights, one step at a time. All numbers come from tapes, which
// were written from the library's own code; here the cases are counted out, and what comes back is drawn.
live.plane = { x0: -0.6, y0: -0.8, span: 3, cells: 18 }; // its corner, how far it goes, and in how many cells it is shaded

live.Exact = class {
  constructor(place) {
    const { rates, noise, methods } = live.two_bits;
    Object.assign(this, { place, rates: [...rates], noise, method: Object.keys(methods).at(-1) });
    this.build();
    this.take(this.method);
  }

  // -------------------------------------------------------------------------------------------------- controls

  build() {
    const { make } = live, { methods } = live.two_bits, shares = (end) => Array.from({ length: Math.round(end * 20) + 1 }, (_, i) => i / 20);
    const button = (name, words, act) => make("button", { type: "button", textContent: name, title: words, onclick: act });
    const world = (text, end, value, put) => live.slider(text, shares(end), value, (turned) => { put(turned); this.begin(); });
    const names = Object.entries(methods).map(([name, { label }]) => [name, label]);
    this.choice = live.choice("Method", names, this.method, (name) => this.take(name));
    this.from = live.choice("Start", [["erm", "where ERM ends"], ["zero", "(0, 0)"]], "erm", () => this.begin());
    this.knobs = make("div", { className: "grid" });
    this.status = make("p", { className: "status", role: "status" });
    this.picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    this.picture.setAttribute("aria-hidden", "true"); // its words stand beside it
    this.table = make("table");
    this.words = make("p", { className: "numbers" });
    this.place.replaceChildren(
      make("p", { textContent: "Here a method descends on two weights, w_shape and w_color, in the exact world: four cases and their chances, no samples and no noise." }),
      make("div", { className: "grid" }, this.choice, this.from,
        ...this.rates.map((rate, i) => world(`Flip rate p${i + 1}`, 1, rate, (value) => { this.rates[i] = value; })),
        world("Label noise", 0.5, this.noise, (value) => { this.noise = value; })),
      this.knobs,
      make("div", { className: "buttons" },
        button("Step", "One step of gradient descent", () => this.step(1)),
        button("20 steps", "Twenty of them", () => this.step(20)),
        button("Start again", "To the start, with the present settings", () => this.begin())),
      this.status,
      make("div", { className: "plane" }, this.picture), this.table, this.words,
    );
  }

  take(method) {
    const { methods, ladders } = live.two_bits, { knobs } = methods[method];
    this.method = method;
    this.set = Object.fromEntries(Object.entries(knobs).map(([knob, { value }]) => [knob, value]));
    this.knobs.replaceChildren(...Object.entries(knobs).map(([knob, { sign, value }]) =>
      live.slider(sign, ladders[knob], value, (turned) => { this.set[knob] = turned; this.look(); })));
    this.begin();
  }

  // ------------------------------------------------------------------------------------------------------- descent

  begin() {
    const odds = (chance) => ((held) => Math.log((1 - held) / held))(Math.min(Math.max(chance, 0.01), 0.99)); // as in widgets/stepper.py
    this.shape = [odds(this.noise), 0];
    this.erm = [odds(this.noise), odds(this.rates.reduce((sum, rate) => sum + rate) / this.rates.length)];
    this.path = [this.from.lastChild.value === "erm" ? this.erm : [0, 0]];
    this.heap = this.filled(this.method);
    const world = `${this.rates} ${this.noise}`;
    if (this.shaded !== world) [this.shaded, this.shades] = [world, this.risks()];
    this.look();
  }

  filled(method) { // a heap with the environments in it, each case as often as its chance says
    const { cases, samples } = live.two_bits, heap = heapOf(live.parts[`two_bits-${method}`]);
    this.environments().forEach((rate, place) => {
      const rows = cases.flatMap(([s, c]) => {
        const chance = (s > 0 ? 1 - this.noise : this.noise) * (c > 0 ? 1 - rate : rate);
        return Array(Math.round(samples * chance)).fill([s, c]);
      });
      heap.put(`batch.${place}.inputs`, rows.flat());
      heap.put(`batch.${place}.labels`, 1);
    });
    return heap;
  }

  step(count) {
    for (let i = 0; i < count && this.now.moved.every(Number.isFinite); i++) {
      this.path.push(this.now.moved);
      this.now = this.at(this.now.moved);
    }
    this.look();
  }

  environments() {
    return [...this.rates, live.two_bits.outside];
  }

  at(theta) { // all that the tape tells of these weights
    const { heap } = this;
    heap.put("theta", theta);
    for (const [knob, value] of Object.entries(this.set)) heap.put(`knobs.${knob}`, value);
    heap.run();
    return Object.fromEntries(Object.keys(heap.tape.outputs).map((output) => [output, [...heap.get(output)]]));
  }

  risks() { // the mean of the training risks, cell by cell of the plane; every method has the same, and ERM's tape is short
    const { cells, span, x0, y0 } = live.plane, heap = this.filled("erm");
    return Array.from({ length: cells * cells }, (_, i) => {
      heap.put("theta", [x0 + ((i % cells) + 0.5) * span / cells, y0 + (((i / cells) | 0) + 0.5) * span / cells]);
      heap.run();
      const risks = heap.get("risks").subarray(0, this.rates.length);
      return risks.reduce((sum, risk) => sum + risk) / risks.length;
    });
  }

  // ------------------------------------------------------------------------------------------------------- pictures

  look() {
    const theta = this.path[this.path.length - 1], now = (this.now = this.at(theta)), { make, percent } = live;
    const number = (value) => (Math.abs(value) < 0.01 ? live.say(value) : value.toFixed(4)).replace(/^-/, "−"), pair = (values) => `(${values.map(number).join(", ")})`;
    const { label } = live.two_bits.methods[this.method], taken = this.path.length - 1;
    const heads = ["p", "risk", "∂R/∂w_shape", "∂R/∂w_color", "accuracy", ...("adapted.0" in now ? ["θ′ after the inner step"] : [])];
    const rows = this.environments().map((rate, place) => [
      `${rate}${place < this.rates.length ? "" : ", test"}`, number(now.risks[place]), ...now[`gradients.${place}`].map(number), percent(now.accuracies[place]),
      ...("adapted.0" in now ? [now[`adapted.${place}`] ? pair(now[`adapted.${place}`]) : "–"] : []),
    ]);
    this.table.replaceChildren(
      make("caption", { textContent: "At θ, risks in nats" }),
      make("thead", {}, make("tr", {}, ...heads.map((textContent) => make("th", { scope: "col", textContent })))),
      make("tbody", {}, ...rows.map(([first, ...others]) => make("tr", {}, make("th", { scope: "row", textContent: first }), ...others.map((textContent) => make("td", { textContent }))))),
    );
    const others = Object.keys(now).filter((name) => name.startsWith("metrics.")).map((name) => `${name.slice(8)} ${live.say(now[name][0])}`);
    this.words.textContent = `${label}: ${others.join(", ")}. Its gradient is ${pair(now.gradient)}; the next step goes to ${pair(now.moved)}.`;
    const finite = now.moved.every(Number.isFinite);
    this.status.textContent = `After ${taken} ${taken === 1 ? "step" : "steps"}: w_shape ${number(theta[0])}, w_color ${number(theta[1])}.` +
      (finite ? "" : " The next step is no number: try a smaller step size.");
    this.draw(theta, now);
    reach();
  }

  draw(theta, now) {
    const { colors } = live.two_bits, side = 340, left = 40, low = side - 36, { cells, span, x0, y0 } = live.plane, wide = (side - left - 8) / span, high = (low - 8) / span;
    const x = (value) => left + (value - x0) * wide, y = (value) => low - (value - y0) * high, drawn = [];
    const add = (tag, attributes, text = "") => {
      drawn.push(`<${tag}${Object.entries(attributes).map(([name, value]) => ` ${name}="${value}"`).join("")}>${text}</${tag}>`);
    };
    const best = Math.min(...this.shades), worst = Math.max(...this.shades);
    this.shades.forEach((risk, i) => add("rect", {
      x: x(x0 + (i % cells) * span / cells), y: y(y0 + (((i / cells) | 0) + 1) * span / cells), width: wide * span / cells, height: high * span / cells,
      fill: "#56708a", "shape-rendering": "crispEdges", opacity: (0.5 * Math.sqrt((risk - best) / (worst - best))).toFixed(3),
    }));
    for (const at of [0, 1, 2]) {
      add("text", { x: x(at), y: low + 15, "text-anchor": "middle" }, at);
      add("text", { x: left - 6, y: y(at) + 4, "text-anchor": "end" }, at);
    }
    add("line", { x1: x(x0), x2: x(x0 + span), y1: y(0), y2: y(0), class: "mark" });
    add("text", { x: side - 8, y: low + 30, "text-anchor": "end" }, "w_shape; darker: a higher mean risk");
    add("text", { x: 10, y: 20, transform: "rotate(-90 10 20)", "text-anchor": "end" }, "w_color");
    const arrow = ([dx, dy], color, dash = "") => {
      const from = [x(theta[0]), y(theta[1])], to = [x(theta[0] + dx), y(theta[1] + dy)], long = Math.hypot(to[0] - from[0], to[1] - from[1]);
      if (!(long > 1.5)) return;
      const turn = Math.atan2(to[1] - from[1], to[0] - from[0]), head = [2.6, -2.6].map((by) => `${to[0] + 8 * Math.cos(turn + by)},${to[1] + 8 * Math.sin(turn + by)}`);
      add("polyline", { points: `${from} ${to}`, stroke: color, "stroke-dasharray": dash });
      add("polyline", { points: `${head[0]} ${to} ${head[1]}`, stroke: color });
    };
    for (const [[a, b], name] of [[this.erm, "ERM"], [this.shape, "shape alone"]]) {
      add("circle", { cx: x(a), cy: y(b), r: 4, fill: "none", stroke: "#1a1a1a" });
      add("text", { x: x(a) + 7, y: y(b) + 13 }, name);
    }
    const points = this.path.filter((point) => point.every((value) => Math.abs(value) < 99));
    add("polyline", { points: points.map(([a, b]) => `${x(a)},${y(b)}`).join(" "), stroke: "#1a1a1a", "stroke-width": 1.2 });
    this.rates.forEach((rate, i) => {
      arrow(now[`gradients.${i}`].map((slope) => -this.set.learning_rate * slope), colors[i], ["7 3", "2 3"][i]);
      if (now[`adapted.${i}`]) add("rect", { x: x(now[`adapted.${i}`][0]) - 4, y: y(now[`adapted.${i}`][1]) - 4, width: 8, height: 8, fill: colors[i] });
    });
    arrow([0, 1].map((i) => now.moved[i] - theta[i]), "#1a1a1a");
    add("circle", { cx: x(theta[0]), cy: y(theta[1]), r: 4.5, fill: "#1a1a1a" });
    this.picture.setAttribute("viewBox", `0 0 ${side} ${side}`);
    this.picture.innerHTML = drawn.join("");
  }
};

for (const place of document.querySelectorAll(".exact")) {
  live.load("two_bits").then(
    () => { place.panel = new live.Exact(place); },
    (error) => { place.textContent = `Two weights would be moved here, but ${error.message} Build the site anew, or copy all of it.`; },
  );
}
