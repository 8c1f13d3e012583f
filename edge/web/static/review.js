// Keys and quick answers for the pages of cells, and the picture that refreshes itself. Every form also works
// without this file.
"use strict";

const ask = (url, options = {}) =>
  fetch(url, { credentials: "same-origin", cache: "no-store", ...options, headers: { Accept: "application/json", ...options.headers } });

// A device that is busy, restarts or is out of reach is asked again: at once it would only be busier.
const BUSY = [429, 502, 503, 504];
const WAITS_S = [1, 2, 4, 8, 15, 30];
const later = (seconds) => new Promise((done) => { window.setTimeout(done, 1000 * seconds); });

// Send until there is an answer; before each wait, tell with what code it was refused, or null for none at all.
const askAgain = async (send, tell = () => {}) => {
  for (let tries = 0; ; tries += 1) {
    const reply = await send().catch(() => null);
    if (reply && !BUSY.includes(reply.status)) return reply;
    await tell(reply);
    const asked = Number(reply?.headers.get("Retry-After")) || 0;
    await later(Math.max(asked, WAITS_S[Math.min(tries, WAITS_S.length - 1)]));
  }
};

// A picture that was refused because too many were asked for at once is asked for again, not left out.
document.addEventListener("error", async (event) => {
  const picture = event.target;
  const name = picture instanceof HTMLImageElement ? "src" : "href";
  const address = picture instanceof Element && picture.matches("img, image") ? picture.getAttribute(name) : null;
  if (!address) return;
  const first = await ask(address, { method: "HEAD" }).catch(() => null);
  if (first && !BUSY.includes(first.status)) return; // there is none: it was removed
  const reply = await askAgain(() => ask(address, { method: "HEAD" }));
  if (reply.ok) picture.setAttribute(name, address);
}, true);

