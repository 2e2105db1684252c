// Keeps what is seen up to date. Without it everything works but moving.
//
// The server renders; this listens and puts what changed in place of what was there, piece by piece, so that whoever has
// the focus keeps it and what was opened stays open.
"use strict";
(() => {
  const root = document.documentElement;
  const link = document.getElementById("link");
  let source = null;
  let seen = null;
  let asking = false;

  const say = (state, text) => {
    link.dataset.state = state;
    link.textContent = text;
  };

  const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && (a.id || "") === (b.id || "");

  // Makes `from` what `to` is. Rows are known by their ids: a new one pushes the others, it does not become them.
  const morph = (from, to) => {
    if (from.isEqualNode(to)) return;
    if (from.nodeType !== Node.ELEMENT_NODE) {
      from.nodeValue = to.nodeValue;
      return;
    }
    for (const { name, value } of to.attributes) {
      if (name !== "open" && from.getAttribute(name) !== value) from.setAttribute(name, value);
    }
    for (const { name } of [...from.attributes]) {
      if (name !== "open" && !to.hasAttribute(name)) from.removeAttribute(name);
    }
    const known = new Map([...from.children].filter((child) => child.id).map((child) => [child.id, child]));
    let old = from.firstChild;
    for (const next of [...to.childNodes]) {
      const same = next.id ? known.get(next.id) : undefined;
      while (same && same.parentNode === from && old && old !== same) {
        const gone = old;
        old = old.nextSibling;
        gone.remove();
      }
      if (old && alike(old, next)) {
        const kept = old;
        old = old.nextSibling;
        morph(kept, next);
      } else {
        from.insertBefore(next, old);
      }
    }
    while (old) {
      const gone = old;
      old = old.nextSibling;
      gone.remove();
    }
  };

  const put = (id, html) => {
    const place = document.getElementById(id);
    if (!place) return;
    const next = place.cloneNode(false);
    next.innerHTML = html;
    morph(place, next);
  };

  // What depends on the address is asked for again, when there is something new.
  const refresh = async () => {
    const live = document.getElementById("live");
    if (!live || !live.dataset.refresh || asking) return;
    asking = true;
    try {
      const address = new URL(location.href);
      if (live.dataset.have) address.searchParams.set("have", live.dataset.have);
      const answer = await fetch(address);
      if (answer.status === 200) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const next = page.getElementById("live");
        if (next) morph(live, next);
        document.title = page.title;
      }
    } catch {
      // The next event tries again.
    } finally {
      asking = false;
    }
  };

  const show = (event) => {
    const now = JSON.parse(event.data);
    if (now.start !== root.dataset.start) {
      location.reload();
      return;
    }
    say("live", "Live");
    for (const [id, html] of Object.entries(now.fragments)) put(id, html);
    if (now.traces !== seen) {
      seen = now.traces;
      refresh();
    }
  };

  // A page that nobody looks at does not listen.
  const listen = () => {
    if (document.hidden) {
      source?.close();
      source = null;
      return;
    }
    if (source) return;
    seen = null;
    source = new EventSource("/events");
    source.addEventListener("snapshot", show);
    source.addEventListener("error", () => {
      say("away", "Not connected");
      if (source?.readyState !== EventSource.CLOSED) return;
      source = null;
      setTimeout(listen, 3000);
    });
  };

  document.addEventListener("visibilitychange", listen);
  document.addEventListener("submit", (event) => {
    event.target.setAttribute("aria-busy", "true");
  });
  // Back from another page, with what that one left behind.
  addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[aria-busy]")) form.removeAttribute("aria-busy");
  });
  say("away", "Connecting");
  listen();
})();
