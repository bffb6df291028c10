// The explorer's half that runs in the browser: draws plotly's figure, and redraws what a message of the kernel changes.
// Everything above `render` is pure and tested in node. `Plotly` is loaded in front of this file.

const TYPES = { i1: Int8Array, u1: Uint8Array, i2: Int16Array, f4: Float32Array, f8: Float64Array };

const known = new WeakMap();

/** plotly.py's `{dtype, bdata, shape}` as a typed array, or as rows of one; anything else as it is. Plotly redraws what is
 * a new array, so the same object always gives the same array. */
export function decode(value) {
  if (!value?.bdata) return value;
  if (!known.has(value)) known.set(value, array(value));
  return known.get(value);
}

function array(value) {
  const bytes = Uint8Array.from(atob(value.bdata), (c) => c.charCodeAt(0));
  const all = new TYPES[value.dtype](bytes.buffer);
  if (!value.shape) return all;
  const [rows, columns] = String(value.shape).split(",").map(Number);
  return Array.from({ length: rows }, (_, i) => all.subarray(i * columns, (i + 1) * columns));
}

/** A trace of which every array is decoded. */
export function decoded(trace) {
  return Object.fromEntries(Object.entries(trace).map(([key, value]) => [key, decode(value)]));
}

/** `layout` with `changes` such as `{"yaxis3.range": [0, 40]}`; what is not named stays the same object. */
export function changed(layout, changes) {
  const result = { ...layout };
  for (const [path, value] of Object.entries(changes)) {
    const names = path.split(".");
    const last = names.pop();
    let at = result;
    for (const name of names) at = at[name] = { ...at[name] };
    at[last] = value;
  }
  return result;
}

/** The figure after a message `{traces: [changes of each], layout: changes}`. */
export function updated(figure, { traces, layout }) {
  return { data: figure.data.map((trace, i) => ({ ...trace, ...traces[i] })), layout: changed(figure.layout, layout) };
}

function render({ model, el }) {
  const plot = el.appendChild(document.createElement("div"));
  plot.style.height = `${model.get("figure").layout.height}px`; // nothing below jumps when plotly draws
  let waiting = 0;
  function draw() {
    waiting = 0;
    if (!plot.clientWidth) return; // not shown yet, or not any more
    const { data, layout } = model.get("figure");
    globalThis.Plotly.react(plot, data.map(decoded), { ...structuredClone(layout), width: plot.clientWidth }, { displaylogo: false });
  }
  const later = () => (waiting ||= requestAnimationFrame(draw)); // several changes, one picture
  const resized = new ResizeObserver(later);
  resized.observe(plot);
  model.on("change:figure", later);
  return () => {
    resized.disconnect();
    model.off("change:figure", later);
    globalThis.Plotly.purge(plot);
  };
}

/** Changes go into the model, from which every view draws; what was sent before this page listened comes with the answer to "ready". */
function initialize({ model }) {
  model.on("msg:custom", (message) => model.set("figure", updated(model.get("figure"), message)));
  model.send("ready");
}

export default { initialize, render };