// ---------------------------------------------------------------- cells
const gallery = document.querySelector("form.gallery");
if (gallery) {
  const cards = [...gallery.querySelectorAll(".cell")];
  const saying = document.querySelector("#saying");
  let token = gallery.elements.csrf_token.value;
  const undoForm = document.querySelector("#undo");
  const undoButton = undoForm.querySelector("button");
  const keys = { b: "blast", n: "normal", s: "smudge", x: "not_a_cell", 1: "blast", 2: "normal", 3: "smudge", 4: "not_a_cell" };
  // Types are set for the cell that has the frame, by buttons, and by their letters while these are shown.
  const types = document.querySelector("details.types");
  const typeKeys = Object.fromEntries([...types.querySelectorAll("button")].map((one) => [one.dataset.key, one.dataset.word]));
  types.hidden = false;
  types.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button && cards.length) mark(cards[current], button.dataset.word);
  });
  let current = 0;
  // One stop of the Tab key for all cells; from there on arrows and letters. Without this file each button is a stop.
  cards.forEach((one) => {
    one.tabIndex = -1;
    one.querySelectorAll("a, button").forEach((inner) => { inner.tabIndex = -1; });
  });
  let queue = Promise.resolve();

  const say = (text) => { saying.textContent = text; };
  const card = (ref) => cards.find((one) => one.dataset.ref === ref);

  const select = (index, focus = true) => {
    if (!cards.length) return;
    cards[current].tabIndex = -1;
    current = Math.max(0, Math.min(cards.length - 1, index));
    cards[current].tabIndex = 0;
    if (focus) {
      cards[current].focus({ preventScroll: true });
      cards[current].scrollIntoView({ block: "nearest" });
    }
  };

  const perRow = () => {
    const rows = {}; // a group may end in the middle of one
    cards.forEach((one) => { rows[one.offsetTop] = (rows[one.offsetTop] ?? 0) + 1; });
    return Math.max(...Object.values(rows));
  };

  const show = (answer) => {
    const one = card(answer.ref);
    if (one) {
      one.classList.toggle("read", Boolean(answer.word));
      one.dataset.word = answer.word || "";
      one.querySelector(".own").textContent = answer.own;
      one.querySelectorAll(".words button").forEach((button) =>
        button.setAttribute("aria-pressed", String(button.dataset.word === answer.word)));
    }
    document.querySelector("#progress").textContent = answer.progress;
    document.querySelector("#figure").textContent = answer.figure;
    // Not there where the program's words are hidden: there is nothing to agree with.
    const agreeing = document.querySelector("#agree-count");
    if (agreeing) agreeing.textContent = cards.filter((other) => !other.dataset.word && other.dataset.sure).length;
    takeBack(answer.last);
    say(answer.said);
  };

  // Which word an undo means from now on.
  const takeBack = (last) => {
    undoForm.elements.last.value = last ?? "";
    undoButton.disabled = last === null;
  };

  const post = (url, fields, redirect = "follow") =>
    ask(url, { method: "POST", redirect, body: new URLSearchParams(fields), headers: { "X-CSRFToken": token } });

  // The page was started again, or its session has ended: a new one is given the name that stands on this page.
  const renew = async (fresh) => {
    token = fresh;
    document.querySelectorAll("input[name=csrf_token]").forEach((input) => { input.value = fresh; });
    const { observer, hide, observe } = gallery.dataset;
    if (observer) await post(observe, { observer, hide_program: hide }, "manual");
  };

  // One after the other, so that the log has them in the order in which they were pressed; each until it is kept.
  let waiting = 0;
  const send = (url, body, one, then) => {
    waiting += 1;
    if (one) one.classList.add("waiting");
    const tell = async (reply) => {
      const { problem } = reply === null ? {} : await reply.json().catch(() => ({}));
      say(`${problem ?? gallery.dataset[reply ? "busy" : "unreachable"]} ${gallery.dataset.waiting.replace("{number}", waiting)}`);
    };
    queue = queue.then(async () => {
      const again = () => askAgain(() => post(url, body()), tell);
      try {
        let reply = await again();
        let answer = await reply.json();
        if (answer.csrf_token) {
          await renew(answer.csrf_token);
          reply = await again();
          answer = await reply.json();
        }
        if (reply.ok) {
          show(answer);
          if (then) then(answer);
        } else lose(one, answer);
      } catch { // an answer that is none: something else than the page has answered
        lose(one, { problem: gallery.dataset.unreachable });
      }
      waiting -= 1;
      if (one) one.classList.remove("waiting");
    });
    return queue;
  };

  // What was not kept says so where it was pressed: the line above says something else a key later.
  const lose = (one, answer) => {
    say(answer.problem);
    if ("last" in answer) takeBack(answer.last);
    if (one) one.querySelector(".own").textContent = gallery.dataset.lost;
  };

  window.addEventListener("beforeunload", (event) => { if (waiting) event.preventDefault(); });

  const mark = (one, word) => {
    send(gallery.action, () => ({ word: `${one.dataset.ref}-${word}` }), one);
    select(cards.indexOf(one) + 1);
  };

  const undo = () => {
    if (undoButton.disabled) return;
    send(undoForm.action, () => ({ last: undoForm.elements.last.value }), null, (answer) => {
      const one = card(answer.ref);
      if (one) select(cards.indexOf(one));
    });
  };

  gallery.addEventListener("click", (event) => {
    const button = event.target.closest(".words button");
    const one = event.target.closest(".cell");
    if (button) {
      event.preventDefault();
      mark(one, button.dataset.word);
    } else if (one && !event.target.closest("a")) {
      select(cards.indexOf(one));
    }
  });
  gallery.addEventListener("focusin", (event) => {
    const one = event.target.closest(".cell");
    if (one && one === event.target) select(cards.indexOf(one), false);
  });
  undoForm.addEventListener("submit", (event) => { event.preventDefault(); undo(); });

  // Only while a cell has the focus, so that no letter surprises anybody elsewhere on the page.
  const hear = (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const one = cards[current];
    // Only a row up or down asks how many cells are in one: of 5,000 that is a look at each.
    const moves = { ArrowRight: () => 1, ArrowLeft: () => -1, ArrowDown: perRow, ArrowUp: () => -perRow() };
    if (key in moves) select(current + moves[key]());
    else if (key === "Home") select(0);
    else if (key === "End") select(cards.length - 1);
    else if (key in keys && one) mark(one, keys[key]);
    else if (types.open && key in typeKeys && one) mark(one, typeKeys[key]);
    else if ((key === "c" || (key === "Enter" && event.target === one)) && one) {
      if (one.dataset.sure) mark(one, one.dataset.sure);
      else say(gallery.dataset.choose);
    } else if (key === "u") undo();
    else if (key === "f" && one) window.location = one.querySelector("a").href;
    else return;
    event.preventDefault();
  };
  gallery.addEventListener("keydown", hear);
  // What sets types has the focus once it was opened: its letters are heard there, too; other keys are its own.
  types.addEventListener("keydown", (event) => {
    if (types.open && event.key.length === 1 && event.key !== " ") hear(event);
  });

  const wanted = card(window.location.hash.slice(2));
  select(wanted ? cards.indexOf(wanted) : 0, Boolean(wanted) || Boolean(gallery.dataset.observer));
}

