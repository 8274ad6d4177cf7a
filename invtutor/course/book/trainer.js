// A training, steered by messages, in a worker; in the page itself where there is none. No part of any method is here: what
// a step does stands in a tape, which was written from the library's own code.

// Torch's generator, so that a seed gives the very draws that it gives in Python (mt19937, 24 bits a float).
function draws(seed) {
  const state = new Uint32Array(624);
  let next = 624;
  state[0] = seed;
  for (let i = 1; i < 624; i++) state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
  const word = () => {
    if (next === 624) {
      for (let i = 0; i < 624; i++) {
        const both = (state[i] & 0x80000000) | (state[(i + 1) % 624] & 0x7fffffff);
        state[i] = state[(i + 397) % 624] ^ (both >>> 1) ^ (both & 1 ? 0x9908b0df : 0);
      }
      next = 0;
    }
    let drawn = state[next++];
    drawn ^= drawn >>> 11;
    drawn ^= (drawn << 7) & 0x9d2c5680;
    drawn ^= (drawn << 15) & 0xefc60000;
    return (drawn ^ (drawn >>> 18)) >>> 0;
  };
  const unit = () => (word() & 0xffffff) / 0x1000000;
  return { word, unit, units: (count) => Float32Array.from({ length: count }, unit), below: (n) => word() % n };
}

// A heap of numbers, and the product of two matrices in it, which skips the zeros of one of them: digits are mostly
// paper, and ReLU leaves half of its units silent.
function heapOf(tape, kernel) {
  let H, add;
  if (kernel) {
    const memory = new WebAssembly.Memory({ initial: Math.ceil((tape.size * 4) / 65536) });
    const inner = new WebAssembly.Instance(kernel, { page: { memory } }).exports.add;
    H = new Float32Array(memory.buffer);
    add = (o, n, a, b, c, d, va, vb, vc, vd) => inner(o << 2, n, a << 2, b << 2, c << 2, d << 2, va, vb, vc, vd);
  } else {
    H = new Float32Array(tape.size);
    add = (o, n, a, b, c, d, va, vb, vc, vd) => {
      for (let i = 0; i < n; i++) H[o + i] += va * H[a + i] + vb * H[b + i] + vc * H[c + i] + vd * H[d + i];
    };
  }
  const filled = (at, down, right, rows, columns) => { // the share that is not zero, of some
    let found = 0, seen = 0;
    for (let i = 0; i < rows * columns; i += 11, seen++) {
      if (H[at + ((i / columns) | 0) * down + (i % columns) * right] !== 0) found++;
    }
    return found / seen;
  };
  const dense = (at, down, right, rows, columns, to) => { // the same, row by row without gaps
    if (right === 1 && down === columns) return at;
    for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) H[to + i * columns + j] = H[at + i * down + j * right];
    return to;
  };
  const skipping = (a, down, right, b, out, m, k, n) => { // b and out are dense
    H.fill(0, out, out + m * n);
    for (let i = 0; i < m; i++) {
      const row = a + i * down, to = out + i * n;
      let found = 0, va = 0, vb = 0, vc = 0, pa = b, pb = b, pc = b;
      for (let j = 0; j < k; j++) {
        const value = H[row + j * right];
        if (value === 0) continue;
        const at = b + j * n;
        if (found === 0) { va = value; pa = at; found = 1; }
        else if (found === 1) { vb = value; pb = at; found = 2; }
        else if (found === 2) { vc = value; pc = at; found = 3; }
        else { add(to, n, pa, pb, pc, at, va, vb, vc, value); found = 0; }
      }
      if (found) add(to, n, pa, pb, pc, b, va, found > 1 ? vb : 0, found > 2 ? vc : 0, 0);
    }
  };
  const product = (a, a0, a1, b, b0, b1, out, m, k, n) => {
    const work = (share, length) => share * (1 + 8 / length); // for a number of the result; short rows cost more
    if (work(filled(a, a0, a1, m, k), n) <= work(filled(b, b0, b1, k, n), m)) {
      skipping(a, a0, a1, dense(b, b0, b1, k, n, tape.scratch), out, m, k, n);
    } else { // the other way round, and the result turned
      const turned = tape.scratch + k * m;
      skipping(b, b1, b0, dense(a, a1, a0, k, m, tape.scratch), turned, n, k, m);
      for (let i = 0; i < m; i++) for (let j = 0; j < n; j++) H[out + i * n + j] = H[turned + j * m + i];
    }
  };
  const step = new Function(`return ${tape.code}`)();
  const put = (name, value) => {
    const [at, count] = tape.inputs[name];
    if (typeof value === "number") H.fill(value, at, at + count); else H.set(value, at);
  };
  const get = (name, kind = "outputs") => H.subarray(tape[kind][name][0], tape[kind][name][0] + tape[kind][name][1]);
  return { H, run: () => step(H, product), put, get, tape };
}

