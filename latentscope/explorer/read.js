// The place of the mouse, read off the lines. In scope: source, readout, cb_obj (the event).
const xs = source.data.x, x = cb_obj.x;
if (xs.length) {
  let low = 0, high = xs.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (xs[middle] < x) low = middle; else high = middle;
  }
  const at = x - xs[low] < xs[high] - x ? low : high;
  const parts = [`${x.toFixed(2)} Å`];
  for (const [name, word] of [["input", "input"], ["base", "reconstruction"], ["moved", "moved"]]) {
    const value = source.data[name][at];
    if (Number.isFinite(value)) parts.push(`${word} ${value.toFixed(3)}`);
  }
  readout.text = parts.join(" · ");
}
