// The recorder's half that runs in the browser. Everything above `openMicrophone` is pure and tested in node (tests/widgets);
// anywidget loads one file, so it is all here. Python (kws_nb.widgets.recorder) checks, resamples, trims, saves and lists.

export const FLOOR_DB = -60; // the left end of the level meter

/** Echo cancellation, noise suppression and gain control would change the word: all off. */
export const CONSTRAINTS = { audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 } };

/** Level of a block in dB: 0 for a full-scale square wave, FLOOR_DB for silence. */
export function level(block) {
  let sum = 0;
  for (const x of block) sum += x * x;
  return Math.max(FLOOR_DB, 10 * Math.log10(sum / (block.length || 1)));
}

/** Exactly `n` samples after the first `skip` of the blocks as they came, or null where there are fewer. */
export function cut(blocks, skip, n) {
  const out = new Float32Array(n);
  let at = -skip;
  for (const block of blocks) {
    const from = Math.max(0, -at);
    const part = block.subarray(from, Math.max(from, Math.min(block.length, n - at)));
    if (part.length) out.set(part, at + from);
    at += block.length;
  }
  return at < n ? null : out;
}

export const START = { phase: "idle" };

/**
 * What a recording goes through: idle → asking (for the microphone) → countdown → recording → full. Time is counted in samples that
 * arrived, never by a clock. A state holds its phase and, from the microphone's opening on, rate, heard, skip and n in samples.
 */
export function step(state, event) {
  switch (event.type) {
    case "press": // record, or call it off
      return ["idle", "full"].includes(state.phase) ? { phase: "asking" } : START;
    case "open": {
      if (state.phase !== "asking") return state;
      const { rate, countdown, seconds } = event;
      return hear({ rate, heard: 0, skip: Math.round(countdown * rate), n: Math.round(seconds * rate) });
    }
    case "block":
      return ["countdown", "recording"].includes(state.phase) ? hear({ ...state, heard: state.heard + event.n }) : state;
    case "fail":
      return START;
    default:
      throw new Error(`no such event: ${event.type}`);
  }
}

function hear(state) {
  const { heard, skip, n } = state;
  return { ...state, phase: heard < skip ? "countdown" : heard < skip + n ? "recording" : "full" };
}

/** What is shown in a state: the button's name, a line of text, a large sign, and how much is recorded, 0 to 1. */
export function show(state) {
  const { phase, rate, heard, skip, n } = state;
  switch (phase) {
    case "asking":
      return { button: "Cancel", text: "Waiting for the microphone: the browser may ask for permission.", sign: "", done: 0 };
    case "countdown":
      return { button: "Cancel", text: "Get ready.", sign: String(Math.ceil((skip - heard) / rate)), done: 0 };
    case "recording":
      return { button: "Cancel", text: "Recording: speak now.", sign: "Speak", done: (heard - skip) / n };
    default:
      return { button: "Record", text: "", sign: "", done: phase === "full" ? 1 : 0 };
  }
}

/** Why the microphone can't be had, and what to do about it. `error` is a DOMException or has its name. */
export function explain(error, secure = true) {
  const upload = "Or upload a file.";
  if (!secure)
    return `This page is not secure, and browsers give the microphone only to https:// pages and to localhost. Open Jupyter as http://localhost:8888; for a remote machine, forward its port first: ssh -L 8888:localhost:8888 MACHINE. ${upload}`;
  switch (error.name) {
    case "NotAllowedError":
      return `The browser did not allow the microphone. Click the symbol beside the page's address, allow the microphone, and press Record again. If it is allowed there, the operating system's privacy settings forbid it. ${upload}`;
    case "NotFoundError":
      return `No microphone was found. Plug one in (or switch it on in the system's sound settings) and press Record again. ${upload}`;
    case "NotReadableError":
    case "AbortError":
      return `The microphone is there but can't be read: another program may be using it. Close that program and press Record again. ${upload}`;
    case "TrackEnded":
      return `The microphone went away during the recording, and nothing was kept. Plug it in again and press Record. ${upload}`;
    case "NoSound":
      return `The microphone is open, but no sound came from it for 5 seconds. Choose another one in the browser's settings and press Record again. ${upload}`;
    default:
      return `The microphone can't be had (${error.name}: ${error.message}). Reload the page and press Record again. ${upload}`;
  }
}

