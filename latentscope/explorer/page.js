// What happens in the browser alone. In scope: figures, sliders, message, goto, upload, near, ...
const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)");

function paint() {
  const style = getComputedStyle(root);
  const color = name => style.getPropertyValue(name).trim();
  for (const it of figures) {
    for (const axis of [...it.below, ...it.left]) {
      Object.assign(axis, {
        axis_label_text_color: color("--soft"), major_label_text_color: color("--soft"),
        axis_line_color: color("--line"), major_tick_line_color: color("--line"), minor_tick_line_color: null,
        axis_label_text_font_style: "normal",
      });
    }
    for (const grid of it.center) if (grid.grid_line_color !== undefined) grid.grid_line_color = color("--line");
  }
  const night = root.dataset.theme ? root.dataset.theme === "dark" : dark.matches;
  const button = document.getElementById("theme");
  if (button) button.textContent = night ? "light" : "dark";
}
paint();
dark.addEventListener("change", paint);
document.getElementById("theme")?.addEventListener("click", event => {
  root.dataset.theme = event.target.textContent;
  paint();
});

// The server says what goes into the address, and hands over files.
function handle([kind, name, data]) {
  if (kind === "address") {
    const here = new URLSearchParams(location.search), token = here.get("token");
    history.replaceState(null, "", "?" + name + (token ? "&token=" + encodeURIComponent(token) : ""));
  } else if (kind === "file") {
    const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
    const link = Object.assign(document.createElement("a"), {href: URL.createObjectURL(new Blob([bytes])), download: name});
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }
}
const listen = () => { if (message.tags.length) handle(message.tags); };
message.properties.tags.change.connect(listen);
listen();  // what came before there was anybody to listen
document.getElementById("link")?.addEventListener("click", event => {
  navigator.clipboard?.writeText(location.href);
  event.target.textContent = "copied";
  setTimeout(() => { event.target.textContent = "copy link"; }, 1500);
});

// The nearest: a click on a number lays a spectrum over the shown one, a click on a name opens it.
function write() {
  const body = document.querySelector("#near tbody"), {row, rank, name, distance, labels, why} = near.data;
  const chosen = new Set(near.selected.indices);
  body.replaceChildren(...Array.from(row, (_, i) => {
    const line = document.createElement("tr");
    const over = document.createElement("button"), open = document.createElement("button");
    over.textContent = rank[i];
    open.textContent = name[i];
    for (const it of [over, open]) it.type = "button";
    over.title = "lay over the spectrum, or take away";
    open.title = `open ${name[i]}`;
    over.setAttribute("aria-pressed", chosen.has(i));
    if (chosen.has(i)) over.style.background = overlays[[...chosen].indexOf(i)];
    over.addEventListener("click", () => {
      if (!chosen.delete(i)) chosen.add(i);
      near.selected.indices = [...chosen].slice(-overlays.length);
    });
    open.addEventListener("click", () => { near.tags = [row[i]]; near.tags = []; });
    for (const content of [over, open, distance[i].toFixed(2), labels[i], why[i]]) {
      const cell = document.createElement("td"), inner = document.createElement("div");
      if (typeof content === "string") cell.title = content;
      inner.append(content);
      cell.append(inner);
      line.append(cell);
    }
    return line;
  }));
}
near.properties.data.change.connect(write);
near.selected.properties.indices.change.connect(write);
write();

// A double click puts a slider back. The event crosses shadow roots, its path names the slider.
document.addEventListener("dblclick", event => {
  const path = event.composedPath();
  const slider = sliders.find(it => path.includes(Bokeh.index.find_one(it)?.el));
  if (slider) slider.value = slider.tags[0];
});

// n and p: the next and the previous line.
document.addEventListener("keydown", event => {
  const target = event.composedPath()[0];
  if (/^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName) || event.ctrlKey || event.metaKey || event.altKey) return;
  const step = {n: 1, p: -1}[event.key];
  if (!step || goto === null) return;
  const names = goto.options, at = names.indexOf(goto.value);
  goto.value = names[Math.min(Math.max(at + step, 1), names.length - 1)];
});

// A file that is too large never leaves the browser.
const input = upload && Bokeh.index.find_one(upload)?.input_el;
input?.addEventListener("change", event => {
  const file = input.files[0];
  if (file && file.size > largest) {
    event.stopImmediatePropagation();
    message.text = `<p class="alert">${(file.size / 1e6).toFixed(0)} MB are too many; expected a file of 64 MB at most</p>`;
    input.value = "";
  }
}, true);
root.dataset.ready = "yes";
