// Live panels: they load what a training needs, hand it to a worker, and draw what comes back.
var live = {
  parts: {},
  part(name, tape, step) {
    live.parts[name] = { ...tape, code: String(step) };
  },
  loading: {},
  load(name) { // a script beside this one, once; a folder's page may load nothing else
    live.loading[name] ??= new Promise((done, failed) => {
      const script = document.createElement("script");
      script.src = `live/${name}.js`;
      script.onload = () => (live[name] || live.parts[name] ? done() : failed(new Error(`live/${name}.js is damaged.`)));
      script.onerror = () => failed(new Error(`live/${name}.js is missing.`));
      document.head.append(script);
    });
    return live.loading[name];
  },
  unpack() { // the digits: pixels, and then the clean labels
    live.unpacked ??= (async () => {
      const { samples, test } = live.settings.sizes, count = live.settings.rates.length * samples + test;
      if (!self.DecompressionStream) throw new Error("This browser is too old for it: it cannot unpack the digits.");
      try {
        const bytes = Uint8Array.from(atob(live.digits), (sign) => sign.charCodeAt(0));
        const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
        const all = new Uint8Array(await new Response(stream).arrayBuffer());
        if (all.length !== count * 197) throw new Error();
        return { ink: all.subarray(0, count * 196), kinds: all.subarray(count * 196) };
      } catch {
        throw new Error("live/digits.js is damaged.");
      }
    })();
    return live.unpacked;
  },
  hire(receive, failed) { // a trainer, and how to give it orders
    try {
      const code = `${[draws, heapOf, worldOf, trainer].join("\n")}\nself.onmessage = ((give) => ({ data }) => give(data))(trainer((told) => self.postMessage(told)));`;
      const address = URL.createObjectURL(new Blob([code], { type: "text/javascript" })), worker = new Worker(address);
      worker.onmessage = ({ data }) => receive(data);
      worker.onerror = (error) => failed(error.message || "the worker could not start.");
      return { give: (order) => worker.postMessage(order), burst: 40 };
    } catch { // none here: it trains in between
      const give = trainer(receive);
      return { give: (order) => setTimeout(() => give(order)), burst: 15 };
    }
  },
};

live.make = (tag, options = {}, ...inside) => {
  const { data = {}, ...plain } = options, made = Object.assign(document.createElement(tag), plain);
  Object.assign(made.dataset, data);
  made.append(...inside);
  return made;
};

live.choice = (text, options, value, act) => {
  const { make } = live, select = make("select", {}, ...options.map(([key, words]) => make("option", { value: key, textContent: words })));
  select.value = value;
  select.onchange = () => act(select.value);
  return make("label", {}, make("span", { textContent: text }), select);
};

live.slider = (text, rungs, value, act, event = "input") => {
  const { make } = live, input = make("input", { type: "range", min: 0, max: rungs.length - 1, step: 1 }), output = make("span", { className: "value" });
  const show = () => {
    output.textContent = rungs[input.value].toLocaleString("en", { maximumFractionDigits: 10 });
    input.setAttribute("aria-valuetext", output.textContent);
  };
  input.value = rungs.reduce((best, rung, i) => (Math.abs(rung - value) < Math.abs(rungs[best] - value) ? i : best), 0);
  input.addEventListener("input", show);
  input.addEventListener(event, () => act(rungs[input.value]));
  show();
  return make("label", {}, make("span", { textContent: text }), input, output);
};

live.say = (value) => String(+(+value).toPrecision(4));
live.percent = (share) => `${(100 * share).toFixed(1)} %`;

// ------------------------------------------------------------------------------------------------------------ pictures

