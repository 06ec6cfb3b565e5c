"use strict";
(() => {
  const root = document.documentElement;
  const dark = () =>
    root.dataset.theme ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
  const toggle = document.getElementById("theme");
  const name = () => {
    toggle.textContent = dark() ? "Light page" : "Dark page";
  };
  toggle.hidden = false;
  name();
  toggle.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    name();
  });

  // Empty cells stay last, whichever way the table is sorted.
  const compare = (a, b, sign) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    const x = Number(a), y = Number(b);
    const numbers = !Number.isNaN(x) && !Number.isNaN(y);
    return sign * (numbers ? x - y : a.localeCompare(b, undefined, { numeric: true }));
  };
  // The first rows of a long table, in whatever order it is.
  const fold = (table) => {
    const open = Number(table.dataset.open ?? Infinity);
    [...table.tBodies[0].rows].forEach((row, place) => { row.hidden = place >= open; });
  };
  for (const table of document.querySelectorAll("table[data-open]")) {
    const more = table.closest("figure").querySelector(".more");
    more.hidden = false;
    more.addEventListener("click", () => {
      delete table.dataset.open;
      more.remove();
      fold(table);
    });
    fold(table);
  }
  const sort = (head) => {
    const table = head.closest("table");
    const place = [...head.parentNode.children].indexOf(head);
    const was = head.getAttribute("aria-sort");
    const first = head.classList.contains("number") ? "descending" : "ascending";
    const other = first === "ascending" ? "descending" : "ascending";
    const now = was === first ? other : first;
    for (const each of head.parentNode.children) each.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", now);
    const sign = now === "ascending" ? 1 : -1;
    const value = (row) => row.children[place].dataset.value;
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => compare(value(a), value(b), sign));
    table.tBodies[0].append(...rows);
    fold(table);
  };
  for (const button of document.querySelectorAll("th > button")) {
    button.addEventListener("click", () => sort(button.parentNode));
  }
})();