/** The samples behind a DataView that came from Python; copied, since its offset need not be a multiple of 4. */
export function floats(view) {
  return new Float32Array(view ? view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength - (view.byteLength % 4)) : 0);
}

/** An SVG path of the waveform: one vertical line from the smallest to the largest sample of each column; y grows downwards. */
export function wavePath(samples, columns, height) {
  const lines = [];
  for (let i = 0; i < Math.min(columns, samples.length); i++) {
    const from = Math.floor((i * samples.length) / columns);
    const to = Math.max(from + 1, Math.floor(((i + 1) * samples.length) / columns));
    let low = 1, high = -1;
    for (let k = from; k < to; k++) {
      low = Math.min(low, Math.max(-1, samples[k]));
      high = Math.max(high, Math.min(1, samples[k]));
    }
    const top = ((1 - high) * height) / 2, bottom = Math.max(top + 1, ((1 - low) * height) / 2); // silence is a thin line
    lines.push(`M${i + 0.5} ${top.toFixed(1)}V${bottom.toFixed(1)}`);
  }
  return lines.join("");
}

// ---- the browser

const WORKLET = `registerProcessor("kws-blocks", class extends AudioWorkletProcessor {
  process([[channel]]) { if (channel) this.port.postMessage(channel.slice()); return true; }
});`;

async function blocksNode(context, onBlock) {
  const one = { channelCount: 1, channelCountMode: "explicit" };
  try {
    const url = URL.createObjectURL(new Blob([WORKLET], { type: "text/javascript" }));
    try {
      await context.audioWorklet.addModule(url);
    } finally {
      URL.revokeObjectURL(url);
    }
    const node = new AudioWorkletNode(context, "kws-blocks", one);
    node.port.onmessage = ({ data }) => onBlock(data);
    return node;
  } catch { // no worklets, or the page's security policy forbids blob: modules
    const node = Object.assign(context.createScriptProcessor(1024, 1, 1), one);
    node.onaudioprocess = ({ inputBuffer }) => onBlock(inputBuffer.getChannelData(0).slice());
    return node;
  }
}

/** Opens the microphone at `wanted` Hz, or at the rate the browser insists on. Returns { rate, close }. */
async function openMicrophone(wanted, onBlock, onEnded) {
  const stream = await navigator.mediaDevices.getUserMedia(CONSTRAINTS);
  const [track] = stream.getAudioTracks();
  let context;
  const close = () => {
    track.onended = null;
    track.stop();
    if (context && context.state !== "closed") context.close();
  };
  try {
    context = new AudioContext({ sampleRate: wanted });
    let source;
    try {
      source = context.createMediaStreamSource(stream);
    } catch { // Firefox joins a microphone only to a context of its own rate
      await context.close();
      context = new AudioContext();
      source = context.createMediaStreamSource(stream);
    }
    const node = await blocksNode(context, onBlock);
    source.connect(node).connect(context.destination); // its output is silence; unconnected nodes may not run
    await context.resume();
    track.onended = onEnded;
    return { rate: context.sampleRate, close };
  } catch (error) {
    close();
    throw error;
  }
}

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