// The world, as worlds/colored_mnist.py draws it: all draws in its order, those of what is not here, too.
function worldOf(start, random) {
  const { samples, pool, held, test, tests } = start.sizes, noise = Math.fround(start.noise);
  const { ink, kinds } = start.digits;
  for (let i = 1; i < pool; i++) random.word();
  const labelled = (count, first, all) => {
    const wrong = random.units(all), color = random.units(all);
    const labels = Uint8Array.from({ length: count }, (_, i) => kinds[first + i] ^ (wrong[i] < noise));
    return { labels, color, first };
  };
  const train = start.rates.map((rate, place) => {
    const drawn = labelled(samples, place * samples, samples);
    random.units(2 * held); // validation
    return { ...drawn, colors: drawn.labels.map((label, i) => label ^ (drawn.color[i] < Math.fround(rate))) };
  });
  const judged = labelled(test, start.rates.length * samples, tests);
  const paint = (H, at, digit, color) => {
    const from = digit * 196, to = at + color * 196; // 14 × 14 pixels
    for (let k = 0; k < 196; k++) H[to + k] = ink[from + k] / 255;
  };
  return { train, judged, paint };
}

function trainer(post) {
  "use strict";
  const SIDE = 196; // pixels of a digit
  let run, number; // the present one

  function begin(start) {
    const random = draws(start.seed), world = worldOf(start, random);
    let kernel = null;
    try {
      kernel = new WebAssembly.Module(start.kernel);
    } catch { /* no WebAssembly, or an old one: JavaScript does it */ }
    const step = heapOf(start.step, kernel), judge = heapOf(start.judge, kernel);
    start.shapes.forEach((shape, place) => { // Xavier's uniform weights, biases of zero
      if (shape.length < 2) return;
      const bound = Math.sqrt(6 / (shape[0] + shape[1])), low = Math.fround(-bound), width = Math.fround(Math.fround(bound) - low);
      step.put(`parameters.${place}`, random.units(shape[0] * shape[1]).map((x) => Math.fround(Math.fround(x * width) + low)));
    });
    for (const [name, values] of Object.entries(start.state)) step.put(`state.${name}`, values);
    [0, 1].forEach((flip) => {
      const [at] = judge.tape.inputs[`batch.${flip}.inputs`], { labels, first } = world.judged;
      labels.forEach((label, i) => world.paint(judge.H, at + i * 2 * SIDE, first + i, label ^ flip));
      judge.put(`batch.${flip}.labels`, labels);
    });
    const first = { ...start.knobs }, until = start.steps;
    run = { ...start, first, until, taken: 0, changes: [], spent: 0, timed: 0, random, world, step, judge, wasm: !!kernel };
  }

  function acting() { // the knobs as they act in the next step (runs/loop.step_at)
    const { knobs, fixed, taken } = run, values = { ...fixed, ...knobs };
    if ("penalty_weight" in knobs) {
      const full = knobs.penalty_weight, early = Math.min(fixed.early_weight, full);
      const share = taken < knobs.anneal ? 0 : fixed.ramp ? Math.min((taken - knobs.anneal) / fixed.ramp, 1) : 1;
      values.penalty_weight = early + (full - early) * share;
      if (taken >= knobs.anneal) values.learning_rate *= fixed.late_rate;
    }
    return values;
  }

  function forget() { // Adam's running means, where annealing ends (runs/loop.training)
    const { knobs, fixed, taken, step } = run, annealing = taken < knobs.anneal;
    if (fixed.restart && taken && annealing !== run.annealing) {
      for (const [name, [at, count]] of Object.entries(step.tape.inputs)) {
        if (/^state\.(step|first|second)\b/.test(name)) step.H.fill(0, at, at + count);
      }
    }
    run.annealing = annealing;
  }

  function draw() {
    const { world, step, random, batch } = run;
    world.train.forEach(({ labels, colors, first }, place) => {
      const [at, count] = step.tape.inputs[`batch.${place}.inputs`], [to] = step.tape.inputs[`batch.${place}.labels`];
      step.H.fill(0, at, at + count);
      for (let i = 0; i < batch; i++) {
        const which = random.below(labels.length);
        world.paint(step.H, at + i * 2 * SIDE, first + which, colors[which]);
        step.H[to + i] = labels[which];
      }
    });
  }

  function take() {
    draw();
    forget();
    const values = acting(), { step } = run;
    for (const name in step.tape.inputs) if (name.startsWith("knobs.")) step.put(name, values[name.slice(6)]);
    step.run();
    run.taken++;
    const metrics = {};
    for (const name in step.tape.outputs) if (name.startsWith("metrics.")) metrics[name.slice(8)] = step.get(name)[0];
    for (const name in metrics) {
      if (!Number.isFinite(metrics[name])) throw new Error(`${name} is ${metrics[name]} at step ${run.taken}. Try a smaller learning rate.`);
    }
    run.metrics = metrics;
    run.stepped = { ...run.knobs };
    run.acted = values.penalty_weight;
  }

  function look() { // accuracy under agreeing and under flipped color, and what was said of the first digits
    const { judge, step, world } = run;
    for (const name in judge.tape.inputs) if (name.startsWith("parameters.")) judge.put(name, step.get(name, "inputs"));
    judge.run();
    const right = [0, 1].map((flip) => judge.get(`right.${flip}`));
    const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
    const shown = Array.from({ length: run.shown }, (_, i) => {
      const flip = +(world.judged.color[i] < Math.fround(run.outside)), label = world.judged.labels[i];
      const from = (world.judged.first + i) * SIDE;
      return { label, color: label ^ flip, said: right[flip][i] ? label : 1 - label, ink: run.digits.ink.slice(from, from + SIDE) };
    });
    return { corners: right.map(mean), shown };
  }

  function tell(judged) {
    const { taken, metrics, playing, spent, timed, acted, wasm, first, changes, until } = run;
    const speed = timed ? (1000 * timed) / spent : null;
    post({ kind: "state", number, taken, metrics, playing, acted, wasm, first, changes, until, speed, ...(judged ? look() : {}) });
  }

  const soon = (() => { // without the delay of timers that follow each other
    const channel = new MessageChannel(), waiting = [];
    channel.port1.onmessage = () => waiting.shift()();
    return (action) => { waiting.push(action); channel.port2.postMessage(0); };
  })();

  function burst(mine) { // steps for a moment; then messages have their turn
    if (run !== mine || !run.playing) return;
    const from = performance.now();
    let count = 0, judged = false;
    guarded(() => {
      do {
        take();
        count++;
        judged = run.taken % run.every === 0 || run.taken === run.until;
      } while (!judged && performance.now() - from < run.burst);
      run.spent += performance.now() - from;
      run.timed += count;
      if (run.taken === run.until) run.playing = false;
      tell(judged);
    });
    if (run.playing) soon(() => burst(mine));
  }

  function guarded(action) {
    try {
      action();
    } catch (error) {
      if (run) run.playing = false;
      post({ kind: "failure", number, text: error.message });
    }
  }

  const orders = {
    start(order) {
      ({ number } = order);
      run = null; // the older one's heaps go first
      begin(order);
      tell(true);
    },
    turn({ name, value }) { // as runs/session.py keeps it
      if (run.knobs[name] === value) return;
      run.knobs[name] = value;
      if (!run.taken) run.first[name] = value;
      else {
        run.changes = run.changes.filter((change) => change.step !== run.taken || change.name !== name);
        if (run.stepped[name] !== value) run.changes.push({ step: run.taken, name, value });
      }
    },
    play() {
      if (run.playing) return;
      run.playing = true;
      if (run.taken >= run.until) run.until += run.steps;
      const mine = run;
      soon(() => burst(mine));
    },
    pause() {
      run.playing = false;
      tell(true);
    },
    step() {
      run.playing = false;
      take();
      tell(true);
    },
  };
  return (order) => guarded(() => orders[order.kind](order));
}
