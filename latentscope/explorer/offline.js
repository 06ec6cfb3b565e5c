// The page without a server; after page.js, and with its scope. One dimension moves at a time.
const column = name => table.data["x:" + name];

function map() {
  const [x, y, color] = selects.map(it => it.value);
  chart.data = {x: column(x), y: column(y), color: paints.data[color]};
  // A Kiel diagram has giants on top and hot stars on the left.
  const kiel = /^log[ _]?g$/i.test(y), hot_left = kiel && /^(t_?eff|temperature)$/i.test(x);
  for (const [range, name, turned] of [[map_figure.x_range, x, hot_left], [map_figure.y_range, y, kiel]]) {
    const known = Array.from(column(name)).filter(Number.isFinite);
    const low = known.reduce((a, b) => Math.min(a, b), Infinity), high = known.reduce((a, b) => Math.max(a, b), -Infinity);
    const pad = 0.06 * (high - low) || 1;
    const ends = [low - pad, high + pad], [start, end] = turned ? ends.reverse() : ends;
    range.setv({start, end, reset_start: start, reset_end: end});
  }
  map_figure.below[0].axis_label = names[x];
  map_figure.left[0].axis_label = names[y];
  legend_text.text = legends[color];
}
for (const select of selects) select.properties.value.change.connect(map);
map();

function nearest(row) {
  const dims = Object.values(points.data), star = table.data.star, found = [];
  for (let i = 0; i < star.length; i++) {
    if (star[i] === star[row]) continue;
    let sum = 0;
    for (const values of dims) sum += (values[i] - values[row]) ** 2;
    found.push([Math.sqrt(sum), i]);
  }
  found.sort((a, b) => a[0] - b[0]);
  const rows = found.slice(0, 12), [x, y] = selects.map(it => it.value);
  near.data = {
    row: rows.map(it => it[1]), rank: rows.map((_, i) => i + 1), name: rows.map(it => table.data.name[it[1]]),
    distance: rows.map(it => Number(it[0].toFixed(3))), labels: rows.map(it => table.data.facts[it[1]]), why: rows.map(() => ""),
    x: rows.map(it => column(x)[it[1]]), y: rows.map(it => column(y)[it[1]]),
  };
  here.data = {x: [column(x)[row]], y: [column(y)[row]]};
  const said = document.createElement("p");
  said.textContent = `nearest to ${table.data.name[row]}: ${table.data.facts[row]}`;
  near_heading.text = said.outerHTML;
}
count.text = "click a point to find its nearest";
map_figure.on_event("tap", event => {
  const [x, y] = selects.map(it => column(it.value));
  const wide = map_figure.x_range.end - map_figure.x_range.start, high = map_figure.y_range.end - map_figure.y_range.start;
  let best = -1, least = 0.03;
  for (let i = 0; i < x.length; i++) {
    const apart = Math.hypot((x[i] - event.x) / wide, (y[i] - event.y) / high);
    if (apart < least) { least = apart; best = i; }
  }
  if (best >= 0) nearest(best);
});

if (sliders.length) {
  let busy = false;
  const blank = new Float32Array(spectrum.data.x.length).fill(NaN);
  sliders.forEach((slider, place) => slider.properties.value.change.connect(() => {
    if (busy) return;
    busy = true;
    sliders.forEach((other, i) => { if (i !== place) other.value = other.tags[0]; });
    busy = false;
    const back = slider.value === slider.tags[0];
    const apart = values[place].map(it => Math.abs(it - slider.value));
    const step = apart.indexOf(Math.min(...apart));
    const moved = back ? blank : steps.data[`${place}:${step}`];
    spectrum.data = {...spectrum.data, moved, change: moved.map((it, i) => it - spectrum.data.base[i])};
    const said = document.createElement("span");
    said.textContent = back ? "" : does[place];
    change.text = said.outerHTML;
  }));
  goto.properties.value.change.connect(() => {
    const at = lines[goto.value];
    if (at) flux.x_range.setv({start: at - 6, end: at + 6});
  });
}