// ---------------------------------------------------------------- slide map
// One stop of the Tab key for a map; the arrows go to the nearest field in their direction.
document.querySelectorAll("svg.map").forEach((map) => {
  const places = [...map.querySelectorAll(".place")];
  const at = (one) => [Number(one.dataset.x), Number(one.dataset.y)];
  const arrows = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
  const stop = (one) => places.forEach((other) => other.setAttribute("tabindex", other === one ? "0" : "-1"));
  stop(places[0]);
  map.addEventListener("focusin", (event) => { if (event.target.matches(".place")) stop(event.target); });
  map.addEventListener("keydown", (event) => {
    const way = arrows[event.key];
    if (!way || event.ctrlKey || event.altKey || event.metaKey) return;
    const [x, y] = at(event.target);
    const along = (one) => (at(one)[0] - x) * way[0] + (at(one)[1] - y) * way[1];
    const beside = (one) => Math.abs((at(one)[0] - x) * way[1] + (at(one)[1] - y) * way[0]);
    const ahead = places.filter((one) => one !== event.target && along(one) > beside(one) / 2 && along(one) > 0.1);
    ahead.sort((one, other) => along(one) + 2 * beside(one) - along(other) - 2 * beside(other));
    if (ahead.length) ahead[0].focus();
    event.preventDefault();
  });
});

// ---------------------------------------------------------------- live
const live = document.querySelector("[data-live]");
if (live) {
  const announce = document.querySelector("#announce");
  const stopText = (root) => root.querySelector(".stop")?.textContent.trim() ?? "";

  // Only what has changed is put in place, so that the focus of a keyboard stays where it is.
  const update = (fresh, id) => {
    const now = document.getElementById(id);
    const then = fresh.getElementById(id);
    if (now.innerHTML !== then.innerHTML) now.replaceChildren(...then.childNodes);
  };

  const refresh = async () => {
    if (!document.hidden) {
      try {
        const reply = await fetch(live.dataset.live, { credentials: "same-origin", cache: "no-store" });
        if (reply.status === 401) { window.location.reload(); return; }
        if (reply.ok) {
          const fresh = new DOMParser().parseFromString(await reply.text(), "text/html");
          // The new picture is loaded before it is shown: no flicker, and no pile of requests on a slow network.
          const image = fresh.querySelector("#preview img");
          if (image) {
            const loaded = new Image();
            loaded.src = image.getAttribute("src");
            await loaded.decode().catch(() => {});
          }
          if (stopText(fresh) !== stopText(live)) announce.textContent = stopText(fresh);
          ["preview", "counted", "meters", "state"].forEach((id) => update(fresh, id));
        }
      } catch { /* the device is busy or gone: the page keeps what it shows and asks again */ }
    }
    window.setTimeout(refresh, Number(live.dataset.every));
  };
  window.setTimeout(refresh, Number(live.dataset.every));
}

// ---------------------------------------------------------------- login
// The token behind the # of a QR code: it is typed for the person, and gone from the line of address.
const typed = document.querySelector("input[name=token]");
if (typed && window.location.hash.length > 1) {
  typed.value = window.location.hash.slice(1);
  window.history.replaceState(null, "", window.location.pathname + window.location.search);
  if (!document.querySelector("main [role=alert]")) typed.form.submit();
}