function render({ model, el }) {
  let state = START, microphone = null, blocks = [], watchdog = null, attempt = 0, player = null;

  const button = element("button", { class: "kws-record", onclick: press });
  const bar = element("div");
  const meter = element("div", { class: "kws-meter", role: "meter", "aria-label": "Level", "aria-valuemin": FLOOR_DB, "aria-valuemax": 0 }, bar);
  const decibels = element("output", { class: "kws-db" });
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  const wave = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [name, value] of Object.entries({ viewBox: "0 0 400 80", preserveAspectRatio: "none", role: "img" })) wave.setAttribute(name, value);
  wave.append(path);
  const sign = element("div", { class: "kws-sign", "aria-hidden": "true" });
  const done = element("div", { class: "kws-done" });
  const end = element("span");
  const play = element("button", { onclick: () => sound(floats(model.get("_samples"))) }, "Play");
  const trim = element("button", { onclick: () => model.send({ do: "trim" }) }, "Keep the loudest second");
  const file = element("input", { type: "file", accept: "audio/*,.wav,.flac,.ogg,.mp3,.aiff,.au", class: "kws-file", tabindex: -1, "aria-hidden": "true", onchange: upload });
  const choose = element("button", { onclick: () => file.click() }, "Upload a file");
  const label = element("input", { size: 10, placeholder: "yes", autocomplete: "off", spellcheck: "false" });
  const speaker = element("input", { size: 10, autocomplete: "off", spellcheck: "false" });
  const save = element("button", { class: "kws-save" }, "Save");
  const form = element("form", { onsubmit: keep, onkeydown: (event) => event.key === "Enter" && event.target !== save && !save.disabled && keep(event) }, element("label", {}, "Label", label), element("label", {}, "Speaker", speaker), save);
  const status = element("p", { class: "kws-status", role: "status" });
  const error = element("p", { class: "kws-error", role: "alert" });
  const list = element("ul", { class: "kws-list", "aria-label": "Saved recordings" });

  el.classList.add("kws-recorder");
  el.dataset.lmSuppressShortcuts = "true"; // keys typed here are no commands of JupyterLab
  el.append(
    element("div", { class: "kws-row" }, button, meter, decibels),
    element("div", { class: "kws-wave" }, wave, sign, done),
    element("div", { class: "kws-axis" }, element("span", {}, "0 s"), end),
    element("div", { class: "kws-row" }, play, trim, choose, file),
    form, status, error, list,
  );
  label.value = model.get("label");
  speaker.value = model.get("speaker");

  function dispatch(event) {
    state = step(state, event);
    const view = show(state);
    button.textContent = view.button;
    el.dataset.phase = state.phase;
    sign.textContent = view.sign;
    done.style.width = `${100 * view.done}%`;
    controls();
    if (status.textContent !== (view.text || summary())) status.textContent = view.text || summary();
  }

  function summary() {
    if (model.get("warning")) return model.get("warning");
    if (model.get("_told")) return model.get("_told");
    return `Press Record and say the word: ${model.get("seconds")} s.`;
  }

  function controls() {
    const busy = !["idle", "full"].includes(state.phase), length = model.get("_samples")?.byteLength / 4 || 0;
    play.disabled = save.disabled = busy || !length;
    choose.disabled = busy;
    trim.hidden = length <= model.get("_rate");
    trim.disabled = busy;
  }

  function meterAt(db) {
    bar.style.width = `${100 * (1 - db / FLOOR_DB)}%`;
    meter.setAttribute("aria-valuenow", Math.round(db));
    decibels.textContent = db > FLOOR_DB ? `${Math.round(db)} dB`.replace("-", "−") : "";
  }

  function release() {
    attempt++;
    clearTimeout(watchdog);
    microphone?.close();
    microphone = null;
    blocks = [];
    meterAt(FLOOR_DB);
  }

  function setError(text) {
    model.set("error", text);
    model.save_changes();
  }

  function fail(problem) {
    release();
    dispatch({ type: "fail" });
    setError(explain(problem, Boolean(navigator.mediaDevices?.getUserMedia)));
  }

  async function press() {
    release();
    player?.stop();
    dispatch({ type: "press" });
    if (state.phase !== "asking") return;
    setError("");
    const mine = attempt, current = () => mine === attempt;
    try {
      const opened = await openMicrophone(model.get("_rate"), (block) => current() && hearBlock(block), () => current() && fail({ name: "TrackEnded" }));
      if (!current()) return opened.close(); // called off in the meantime
      microphone = opened;
    } catch (problem) {
      if (current()) fail(problem);
      return;
    }
    dispatch({ type: "open", rate: microphone.rate, countdown: model.get("countdown"), seconds: model.get("seconds") });
    watchdog = setTimeout(() => fail({ name: "NoSound" }), 5000);
  }

  function hearBlock(block) {
    if (!microphone) return;
    clearTimeout(watchdog);
    watchdog = setTimeout(() => fail({ name: "NoSound" }), 5000);
    blocks.push(block);
    meterAt(level(block));
    dispatch({ type: "block", n: block.length });
    if (state.phase !== "full") return;
    const { rate, skip, n } = state;
    const taken = cut(blocks, skip, n);
    release();
    model.send({ do: "take", rate }, undefined, [taken.buffer]);
  }

  async function upload() {
    const [chosen] = file.files;
    if (!chosen) return;
    setError("");
    if (chosen.size > model.get("_largest")) setError(`${chosen.name} has ${(chosen.size / 1e6).toFixed(1)} MB; the limit is ${model.get("_largest") / 1e6} MB. Read it in Python: read_clip('${chosen.name}')`);
    else model.send({ do: "upload", name: chosen.name }, undefined, [await chosen.arrayBuffer()]);
    file.value = ""; // the same file may be chosen again
  }

  function keep(event) {
    event.preventDefault();
    model.send({ do: "save", label: label.value, speaker: speaker.value });
  }

  function sound(samples) {
    player?.stop();
    if (!samples.length) return;
    const context = new AudioContext(), source = context.createBufferSource();
    source.buffer = context.createBuffer(1, samples.length, model.get("_rate"));
    source.buffer.copyToChannel(samples, 0);
    source.connect(context.destination);
    source.onended = () => context.close();
    source.start();
    player = { stop: () => context.state !== "closed" && context.close() };
  }

  function drawSamples() {
    const samples = floats(model.get("_samples"));
    path.setAttribute("d", wavePath(samples, 400, 80));
    end.textContent = `${(samples.length / model.get("_rate") || model.get("seconds")).toFixed(2)} s`;
    wave.setAttribute("aria-label", samples.length ? `Waveform of ${end.textContent}` : "Nothing recorded yet");
    if (state.phase === "full" || state.phase === "idle") dispatch({ type: "fail" }); // what was announced is here
  }

  function drawList() {
    list.replaceChildren(...model.get("_saved").map((name) => {
      const remove = element("button", {
        "aria-label": `Delete ${name}`,
        onclick: () => (remove.textContent === "Delete" ? (remove.textContent = "Really?") : model.send({ do: "delete", name })),
        onblur: () => (remove.textContent = "Delete"),
      }, "Delete");
      return element("li", {}, element("span", {}, name), element("button", { "aria-label": `Play ${name}`, onclick: () => model.send({ do: "load", name }) }, "Play"), remove);
    }));
  }

  function drawTexts() {
    error.textContent = model.get("error");
    if (["idle", "full"].includes(state.phase)) status.textContent = summary();
  }

  const listeners = {
    "change:_samples": drawSamples,
    "change:_saved": drawList,
    "change:error change:warning change:_told change:seconds": drawTexts,
    "change:label": () => (label.value = model.get("label")),
    "change:speaker": () => (speaker.value = model.get("speaker")),
    "msg:custom": (message, buffers) => message.do === "play" && sound(floats(buffers[0])),
  };
  for (const [events, listener] of Object.entries(listeners)) for (const name of events.split(" ")) model.on(name, listener);
  meterAt(FLOOR_DB);
  dispatch({ type: "fail" });
  drawSamples();
  drawList();
  drawTexts();
  return () => {
    for (const [events, listener] of Object.entries(listeners)) for (const name of events.split(" ")) model.off(name, listener);
    release();
    player?.stop();
  };
}

export default { render };