// Lines over an axis, each with its name at its end.
live.chart = (svg, { title, across, along, lines, marks = [], dots = [] }) => {
  const width = Math.max(260, svg.parentElement.clientWidth), height = 250, left = 44, right = width - 74, top = 26, low = height - 40;
  const x = (value) => left + ((value - across[0]) / (across[1] - across[0])) * (right - left), y = (value) => low - value * (low - top);
  const drawn = [];
  const add = (tag, attributes, text = "") => {
    const names = Object.entries(attributes).map(([name, value]) => ` ${name}="${value}"`).join("");
    drawn.push(`<${tag}${names}>${text}</${tag}>`);
  };
  add("text", { x: 0, y: 14, class: "title" }, title);
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    add("line", { x1: left, x2: right, y1: y(share), y2: y(share), class: "grid" });
    add("text", { x: left - 6, y: y(share) + 4, "text-anchor": "end" }, `${100 * share} %`);
  }
  const unit = [0.25, 50, 100, 200, 500, 1000, 2000, 5000].find((step) => (across[1] - across[0]) / step <= 6) ?? 10000;
  for (let at = across[0]; at <= across[1] + 1e-9; at += unit) add("text", { x: x(at), y: low + 17, "text-anchor": "middle" }, at);
  add("text", { x: right, y: low + 34, "text-anchor": "end" }, along);
  for (const { at, text } of marks) {
    if (at > across[1]) continue;
    add("line", { x1: x(at), x2: x(at), y1: top, y2: low, class: "mark" });
    add("text", { x: x(at) + 3, y: low - 5, class: "small" }, text);
  }
  const ends = lines.map(({ points, name, color }) => ({ name, color, at: y(points[points.length - 1][1]) })).sort((a, b) => a.at - b.at);
  ends.forEach((end, place) => place && (end.at = Math.max(end.at, ends[place - 1].at + 15))); // names beside each other
  const over = ends.length ? Math.max(0, ends[ends.length - 1].at - low) : 0;
  lines.forEach(({ points, color, dash = "" }) => {
    add("polyline", { points: points.map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`).join(" "), stroke: color, "stroke-dasharray": dash });
  });
  dots.forEach(({ point: [a, b], color }) => add("circle", { cx: x(a), cy: y(b), r: 4.5, fill: color }));
  ends.forEach(({ name, color, at }) => add("text", { x: right + 5, y: at - over + 4, fill: color, class: "name" }, name));
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("height", height);
  svg.innerHTML = drawn.join("");
};

// --------------------------------------------------------------------------------------------------------------- panel

live.Panel = class {
  constructor(place) {
    this.place = place;
    this.number = 0; // of the run: what an older one still tells is not heard
    const { settings } = live, own = { rates: [...settings.rates], noise: settings.noise, seed: 0, width: settings.widths[0].width };
    this.start = place.dataset.start;
    this.world = own;
    this.trainer = live.hire((told) => this.hear(told), (error) => this.stop(error));
    this.build();
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden || !this.state?.playing) return;
      this.give({ kind: "pause" });
      this.note = "Paused while the page was hidden; Play goes on.";
    });
    new ResizeObserver(() => this.records.length && (this.overSteps(), this.overRates())).observe(place);
    this.renew();
  }

  give(order) {
    this.trainer.give(order);
  }

  // -------------------------------------------------------------------------------------------------- controls

  build() {
    const { make } = live, { settings } = live, presets = Object.keys(settings.starts).filter((name) => !(name in settings.methods));
    const button = (name, words, act) => make("button", { type: "button", textContent: name, title: words, onclick: act });
    const own = [["", "your own"], ...presets.map((name) => [name, name])];
    this.preset = live.choice("Preset", own, "", (name) => name && this.take(name));
    this.method = live.choice("Method", Object.entries(settings.methods), "erm", (name) => this.take(name));
    const widths = settings.widths.map(({ width }) => [width, `width ${width}`]);
    this.network = live.choice("Network", widths, this.world.width, (width) => this.fresh({ width: +width }));
    const shares = (end) => Array.from({ length: Math.round(end * 20) + 1 }, (_, i) => i / 20);
    const rate = (place) => live.slider(`Flip rate p${place + 1}`, shares(1), this.world.rates[place], (value) => this.fresh({ rates: this.world.rates.map((old, i) => (i === place ? value : old)) }), "change");
    this.worldly = [
      ...this.world.rates.map((_, place) => rate(place)),
      live.slider("Label noise", shares(0.5), this.world.noise, (noise) => this.fresh({ noise }), "change"),
      live.slider("Seed", [...Array(10).keys()], this.world.seed, (seed) => this.fresh({ seed }), "change"),
    ];
    this.knobs = make("div", { className: "grid" });
    this.status = make("p", { className: "status", role: "status" });
    this.status.setAttribute("aria-live", "polite");
    this.smaller = button("Take the smaller network", "A fresh run with half the width and half the batch", () => this.fresh({ width: settings.widths[1].width }));
    this.smaller.hidden = true;
    this.buttons = make(
      "div", { className: "buttons" },
      (this.player = button("Play", "Train until the last step, and on when pressed again", () => this.play())),
      button("Pause", "Stop training; everything stays", () => this.give({ kind: "pause" })),
      button("Step", "Take a single step", () => this.give({ kind: "step" })),
      button("Start again", "From step 0, with the present settings", () => this.renew()),
      this.smaller,
    );
    const svg = (className) => {
      const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      picture.setAttribute("aria-hidden", "true"); // its words stand below
      return [make("div", { className }, picture), picture];
    };
    const [first, over] = svg("chart wide"), [second, curve] = svg("chart");
    Object.assign(this, { over, curve });
    this.digits = make("div", { className: "digits" });
    this.numbers = make("p", { className: "numbers" });
    this.command = make("code");
    const told = make("details", {}, make("summary", { textContent: "The command that takes these steps in Python" }), make("pre", {}, this.command), (this.about = make("p")));
    const { note } = this.place.dataset, count = (2 * settings.sizes.samples).toLocaleString("en");
    const which = settings.real ? "digits of MNIST" : "drawn digits, which stand in for MNIST";
    this.place.replaceChildren(
      ...(note ? [make("p", { textContent: note })] : []),
      make("p", { textContent: `Here your browser trains the network, on ${count} ${which}, by the library's own code.` }),
      make("p", { className: "fresh", textContent: "A fresh run starts when one of these is changed:" }),
      make("div", { className: "grid" }, this.preset, this.method, this.network, ...this.worldly),
      make("p", { className: "fresh", textContent: "The running training follows these:" }),
      this.knobs, this.buttons, this.status,
      make("div", { className: "charts" }, first, second), this.digits, this.numbers, told,
    );
    this.take(this.start, false);
  }

  take(name, begin = true) { // a method, or a preset
    const start = live.settings.starts[name], words = { learning_rate: "Learning rate", anneal: "Anneal until step" };
    this.start = name;
    this.set = Object.fromEntries(Object.entries(start.knobs).map(([knob, { value }]) => [knob, value]));
    this.preset.lastChild.value = start.hint ? name : "";
    this.method.lastChild.value = start.method;
    this.knobs.replaceChildren(...Object.entries(start.knobs).map(([knob, { sign, rungs, value }]) =>
      live.slider(words[knob] ?? sign, rungs, value, (turned) => this.turn(knob, turned))));
    if (begin) this.renew();
  }

  turn(name, value) {
    this.set[name] = value;
    this.preset.lastChild.value = "";
    if (this.state?.taken) this.marks.push({ at: this.state.taken, text: this.sign(name) });
    this.give({ kind: "turn", name, value });
  }

  fresh(changed) {
    Object.assign(this.world, changed);
    this.network.lastChild.value = this.world.width;
    this.preset.lastChild.value = "";
    this.renew();
  }

  sign(name) {
    return live.settings.starts[this.start].knobs[name].sign;
  }

  play() {
    this.note = "";
    this.give({ kind: "play" });
  }

  // ------------------------------------------------------------------------------------------------------- runs

  async renew() {
    const { settings } = live, start = settings.starts[this.start], { method } = start, { rates, noise, seed, width } = this.world;
    const number = ++this.number, going = this.state?.playing ?? false, { batch, shapes } = settings.widths.find((each) => each.width === width);
    if (this.state) this.give({ kind: "pause" });
    this.stale.clear();
    try {
      this.tell("Loading…");
      const names = [`${method}-${width}`, `judge-${width}`];
      const [digits] = await Promise.all([live.load("digits").then(live.unpack), ...names.map(live.load)]);
      if (number !== this.number) return;
      const kernel = Uint8Array.from(atob(settings.kernel), (sign) => sign.charCodeAt(0));
      const [step, judge] = names.map((name) => live.parts[name]);
      Object.assign(this, { records: [], marks: [], shown: [], state: null, note: "", begun: { method, rates: [...rates], noise, seed, width, batch } });
      this.give({
        kind: "start", number, step, judge, digits, kernel, shapes, batch, rates, noise, seed, knobs: { ...this.set }, fixed: start.fixed,
        state: start.state, steps: start.steps, sizes: settings.sizes, every: settings.every, shown: settings.shown, outside: settings.outside, burst: this.trainer.burst,
      });
      if (going) this.play();
    } catch (error) {
      if (number === this.number) this.stop(error.message);
    }
  }

  records = [];
  stale = new Set(); // the parts that show less than is known

  hear(told) {
    if (told.number !== this.number) return;
    if (told.kind === "failure") return this.stop(`${live.settings.methods[this.begun.method]}: ${told.text}`);
    this.state = told;
    if (told.corners) {
      if (this.records.length && this.records[this.records.length - 1].taken === told.taken) this.records.pop();
      this.records.push({ taken: told.taken, corners: told.corners });
      this.shown = told.shown;
      for (const part of ["overSteps", "overRates", "said"]) this.stale.add(part);
    }
    this.stale.add("standing");
    if (told.playing) this.soon();
    else this.draw();
  }

  draw() {
    for (const part of this.stale) this[part]();
    this.stale.clear();
  }

  soon() { // a part with a frame, and the next one after four times as long as that took: what a hand does comes first
    if (this.waiting || !this.stale.size) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      const from = performance.now(), [part] = this.stale;
      this.stale.delete(part);
      if (part) this[part]();
      setTimeout(() => setTimeout(() => { // painted by now
        this.waiting = false;
        this.soon();
      }, 4 * (performance.now() - from)));
    });
  }

  stop(text) {
    if (this.state) this.state.playing = false;
    this.draw();
    this.tell(`Stopped. ${text} ${this.records.length ? "Start again begins anew." : "The lesson can be read without the panel, and its notebook has the same panel."}`);
  }

  tell(text) {
    if (this.status.textContent !== text) this.status.textContent = text;
  }

  standing() {
    const { taken, playing, until, speed, wasm, metrics, acted } = this.state, { settings } = live, preset = this.preset.lastChild.value;
    const stands = playing ? "Training." : taken === 0 ? "Ready at step 0." : taken < until ? `Paused at step ${taken}.` : `Paused at step ${taken}, the last. Play goes on.`;
    const slow = speed && speed < 20 && taken >= 20 && this.begun.width === settings.widths[0].width;
    this.smaller.hidden = !slow;
    this.tell([
      this.note || stands,
      wasm ? "" : "This browser has no WebAssembly, or an old one: it trains without, at a half to a third of the speed.",
      slow ? "This device takes fewer than 20 steps a second; the smaller network is two to three times as fast." : "",
      preset ? `What to look for: ${settings.real ? "" : "seen on MNIST: "}${settings.starts[preset].hint}` : "",
    ].filter(Boolean).join(" "));
    const right = this.accuracies(this.records[this.records.length - 1].corners).map(({ name, value }) => `${name} ${live.percent(value)}`);
    const others = Object.entries(metrics ?? {}).map(([name, value]) => `${name} ${live.say(value)}`);
    const weight = acted !== undefined && acted !== this.set.penalty_weight ? ` (${this.sign("penalty_weight")} acts as ${live.say(acted)})` : "";
    const standing = Object.keys(this.set).map((name) => `${this.sign(name)} = ${this.set[name].toLocaleString("en", { maximumFractionDigits: 10 })}`);
    this.numbers.textContent =
      `Step ${taken}, ${settings.methods[this.begun.method]}: ${standing.join(", ")}${weight}. Accuracy on ${settings.sizes.test.toLocaleString("en")} test digits, ` +
      `at step ${this.records[this.records.length - 1].taken}: ${right.join(", ")}.${others.length ? ` On the last batch: ${others.join(", ")}.` : ""}${speed ? ` ${Math.round(speed)} steps a second.` : ""}`;
    this.retell();
  }

  retell() {
    const { method, rates, noise, seed, width, batch } = this.begun, { taken, first, changes } = this.state, { words } = live.settings.starts[this.start];
    const values = { ...first, flip_rates: rates.join(","), label_noise: noise, seed, width, batch_size: batch, steps: Math.max(1, taken) };
    const given = [...words, ...Object.entries(values).map(([name, value]) => `${name}=${value}`)].map((word) => `-p ${word}`);
    const turned = changes.filter(({ step }) => step < taken).map(({ step, name, value }) => `--steer=${step}:${name}=${value}`);
    this.command.textContent = ["invtutor run", method, ...given, ...turned].join(" ");
    this.about.textContent = seed === 0
      ? "Digits, colors, first weights and batches are the same there; it is judged on all 10,000 test digits."
      : "Label noise, colors, first weights and batches are drawn by the same seed there, but from other digits: this page has those of seed 0.";
  }

  accuracies(corners) {
    const rates = [...new Set([...this.begun.rates, live.settings.outside])];
    return rates.map((rate, place) => ({ name: `p = ${rate}`, rate, value: (1 - rate) * corners[0] + rate * corners[1], color: live.settings.colors[place] }));
  }

  overSteps() {
    const { records, set } = this, last = records[records.length - 1], steps = Math.max(live.settings.starts[this.start].steps, last.taken);
    const now = this.accuracies(last.corners), dashes = ["7 3", "2 3", ""];
    const lines = now.map(({ name, rate, color }, place) => ({ name, color, dash: dashes[place], points: records.map(({ taken, corners }) => [taken, (1 - rate) * corners[0] + rate * corners[1]]) }));
    const marks = "penalty_weight" in set ? [...this.marks, { at: set.anneal, text: `${this.sign("penalty_weight")} acts` }] : this.marks;
    live.chart(this.over, { title: "Accuracy at three flip rates", across: [0, steps], along: "steps", lines, marks });
  }

  overRates() {
    const last = this.records[this.records.length - 1], now = this.accuracies(last.corners);
    const dots = now.map(({ rate, value, color }) => ({ point: [rate, value], color }));
    const shape = 1 - this.begun.noise, line = { name: "now", color: "#1a1a1a", points: [[0, last.corners[0]], [1, last.corners[1]]] };
    live.chart(this.curve, { title: "Accuracy over the flip rate p", across: [0, 1], along: "p", lines: [line, { name: "shape", color: "#595959", dash: "4 4", points: [[0, shape], [1, shape]] }], dots });
  }

  said() {
    if (this.pictured !== this.begun) this.digits.replaceChildren(...this.shown.map((each) => this.digit(each)));
    this.pictured = this.begun; // in a run only what is said of a digit changes
    this.shown.forEach(({ label, said }, place) => {
      const figure = this.digits.children[place], right = said === label;
      figure.className = right ? "right" : "wrong";
      figure.lastChild.textContent = `${label} → ${said} ${right ? "✓" : "✗"}`;
    });
  }

  digit({ label, color, ink }) {
    const { name, parts } = live.settings.inks[color];
    const canvas = live.make("canvas", { width: 14, height: 14 }), pen = canvas.getContext("2d"), picture = pen.createImageData(14, 14);
    for (let i = 0; i < 196; i++) picture.data.set([...parts.map((part) => (part * ink[i]) / 255), 255], 4 * i);
    pen.putImageData(picture, 0, 0);
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${name === "orange" ? "An" : "A"} ${name} digit of class ${label}`);
    return live.make("figure", {}, canvas, live.make("figcaption"));
  }
};

for (const place of document.querySelectorAll(".live:not(.exact)")) {
  new IntersectionObserver((seen, observer) => {
    if (!seen.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    Promise.all(["settings", "digits"].map(live.load)).then(
      () => { place.panel = new live.Panel(place); },
      (error) => { place.textContent = `This panel would train a network here, but ${error.message} Build the site anew, or copy all of it.`; },
    );
  }, { rootMargin: "200px" }).observe(place);
}
