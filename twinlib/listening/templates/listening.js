"use strict";

// The listening parts of a page: players, A/B/X and MUSHRA. The page contains the stimuli as base64 FLAC in #tw-data, and
// the HTML of the parts. The script makes no network requests and runs from the file system.
(() => {
  const DECODE_ERROR =
    "This browser cannot decode the audio of this page (FLAC through the Web Audio API): open it in a current Firefox or Chromium.";
  const TIME_CONSTANT = 0.002; // seconds; a switch is 99 % complete after 9 ms and inaudible
  const LEAD = 0.03; // seconds from a command to the first sample, so that all sources start on the same sample
  const POST_SCREENING = 90; // ITU-R BS.1534-3: the lowest valid rating of the hidden reference

  // ------------------------------------------------------------------------------------------------ utilities

  // Mulberry32 (Tommy Ettinger 2017, public domain): a generator with 32 bits of state, numbers in [0, 1).
  function mulberry32(seed) {
    let state = seed >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = state;
      t = Math.imul(t ^ (t >>> 15), t | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }

  // X in each trial: A if the next number is below one half.
  function abxSeries(seed, trials) {
    const random = mulberry32(seed);
    return Array.from({ length: trials }, () => (random() < 0.5 ? "a" : "b"));
  }

  // Fisher and Yates, from the last element down.
  function shuffled(items, random) {
    const order = [...items];
    for (let i = order.length - 1; i > 0; i--) {
      const j = Math.floor(random() * (i + 1));
      [order[i], order[j]] = [order[j], order[i]];
    }
    return order;
  }

  // The order of excerpt n is the n-th shuffle of one generator.
  function mushraOrder(seed, excerpt, names) {
    const random = mulberry32(seed);
    let order = shuffled(names, random);
    for (let i = 0; i < excerpt; i++) {
      order = shuffled(names, random);
    }
    return order;
  }

  // The p-value: the exact probability of at least `right` correct answers by guessing (upper tail of the binomial).
  function pValue(right, trials) {
    let term = 0.5 ** trials;
    let tail = 0;
    for (let k = 0; k <= trials; k++) {
      tail += k >= right ? term : 0;
      term *= (trials - k) / (k + 1);
    }
    return Math.min(tail, 1);
  }

  function minimumRight(trials) {
    let right = 0;
    while (right <= trials && pValue(right, trials) >= 0.05) {
      right++;
    }
    return right;
  }

  function csv(rows) {
    const field = (value) => (/[",\r\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value));
    return rows.map((row) => row.map(field).join(",") + "\r\n").join("");
  }

  function download(name, text) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  function element(name, properties = {}, children = []) {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  }

  function table(head, rows) {
    const line = (name, cells) => element("tr", {}, cells.map((cell) => element(name, { textContent: String(cell) })));
    return element("table", { className: "tw-table" }, [
      element("thead", {}, [line("th", head)]),
      element("tbody", {}, rows.map((row) => line("td", row))),
    ]);
  }

  // The control of a part with this role, and all controls of a kind.
  const control = (root, role) => root.querySelector(`[data-tw="${role}"]`);
  const controls = (root, kind) => [...root.querySelectorAll(`[data-tw-${kind}]`)];

  // An integer field, clamped to its range when editing ends. `changed` is called on every key, so that a click outside of
  // the field acts on the new value.
  function wholeNumber(input, least, most, changed) {
    const read = () => Math.min(Math.max(Math.round(Number(input.value)) || 0, least), most);
    input.addEventListener("input", changed);
    input.addEventListener("change", () => {
      input.value = read();
    });
    return read;
  }

  // ---------------------------------------------------------------------------------------------------------- decoding and playback

  function bytesOf(base64) {
    const text = atob(base64);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) {
      bytes[i] = text.charCodeAt(i);
    }
    return bytes.buffer;
  }

  async function decodeExcerpt(excerpt) {
    // Decoding resamples to the rate of its context. Unlike a live context, an offline one needs no user gesture.
    const context = new OfflineAudioContext(1, 1, excerpt.rate);
    const decode = async ([name, stimulus]) => [name, await context.decodeAudioData(bytesOf(stimulus.flac))];
    const buffers = await Promise.all(Object.entries(excerpt.stimuli).map(decode));
    return { ...excerpt, buffers: Object.fromEntries(buffers) };
  }

  let liveContext = null;

  function contextFor(rate) {
    if (!liveContext) {
      try {
        liveContext = new AudioContext({ sampleRate: rate });
      } catch {
        liveContext = new AudioContext();
      }
    }
    return liveContext;
  }

  // A source and a gain per stimulus, all started on the same sample at `when` from `offset` seconds.
  function connect(context, buffers, { from, to, loop }, when, offset) {
    const master = context.createGain();
    master.gain.setValueAtTime(0, when);
    master.gain.setTargetAtTime(1, when, TIME_CONSTANT);
    master.connect(context.destination);
    const gains = buffers.map(() => context.createGain());
    const sources = buffers.map((buffer, i) => {
      const source = context.createBufferSource();
      Object.assign(source, { buffer, loop, loopStart: from, loopEnd: to });
      gains[i].gain.value = 0;
      source.connect(gains[i]).connect(master);
      return source;
    });
    const start = (source) => (loop ? source.start(when, offset) : source.start(when, offset, to - offset));
    sources.forEach(start);
    return { context, master, gains, sources, when, offset };
  }

  function steer(graph, targets, time) {
    graph.gains.forEach(({ gain }, i) => {
      gain.cancelScheduledValues(time);
      gain.setTargetAtTime(targets[i], time, TIME_CONSTANT);
    });
  }

  // ------------------------------------------------------------------------------------------------------- transport

  const transports = [];

  // Plays stimuli synchronously, with one audible at a time. `bar` contains the controls play, seek, time, loop, from and to.
  class Transport {
    constructor(bar) {
      this.play = control(bar, "play");
      this.seekBar = control(bar, "seek");
      this.time = control(bar, "time");
      this.loopBox = control(bar, "loop");
      this.fromInput = control(bar, "from");
      this.toInput = control(bar, "to");
      this.buffers = [];
      this.levels = [];
      this.selected = 0;
      this.at = 0;
      this.graph = null;
      this.onShow = () => {};
      this.play.addEventListener("click", () => this.toggle());
      this.seekBar.addEventListener("input", () => this.seek(Number(this.seekBar.value)));
      for (const input of [this.loopBox, this.fromInput, this.toInput]) {
        input.addEventListener("change", () => this.setRegion());
      }
      transports.push(this);
    }

    // Replace the stimuli and keep playing; with `fresh`, start at the beginning and loop over the whole excerpt.
    load(buffers, levels, fresh) {
      const playing = this.stop();
      this.buffers = buffers;
      this.levels = levels;
      this.play.disabled = false;
      if (fresh) {
        this.at = 0;
        this.seekBar.max = this.toInput.max = this.fromInput.max = this.duration;
        this.fromInput.value = 0;
        this.toInput.value = this.duration.toFixed(2);
        this.region = { from: 0, to: this.duration, loop: this.loopBox.checked };
      }
      if (playing) {
        this.start();
      }
      this.show();
    }

    get duration() {
      return this.buffers[0].duration;
    }

    get playing() {
      return this.graph !== null;
    }

    // The current playback position in seconds.
    get position() {
      if (!this.graph) {
        return this.at;
      }
      const { from, to, loop } = this.region;
      const place = this.graph.offset + Math.max(this.graph.context.currentTime - this.graph.when, 0);
      if (place < to) {
        return place;
      }
      return loop ? from + ((place - from) % (to - from)) : to;
    }

    targets() {
      return this.levels.map((level, i) => (i === this.selected ? level : 0));
    }

    start() {
      transports.filter((other) => other !== this).forEach((other) => other.stop());
      const context = contextFor(this.buffers[0].sampleRate);
      context.resume();
      this.at = this.at >= this.region.from && this.at < this.region.to ? this.at : this.region.from;
      const when = context.currentTime + LEAD;
      const graph = connect(context, this.buffers, this.region, when, this.at);
      steer(graph, this.targets(), when);
      graph.sources[0].onended = () => {
        if (this.graph === graph) {
          this.stop();
          this.at = this.region.from;
          this.show();
        }
      };
      this.graph = graph;
      follow();
    }

    // Stop at the current position; return whether it was playing.
    stop() {
      if (!this.graph) {
        return false;
      }
      const { context, master, sources } = this.graph;
      this.at = this.position;
      this.graph = null;
      master.gain.cancelScheduledValues(context.currentTime);
      master.gain.setTargetAtTime(0, context.currentTime, TIME_CONSTANT);
      sources.forEach((source) => source.stop(context.currentTime + LEAD));
      this.show();
      return true;
    }

    toggle() {
      if (this.buffers.length && !this.stop()) {
        this.start();
      }
      this.show();
    }

    seek(seconds) {
      if (!this.buffers.length) {
        return;
      }
      const playing = this.stop();
      this.at = Math.min(Math.max(seconds, this.region.from), this.region.to - 0.01);
      if (playing) {
        this.start();
      }
      this.show();
    }

    move(seconds) {
      this.seek(this.position + seconds);
    }

    setRegion() {
      if (!this.buffers.length) {
        return;
      }
      const from = Math.min(Math.max(Number(this.fromInput.value) || 0, 0), this.duration - 0.1);
      const to = Math.min(Math.max(Number(this.toInput.value) || this.duration, from + 0.1), this.duration);
      this.fromInput.value = Number(from.toFixed(2));
      this.toInput.value = Number(to.toFixed(2));
      const playing = this.stop();
      this.region = { from, to, loop: this.loopBox.checked };
      this.at = this.at >= from && this.at < to ? this.at : from;
      if (playing) {
        this.start();
      }
      this.show();
    }

    setLevels(levels) {
      this.levels = levels;
      this.steer();
    }

    // Select stimulus i; start playback if stopped.
    listen(i) {
      if (!this.buffers.length) {
        return;
      }
      this.selected = i;
      if (this.playing) {
        this.steer();
      } else {
        this.start();
      }
      this.show();
    }

    steer() {
      if (this.graph) {
        steer(this.graph, this.targets(), this.graph.context.currentTime);
      }
    }

    show() {
      if (!this.buffers.length) {
        return;
      }
      const position = this.position;
      this.play.textContent = this.playing ? "Pause" : "Play";
      this.seekBar.value = position;
      this.time.textContent = `${position.toFixed(1)} / ${this.duration.toFixed(1)} s`;
      this.onShow(position);
    }

    // Render the output from the current position offline, with the same graph; `switches` are [second, stimulus] in order.
    async render(seconds, switches) {
      const rate = this.buffers[0].sampleRate;
      const context = new OfflineAudioContext(1, Math.ceil(seconds * rate), rate);
      const graph = connect(context, this.buffers, this.region, 0, this.at);
      for (const [second, selected] of [[0, this.selected], ...switches]) {
        steer(graph, this.levels.map((level, i) => (i === selected ? level : 0)), second);
      }
      return (await context.startRendering()).getChannelData(0);
    }
  }

  let following = false;

  function follow() {
    if (following) {
      return;
    }
    following = true;
    const step = () => {
      const playing = transports.filter((transport) => transport.playing);
      playing.forEach((transport) => transport.show());
      following = playing.length > 0;
      if (following) {
        requestAnimationFrame(step);
      }
    };
    requestAnimationFrame(step);
  }

  // ----------------------------------------------------------------------------------------------------------- parts

  function press(buttons, chosen) {
    buttons.forEach((button) => button.setAttribute("aria-pressed", String(button === chosen)));
  }

  // Handle the keys common to all transports; return whether the key was one of them.
  function transportKey(transport, key) {
    const actions = { " ": () => transport.toggle(), ArrowLeft: () => transport.move(-1), ArrowRight: () => transport.move(1) };
    actions[key]?.();
    return key in actions;
  }

  // The number on a digit key, including layouts where digits need shift; null for other keys.
  function digit(event) {
    const found = /^(?:Digit|Numpad)(\d)$/.exec(event.code) ?? /^(\d)$/.exec(event.key);
    return found ? Number(found[1]) : null;
  }

  // The seed field, and the button that draws a new seed.
  function seedOf(root, changed) {
    const input = control(root, "seed");
    const draw = control(root, "draw");
    const read = wholeNumber(input, 0, 0xffffffff, changed);
    draw.addEventListener("click", () => {
      input.value = crypto.getRandomValues(new Uint32Array(1))[0];
      changed();
    });
    return {
      read,
      lock: (locked) => {
        input.disabled = draw.disabled = locked;
      },
    };
  }

  // The index of the selected excerpt; 0 without a choice.
  function excerptOf(root, changed) {
    const select = control(root, "excerpt");
    select?.addEventListener("change", changed);
    return {
      read: () => (select ? Number(select.value) : 0),
      lock: (locked) => {
        if (select) {
          select.disabled = locked;
        }
      },
    };
  }

  const matchedLevels = (excerpt, names) => names.map((name) => excerpt.stimuli[name].matched);
  const buffersOf = (excerpt, names) => names.map((name) => excerpt.buffers[name]);

  function nullTest(root) {
    const NAMES = ["dry", "device", "twin", "difference"];
    const transport = new Transport(root);
    const chosen = excerptOf(root, () => load(true));
    const boost = control(root, "boost");
    const matched = control(root, "matched");
    let excerpts = [];

    function boostDb(excerpt) {
      return Math.min(Number(boost.value), excerpt.max_boost_db);
    }

    function levels(excerpt) {
      return NAMES.map((name) => {
        const stimulus = excerpt.stimuli[name];
        if (name === "difference") {
          return stimulus.true * 10 ** (boostDb(excerpt) / 20);
        }
        return matched.checked ? stimulus.matched : stimulus.true;
      });
    }

    function showBoost() {
      const excerpt = excerpts[chosen.read()];
      const limited = Number(boost.value) > excerpt.max_boost_db;
      control(root, "boosted").textContent = `${boostDb(excerpt).toFixed(limited ? 1 : 0)} dB${limited ? " (more would clip)" : ""}`;
    }

    function relevel() {
      transport.setLevels(levels(excerpts[chosen.read()]));
      showBoost();
    }

    function load(fresh) {
      const number = chosen.read();
      controls(root, "excerpt").forEach((block) => {
        block.hidden = Number(block.dataset.twExcerpt) !== number;
      });
      transport.load(buffersOf(excerpts[number], NAMES), levels(excerpts[number]), fresh);
      showBoost();
    }


    function listen(i) {
      transport.listen(i);
      showSelected();
    }

    function showSelected() {
      controls(root, "sound").forEach((button) =>
        button.setAttribute("aria-pressed", String(button.dataset.twSound === NAMES[transport.selected])),
      );
    }

    controls(root, "sound").forEach((button) =>
      button.addEventListener("click", () => listen(NAMES.indexOf(button.dataset.twSound))),
    );
    matched.addEventListener("change", relevel);
    boost.addEventListener("input", relevel);
    controls(root, "field").forEach((field) =>
      field.addEventListener("click", (event) => {
        const { left, width } = field.getBoundingClientRect();
        transport.seek(((event.clientX - left) / width) * transport.duration);
      }),
    );
    transport.onShow = (position) => {
      root.querySelectorAll(".tw-head").forEach((head) => {
        head.style.left = `${(100 * position) / transport.duration}%`;
      });
    };
    transport.selected = NAMES.indexOf("device");

    return {
      transport,
      ready: (decoded) => {
        excerpts = decoded;
        controls(root, "sound").forEach((button) => {
          button.disabled = false;
        });
        showSelected();
        load(true);
      },
      key: (event) => {
        const number = digit(event);
        if (number >= 1 && number <= NAMES.length) {
          listen(number - 1);
          return true;
        }
        return transportKey(transport, event.key);
      },
    };
  }

  function abx(root) {
    const transport = new Transport(root);
    const pair = control(root, "pair");
    const trials = control(root, "trials");
    const chosen = excerptOf(root, () => begin(true));
    const seed = seedOf(root, () => begin(false));
    const wanted = wholeNumber(trials, 1, 100, () => begin(false));
    const listenButtons = controls(root, "listen");
    const answerButtons = controls(root, "answer");
    const progress = control(root, "progress");
    const results = control(root, "results");
    let excerpts = [];
    let series = [];
    let answers = [];

    const done = () => answers.length === series.length;
    const rightAnswers = () => answers.filter((answer, i) => answer === series[i]).length;

    function lock(locked) {
      [pair, trials].forEach((input) => {
        input.disabled = locked;
      });
      seed.lock(locked);
      chosen.lock(locked);
    }

    function begin(fresh) {
      if (!excerpts.length) {
        return;
      }
      series = abxSeries(seed.read(), wanted());
      answers = [];
      results.replaceChildren();
      control(root, "save").disabled = true;
      lock(false);
      const names = ["device", pair.value];
      const excerpt = excerpts[chosen.read()];
      transport.stop();
      transport.load(buffersOf(excerpt, names), matchedLevels(excerpt, names), fresh);
      nextTrial();
    }

    // Every trial begins with A, so that the transition reveals nothing about X.
    function nextTrial() {
      transport.selected = 0;
      transport.steer();
      press(listenButtons, listenButtons[0]);
      answerButtons.forEach((button) => {
        button.disabled = done();
      });
      listenButtons[2].disabled = done();
      if (!done()) {
        const needed = minimumRight(series.length);
        const goal =
          needed > series.length
            ? "Too few trials for a significant result."
            : `${needed} or more correct answers of ${series.length} show that you hear a difference (p < 0.05).`;
        progress.textContent = `Trial ${answers.length + 1} of ${series.length}. ${goal}`;
      }
    }

    function listen(which) {
      const button = listenButtons.find((candidate) => candidate.dataset.twListen === which);
      if (button.disabled) {
        return;
      }
      const sound = which === "x" ? series[answers.length] : which;
      transport.listen(sound === "a" ? 0 : 1);
      press(listenButtons, button);
    }

    function answer(which) {
      if (!series.length || done()) {
        return;
      }
      answers.push(which);
      lock(true);
      nextTrial();
      if (done()) {
        transport.stop();
        showResults();
      }
    }

    function showResults() {
      const right = rightAnswers();
      const p = pValue(right, series.length);
      progress.textContent =
        `${right} of ${series.length} correct; the probability of at least as many by guessing is p = ${p.toPrecision(3)}. ` +
        (p < 0.05
          ? "This is statistically significant: you hear a difference."
          : "This is not significant: the series shows neither that you hear a difference nor that there is none.");
      const rows = series.map((x, i) => [i + 1, x.toUpperCase(), answers[i].toUpperCase(), answers[i] === x ? "correct" : "wrong"]);
      results.replaceChildren(table(["trial", "X", "your answer", ""], rows));
      control(root, "save").disabled = false;
    }

    function save() {
      const excerpt = excerpts[chosen.read()];
      const right = rightAnswers();
      const same = [excerpt.title, seed.read(), "device", excerpt.stimuli[pair.value].label, series.length];
      const rows = series.map((x, i) => [...same, i + 1, x, answers[i], Number(answers[i] === x), right, pValue(right, series.length)]);
      const head = "excerpt,seed,a,b,trials,trial,x,answer,right,right_of_all,p_value".split(",");
      download(`abx-${pair.value}-seed-${seed.read()}.csv`, csv([head, ...rows]));
    }

    pair.addEventListener("change", () => begin(false));
    listenButtons.forEach((button) => button.addEventListener("click", () => listen(button.dataset.twListen)));
    answerButtons.forEach((button) => button.addEventListener("click", () => answer(button.dataset.twAnswer)));
    control(root, "save").addEventListener("click", save);
    control(root, "reset").addEventListener("click", () => begin(false));

    return {
      transport,
      ready: (decoded) => {
        excerpts = decoded;
        listenButtons.forEach((button) => {
          button.disabled = false;
        });
        begin(true);
      },
      key: (event) => {
        const key = event.key.toLowerCase();
        if (event.shiftKey && (key === "a" || key === "b")) {
          answer(key);
          return true;
        }
        if (key === "a" || key === "b" || key === "x") {
          listen(key);
          return true;
        }
        return transportKey(transport, event.key);
      },
    };
  }

  function mushra(root) {
    // The reference comes first: it has its own button, and is also one of the blind stimuli.
    const NAMES = ["device", "twin", "low_anchor", "mid_anchor", "dry", "linear"];
    const transport = new Transport(root);
    const chosen = excerptOf(root, () => begin(true));
    const seed = seedOf(root, () => begin(false));
    const reference = controls(root, "listen")[0];
    const progress = control(root, "progress");
    const results = control(root, "results");
    let excerpts = [];
    let names = [];
    let order = [];
    let rows = [];
    let finished = false;

    const label = (name) => (name === "device" ? "hidden reference" : excerpts[chosen.read()].stimuli[name].label);
    const rated = () => rows.filter((row) => row.rated).length;

    function ratingRow(number) {
      const button = element("button", { type: "button", className: "tw-button tw-listen", textContent: `Stimulus ${number}` });
      const slider = element("input", { type: "range", min: 0, max: 100, step: 1, value: 50 });
      slider.setAttribute("aria-label", `rating of stimulus ${number}, 0 bad to 100 excellent`);
      const value = element("output", { textContent: "not rated" });
      const line = element("div", { className: "tw-scale-row tw-unrated" }, [button, slider, value]);
      const row = { line, button, slider, value, rated: false };
      button.addEventListener("click", () => listen(number));
      slider.addEventListener("input", () => rate(row));
      // A click that does not move the slider is a rating too.
      slider.addEventListener("click", () => rate(row));
      return row;
    }

    function begin(fresh) {
      if (!excerpts.length) {
        return;
      }
      const excerpt = excerpts[chosen.read()];
      names = NAMES.filter((name) => name in excerpt.stimuli);
      order = mushraOrder(seed.read(), chosen.read(), names);
      finished = false;
      seed.lock(false);
      chosen.lock(false);
      rows = order.map((_, i) => ratingRow(i + 1));
      control(root, "sliders").replaceChildren(...rows.map((row) => row.line));
      results.replaceChildren();
      transport.stop();
      transport.load(buffersOf(excerpt, names), matchedLevels(excerpt, names), fresh);
      transport.selected = 0;
      press([reference, ...rows.map((row) => row.button)], reference);
      showProgress();
    }

    // 0 is the reference.
    function listen(number) {
      if (number > order.length || !order.length) {
        return;
      }
      transport.listen(number === 0 ? 0 : names.indexOf(order[number - 1]));
      press([reference, ...rows.map((row) => row.button)], number === 0 ? reference : rows[number - 1].button);
      // Focus the slider, so that the arrow keys rate the current stimulus.
      if (number === 0) {
        document.activeElement?.blur();
      } else {
        rows[number - 1].slider.focus({ preventScroll: true });
      }
    }

    function rate(row) {
      if (finished) {
        return;
      }
      row.rated = true;
      row.line.classList.remove("tw-unrated");
      row.value.textContent = row.slider.value;
      seed.lock(true);
      chosen.lock(true);
      showProgress();
    }

    function showProgress() {
      progress.textContent = finished ? "" : `${rated()} of ${rows.length} rated.`;
      control(root, "finish").disabled = finished || rated() < rows.length;
      control(root, "save").disabled = !finished;
    }

    function finish() {
      finished = true;
      transport.stop();
      rows.forEach((row) => {
        row.slider.disabled = true;
      });
      const found = order.map((name, i) => [i + 1, label(name), Number(rows[i].slider.value)]);
      results.replaceChildren(...warnings(), table(["number", "stimulus", "rating"], [...found].sort((a, b) => b[2] - a[2])));
      showProgress();
    }

    function warnings() {
      const rating = Number(rows[order.indexOf("device")].slider.value);
      if (rating >= POST_SCREENING) {
        return [];
      }
      const words =
        `You rated the hidden reference ${rating}, below ${POST_SCREENING}, so you did not recognise the device itself. ITU-R BS.1534-3 ` +
        "excludes listeners who do so in more than 15 % of the excerpts: these ratings are unreliable.";
      return [element("p", { className: "tw-warning", textContent: words })];
    }

    function save() {
      const same = [excerpts[chosen.read()].title, seed.read()];
      const lines = order.map((name, i) => [...same, i + 1, label(name), rows[i].slider.value]);
      download(`mushra-seed-${seed.read()}.csv`, csv(["excerpt,seed,place,sound,rating".split(","), ...lines]));
    }

    reference.addEventListener("click", () => listen(0));
    control(root, "finish").addEventListener("click", finish);
    control(root, "save").addEventListener("click", save);
    control(root, "reset").addEventListener("click", () => begin(false));

    return {
      transport,
      ready: (decoded) => {
        excerpts = decoded;
        reference.disabled = false;
        begin(true);
      },
      key: (event) => {
        const number = event.key.toLowerCase() === "r" ? 0 : digit(event);
        if (number !== null) {
          listen(number);
          return true;
        }
        return transportKey(transport, event.key);
      },
    };
  }

  // -------------------------------------------------------------------------------------------- keyboard and initialisation

  const KINDS = { "null-test": nullTest, abx, mushra };
  const parts = [];
  let active = null;

  function activate(part) {
    active = part;
    parts.forEach(({ root }) => root.classList.toggle("tw-active", part?.root === root));
  }

  // Whether the focused control itself handles this key.
  function belongsTo(target, key) {
    if (target.matches("input[type=number], input[type=text], select, textarea, [contenteditable]")) {
      return true;
    }
    if (target.matches("input[type=range]")) {
      return key.startsWith("Arrow");
    }
    return target.matches("button, a, summary, input[type=checkbox]") && (key === " " || key === "Enter");
  }

  function onKey(event) {
    if (!active || event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented || belongsTo(event.target, event.key)) {
      return;
    }
    if (active.key(event)) {
      event.preventDefault();
    }
  }

  // Release the focus after a click; otherwise the space bar would press the same button again.
  function releaseFocus(event) {
    const target = event.target.closest("button, input[type=checkbox]");
    if (target && event.detail > 0 && document.activeElement === target) {
      target.blur();
    }
  }

  function showStatus(words) {
    parts.forEach(({ root }) => {
      control(root, "status").textContent = words;
    });
  }

  async function begin() {
    const data = JSON.parse(document.getElementById("tw-data").textContent);
    for (const root of document.querySelectorAll("[data-tw-part]")) {
      const part = { root, kind: root.dataset.twPart, ...KINDS[root.dataset.twPart](root) };
      root.addEventListener("click", releaseFocus);
      parts.push(part);
    }
    // The listening page handles keys immediately; other pages only while one of the parts is in use.
    const resting = document.body.classList.contains("tw-page") ? () => active ?? parts[0] : () => null;
    const partAt = (target) => parts.find(({ root }) => root.contains(target)) ?? resting();
    document.addEventListener("pointerdown", (event) => activate(partAt(event.target)));
    document.addEventListener("focusin", (event) => activate(partAt(event.target)));
    document.addEventListener("keydown", onKey);
    activate(resting());
    showStatus("Decoding audio.");
    try {
      const decoded = await Promise.all(data.excerpts.map(decodeExcerpt));
      parts.forEach((part) => part.ready(decoded));
      showStatus("");
    } catch (error) {
      console.warn(error);
      showStatus(DECODE_ERROR);
    }
  }

  // For tests and verification. `parts` in the order of the page: `state()` is the playback state, `render(seconds,
  // switches)` returns the output samples of the same graph. Both reveal X.
  window.twListening = {
    mulberry32,
    abxSeries,
    mushraOrder,
    pValue,
    parts: () =>
      parts.map(({ kind, transport }) => ({
        kind,
        state: () => ({
          ready: transport.buffers.length > 0,
          playing: transport.playing,
          position: transport.position,
          clock: transport.graph?.context.currentTime ?? 0,
          selected: transport.selected,
          targets: transport.targets(),
          gains: transport.graph?.gains.map(({ gain }) => gain.value) ?? [],
          rates: transport.buffers.map((buffer) => buffer.sampleRate),
        }),
        render: (seconds, switches = []) => transport.render(seconds, switches),
      })),
  };

  if (document.readyState === "loading") {
    document.addEventListener("DOMContentLoaded", begin);
  } else {
    begin();
  }
})();
