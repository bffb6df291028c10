// The explorer's half in the browser, without one: decoding, merging, drawing.
import assert from "node:assert";
import test from "node:test";
import widget, { changed, decode, decoded, updated } from "../../kws_nb/widgets/explorer.mjs";

const packed = (array, shape) => ({ dtype: { Int8Array: "i1", Float32Array: "f4" }[array.constructor.name], bdata: Buffer.from(array.buffer).toString("base64"), ...(shape && { shape }) });

test("arrays come out as they went in", () => {
  assert.deepEqual(decode(packed(new Float32Array([0.5, -1]))), new Float32Array([0.5, -1]));
  assert.deepEqual(decode(packed(new Int8Array([1, 2, 3, 4, 5, -6]), "2, 3")), [new Int8Array([1, 2, 3]), new Int8Array([4, 5, -6])]);
  for (const value of [3, "heatmap", null, undefined, [1, 2], { color: "red" }]) assert.strictEqual(decode(value), value);
});

test("what did not change is the same array, so plotly leaves it", () => {
  const trace = { z: packed(new Int8Array([1, 2]), "1, 2"), dx: 1 };
  assert.strictEqual(decoded(trace).z, decoded({ ...trace, dx: 2 }).z);
});

test("changes of the layout reach what they name and nothing else", () => {
  const layout = { xaxis: { range: [0, 1] }, yaxis3: { range: [0, 40], title: { text: "Hz" } } };
  const after = changed(layout, { "yaxis3.range": [0, 50], "coloraxis.cmin": -60 });
  assert.deepEqual(after, { xaxis: { range: [0, 1] }, yaxis3: { range: [0, 50], title: { text: "Hz" } }, coloraxis: { cmin: -60 } });
  assert.deepEqual(layout.yaxis3.range, [0, 40]);
  assert.strictEqual(after.xaxis, layout.xaxis);
});

test("a message changes the figure", () => {
  const figure = { data: [{ y: [1] }, { z: [[2]], dx: 1 }], layout: { height: 5 } };
  assert.deepEqual(updated(figure, { traces: [{}, { dx: 3 }], layout: {} }), { data: [{ y: [1] }, { z: [[2]], dx: 3 }], layout: { height: 5 } });
});

function page() {
  const on = {}, state = { figure: { data: [{ y: [1] }], layout: { height: 5 } } }, sent = [], drawn = [], frames = [];
  const model = {
    get: (name) => state[name],
    set: (name, value) => { state[name] = value; on[`change:${name}`]?.(); },
    on: (name, f) => { on[name] = f; },
    off: (name) => { delete on[name]; },
    send: (message) => sent.push(message),
  };
  globalThis.document = { createElement: () => ({ style: {}, clientWidth: 640 }) };
  globalThis.ResizeObserver = class { constructor(f) { this.f = f; } observe() { this.f(); } disconnect() {} };
  globalThis.requestAnimationFrame = (f) => frames.push(f);
  globalThis.Plotly = { react: (_, data, layout) => drawn.push({ data, layout }), purge: () => drawn.push("purged") };
  return { model, el: { appendChild: (x) => x }, on, sent, drawn, frames };
}

test("the model asks for the figure once it listens", () => {
  const { model, sent } = page();
  widget.initialize({ model });
  assert.deepEqual(sent, ["ready"]);
});

test("several changes are one drawing, at the page's width", () => {
  const { model, el, on, drawn, frames } = page();
  widget.initialize({ model });
  const close = widget.render({ model, el });
  for (const y of [[2], [3]]) on["msg:custom"]({ traces: [{ y }], layout: {} });
  assert.equal(frames.length, 1);
  frames.pop()();
  assert.deepEqual(drawn, [{ data: [{ y: [3] }], layout: { height: 5, width: 640 } }]);
  on["msg:custom"]({ traces: [{ y: [4] }], layout: {} });
  assert.equal(frames.length, 1);
  close();
  assert.deepEqual([drawn.at(-1), on["change:figure"]], ["purged", undefined]);
});
