// The recorder's logic: node --test tests/widgets
import assert from "node:assert/strict";
import test from "node:test";
import { CONSTRAINTS, FLOOR_DB, START, cut, explain, floats, level, show, step, wavePath } from "../../kws_nb/widgets/recorder.mjs";

const ramp = (n, from = 0) => Float32Array.from({ length: n }, (_, i) => from + i);
const run = (events, state = START) => events.reduce(step, state);
const open = { type: "open", rate: 16000, countdown: 2, seconds: 1 };
const block = (n) => ({ type: "block", n });

test("blocks of any size are cut at the same sample", () => {
  const all = ramp(1000);
  for (const size of [1, 7, 128, 333, 1000]) {
    const blocks = [];
    for (let i = 0; i < all.length; i += size) blocks.push(all.subarray(i, i + size));
    for (const [skip, n] of [[0, 1000], [0, 1], [999, 1], [130, 500], [256, 128], [127, 2]])
      assert.deepEqual(cut(blocks, skip, n), all.slice(skip, skip + n), `${size} ${skip} ${n}`);
    assert.equal(cut(blocks, 501, 500), null, "too few samples are no recording");
  }
  assert.equal(cut([], 0, 1), null);
});

test("the level is in decibels of full scale, and has a floor", () => {
  assert.equal(level(new Float32Array(128).fill(1)), 0);
  assert.ok(Math.abs(level(new Float32Array(128).fill(-0.1)) + 20) < 1e-4);
  assert.equal(level(new Float32Array(128)), FLOOR_DB);
  assert.equal(level(new Float32Array(0)), FLOOR_DB);
});

test("a recording goes from idle to full, by samples alone", () => {
  assert.equal(run([{ type: "press" }]).phase, "asking");
  assert.equal(run([{ type: "press" }, open]).phase, "countdown");
  assert.equal(run([{ type: "press" }, open, block(31999)]).phase, "countdown");
  assert.equal(run([{ type: "press" }, open, block(32000)]).phase, "recording");
  assert.equal(run([{ type: "press" }, open, block(47999)]).phase, "recording");
  const full = run([{ type: "press" }, open, block(48000)]);
  assert.deepEqual([full.phase, full.skip, full.n], ["full", 32000, 16000]);
  assert.equal(step(full, { type: "press" }).phase, "asking", "and again");
});

test("without a countdown it records at once; another rate counts other samples", () => {
  const state = run([{ type: "press" }, { ...open, rate: 44100, countdown: 0, seconds: 0.5 }]);
  assert.deepEqual([state.phase, state.skip, state.n], ["recording", 0, 22050]);
});

test("a second press calls it off, wherever it is; late blocks and openings change nothing", () => {
  for (const before of [[], [open], [open, block(40000)]]) {
    const state = run([{ type: "press" }, ...before, { type: "press" }]);
    assert.deepEqual(state, START);
    assert.deepEqual(run([block(99999), open], state), START);
  }
});

test("a failure ends every phase", () => {
  for (const before of [[], [open], [open, block(40000)]]) assert.deepEqual(run([{ type: "press" }, ...before, { type: "fail" }]), START);
});

test("an unknown event is a mistake in the program", () => assert.throws(() => step(START, { type: "nonsense" }), /nonsense/));

test("the countdown shows whole seconds, never 0", () => {
  const at = (heard) => show(run([{ type: "press" }, open, block(heard)]));
  assert.deepEqual([at(0).sign, at(15999).sign, at(16000).sign, at(31999).sign], ["2", "2", "1", "1"]);
  assert.deepEqual([at(32000).sign, at(40000).done, at(48000).done], ["Speak", 0.5, 1]);
  assert.deepEqual([show(START).button, at(0).button, at(40000).button, at(48000).button], ["Record", "Cancel", "Cancel", "Record"]);
});

test("each failure of the microphone says what to do, and offers the upload", () => {
  const says = {
    NotAllowedError: /allow the microphone/, NotFoundError: /Plug one in/, NotReadableError: /another program/, AbortError: /another program/,
    TrackEnded: /went away/, NoSound: /no sound came/, OddError: /OddError: how odd/,
  };
  for (const [name, pattern] of Object.entries(says)) {
    const text = explain({ name, message: "how odd" });
    assert.match(text, pattern);
    assert.match(text, /press Record|press Record again/i);
    assert.match(text, /upload a file/);
  }
  assert.match(explain(new TypeError("navigator.mediaDevices is undefined"), false), /localhost/);
});

test("the browser is asked not to improve the voice", () => {
  const { echoCancellation, noiseSuppression, autoGainControl } = CONSTRAINTS.audio;
  assert.deepEqual([echoCancellation, noiseSuppression, autoGainControl], [false, false, false]);
});

test("samples are read at any offset of a buffer", () => {
  const bytes = new Uint8Array(3 + 8);
  new DataView(bytes.buffer).setFloat32(3, 0.5, true);
  new DataView(bytes.buffer).setFloat32(7, -1, true);
  assert.deepEqual(floats(new DataView(bytes.buffer, 3, 8)), Float32Array.of(0.5, -1));
  assert.equal(floats(null).length, 0);
});

test("the waveform reaches from the lowest to the highest sample of each column", () => {
  assert.equal(wavePath(Float32Array.of(1, -1, 0.5, 0), 2, 80), "M0.5 0.0V80.0M1.5 20.0V40.0");
  assert.equal(wavePath(new Float32Array(4), 1, 80), "M0.5 40.0V41.0", "silence is a line");
  assert.equal(wavePath(Float32Array.of(9, -9), 1, 80), "M0.5 0.0V80.0", "too loud stays inside");
  assert.equal(wavePath(new Float32Array(0), 400, 80), "");
  assert.equal(wavePath(ramp(16000), 400, 80).split("M").length - 1, 400);
});
