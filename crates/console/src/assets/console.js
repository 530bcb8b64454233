// Keys and updates. Everything works without it.
(() => {
  "use strict";

  const rows = () => Array.from(document.querySelectorAll("main [data-row]"));
  const typing = (element) => element && element.closest("input, textarea, select, [contenteditable]");

  const move = (step) => {
    const all = rows();
    if (all.length === 0) return;
    const here = all.indexOf(document.activeElement && document.activeElement.closest("[data-row]"));
    const next = here < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(Math.max(here + step, 0), all.length - 1);
    all[next].focus();
    all[next].scrollIntoView({ block: "nearest" });
  };

  // What a row is about; the page of a code is about all rows with that code. A row that leads nowhere shows more of itself.
  const open = (row) => {
    const link = row.querySelector('a[href]:not([href^="/errors/"])');
    const details = row.querySelector("details");
    if (link) link.click();
    else if (details) details.open = !details.open;
  };

  const places = { o: "/", e: "/exceptions", d: "/dead-letters", a: "/audit", t: "/topics", r: "/replay", p: "/groups", w: "/trace",
    s: "/service-levels", h: "/activity", c: "/reconciliation", m: "/crosswalk" };
  let going = false;

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    const dialog = document.getElementById("keys");
    if (going && places[event.key]) {
      const link = document.querySelector(`header nav a[href="${places[event.key]}"]`);
      going = false;
      if (link) link.click();
      return;
    }
    going = event.key === "g";
    if (event.key === "j") move(1);
    else if (event.key === "k") move(-1);
    else if (event.key === "?" && dialog && !dialog.open) dialog.showModal();
    else if (event.key === "/") {
      const field = document.querySelector("main form.filter input, main form.filter select");
      if (field) { field.focus(); event.preventDefault(); }
    } else if (event.key === "Enter") {
      const row = event.target.closest("[data-row]");
      if (row && event.target === row) open(row);
    }
  });

  // What changes by itself is fetched again and put in the place of what is shown, unless somebody is at work in it.
  const live = document.getElementById("live");
  const again_ms = () => Number(document.body.dataset.live);
  if (!again_ms() || !live) return;
  live.textContent = ", " + live.dataset.text;

  const is_changed = (field) => (field.type === "checkbox" ? field.checked !== field.defaultChecked : field.value !== field.defaultValue);
  const filled_in = () => Array.from(document.querySelectorAll("main form input:not([type=hidden]), main form textarea")).some(is_changed);

  const busy = () => {
    const focused = document.activeElement;
    return document.hidden || filled_in() || (focused && focused.closest("main form, main details")) || document.querySelector("dialog[open]");
  };

  const update = async () => {
    if (!busy()) {
      try {
        const headers = { accept: "text/html", "wardline-waits": "1" };
        const answer = await fetch(location.href, { headers, redirect: "error", cache: "no-store" });
        // Nothing is shown yet: then why it cannot be is shown.
        const is_first = !!document.getElementById("later");
        if (answer.ok || is_first) {
          const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
          const main = document.getElementById("main");
          const new_main = fresh.getElementById("main");
          if (main && new_main && !busy()) {
            const row = document.activeElement && document.activeElement.closest("[data-row]");
            const key = row && row.dataset.row;
            const open = new Set(Array.from(main.querySelectorAll("details[open][id]")).map((one) => one.id));
            new_main.querySelectorAll("details[id]").forEach((one) => { if (open.has(one.id)) one.open = true; });
            if (is_first) document.title = fresh.title;
            else new_main.querySelectorAll(".said").forEach((one) => one.remove());
            main.replaceChildren(...Array.from(new_main.childNodes));
            const again = key && rows().find((one) => one.dataset.row === key);
            if (again) again.focus({ preventScroll: true });
            const as_of = document.getElementById("as-of");
            const new_as_of = fresh.getElementById("as-of");
            if (as_of && new_as_of) as_of.replaceChildren(...Array.from(new_as_of.childNodes));
            // What was still being read is there now, or nothing of it changes any more.
            document.body.dataset.live = fresh.body.dataset.live || "";
          }
          live.textContent = again_ms() ? ", " + live.dataset.text : "";
          live.classList.remove("late");
        } else {
          throw new Error("status " + answer.status);
        }
      } catch (error) {
        live.textContent = ", not updated: the console does not answer, or the session is over";
        live.classList.add("late");
      }
    }
    if (again_ms()) window.setTimeout(update, again_ms());
  };
  window.setTimeout(update, again_ms());
})();
