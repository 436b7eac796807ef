// Two things that the page cannot do by itself: it stays up to date, and it asks
// before acts in a dialog. Without this script every link and form still works.
"use strict";

(() => {
  const page = "/admin/warm-pool";
  const period = 5000;
  const slowest = 60000;
  const pool = document.getElementById("pool");
  const live = document.getElementById("live");
  const dialog = document.getElementById("dialog");
  const announcer = document.getElementById("announce");
  const notices = document.getElementById("notice");
  if (!pool || !live || !dialog || !window.DOMParser || !dialog.showModal) {
    return;
  }

  // --- Putting a newer page in, without touching what has not changed: focus,
  // selection, scroll positions and open details stay as they are.

  const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.id : "");

  function alike(a, b) {
    return a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);
  }

  function syncAttributes(from, to) {
    for (const { name } of [...from.attributes]) {
      if (!to.hasAttribute(name) && !(name === "open" && from.nodeName === "DETAILS")) {
        from.removeAttribute(name);
      }
    }
    for (const { name, value } of [...to.attributes]) {
      if (from.getAttribute(name) !== value) {
        from.setAttribute(name, value);
      }
    }
  }

  function morph(from, to) {
    if (from.isEqualNode(to)) {
      return;
    }
    if (from.nodeType !== Node.ELEMENT_NODE) {
      from.nodeValue = to.nodeValue;
      return;
    }
    syncAttributes(from, to);
    const named = new Map();
    for (const child of from.children) {
      if (child.id) {
        named.set(child.id, child);
      }
    }
    let at = from.firstChild;
    for (const wanted of [...to.childNodes]) {
      let found = null;
      if (keyOf(wanted)) {
        found = named.get(wanted.id) || null;
        found = found && found.nodeName === wanted.nodeName ? found : null;
      } else {
        for (let one = at; one && !found && !keyOf(one); one = one.nextSibling) {
          found = alike(one, wanted) ? one : null;
        }
      }
      if (!found) {
        from.insertBefore(document.importNode(wanted, true), at);
        continue;
      }
      if (found === at) {
        at = at.nextSibling;
      } else if (keyOf(found)) {
        from.insertBefore(found, at);
      } else {
        while (at !== found) {
          const gone = at;
          at = at.nextSibling;
          gone.remove();
        }
        at = at.nextSibling;
      }
      morph(found, wanted);
    }
    while (at) {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    }
  }

  function announce(text) {
    if (text && announcer.textContent !== text) {
      announcer.textContent = text;
    }
  }

  function show(next) {
    const before = document.activeElement;
    const held = before && before.id;
    morph(pool, next);
    announce(pool.dataset.announce);
    // What had the focus may have gone, or was moved, which takes the focus away.
    if (held && document.activeElement !== before && !dialog.open) {
      const again = document.getElementById(held);
      (again || pool).focus({ preventScroll: true });
    }
  }

  // --- Staying up to date.

  let timer = 0;
  let wait = period;
  let running = false;

  function say(state, text) {
    live.dataset.state = state;
    if (live.textContent !== text) {
      live.textContent = text;
    }
  }

  async function read(address, options) {
    const answer = await fetch(address, { credentials: "same-origin", ...options });
    const text = await answer.text();
    return { status: answer.status, page: new DOMParser().parseFromString(text, "text/html") };
  }

  async function refresh() {
    window.clearTimeout(timer);
    if (running) {
      return;
    }
    running = true;
    try {
      const { status, page: next } = await read(`${page}/live`);
      const fresh = next.getElementById("pool");
      if (status === 401) {
        say("ended", "Your session has ended. ");
        const again = document.createElement("a");
        again.href = `${page}/login`;
        again.textContent = "Sign in again";
        live.append(again);
        return;
      }
      if (!fresh) {
        throw new Error(`status ${status}`);
      }
      show(fresh);
      wait = period;
      say("on", `Live · ${new Date(pool.dataset.now).toISOString().slice(11, 19)} UTC`);
    } catch {
      wait = Math.min(wait * 2, slowest);
      say("lost", `Connection lost: these figures are old. Trying again in ${wait / 1000} s.`);
    } finally {
      running = false;
    }
    later();
  }

  function later() {
    window.clearTimeout(timer);
    if (!document.hidden) {
      timer = window.setTimeout(refresh, wait);
    }
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? window.clearTimeout(timer) : refresh()));
  say("on", "Live");
  later();

  // --- Asking before acts.

  let opener = "";

  function fill(part) {
    part.classList.remove("card");
    dialog.replaceChildren(document.importNode(part, true));
    const title = dialog.querySelector("h1");
    dialog.setAttribute("aria-labelledby", title ? title.id : "");
    if (!dialog.open) {
      dialog.showModal();
    }
    const first = dialog.querySelector("[autofocus]");
    if (first) {
      first.focus();
    }
  }

  function take(answer) {
    const part = answer.page.querySelector("#confirm, #message");
    const fresh = answer.page.getElementById("pool");
    if (part) {
      fill(part);
      return;
    }
    if (!fresh) {
      window.location.assign(page);
      return;
    }
    dialog.close();
    const said = answer.page.querySelector("#notice p");
    if (said) {
      notices.replaceChildren(document.importNode(said, true));
    }
    show(fresh);
    refresh();
  }

  async function ask(address, options, fallback) {
    dialog.setAttribute("aria-busy", "true");
    try {
      take(await read(address, options));
    } catch {
      fallback();
    } finally {
      dialog.removeAttribute("aria-busy");
    }
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (!link || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) {
      return;
    }
    if (link.hasAttribute("data-cancel") && dialog.contains(link)) {
      event.preventDefault();
      dialog.close();
    } else if (link.hasAttribute("data-confirm")) {
      event.preventDefault();
      opener = link.id;
      ask(link.href, {}, () => window.location.assign(link.href));
    }
  });

  document.addEventListener("submit", (event) => {
    const form = event.target;
    const values = new URLSearchParams(new FormData(form));
    if (form.hasAttribute("data-confirm")) {
      event.preventDefault();
      opener = event.submitter ? event.submitter.id : "";
      const address = `${form.getAttribute("action")}?${values}`;
      ask(address, {}, () => window.location.assign(address));
    } else if (dialog.contains(form)) {
      event.preventDefault();
      for (const button of form.querySelectorAll("button")) {
        button.disabled = true;
      }
      ask(form.getAttribute("action"), { method: "POST", body: values }, () => {
        for (const button of form.querySelectorAll("button")) {
          button.disabled = false;
        }
        const lost = document.createElement("p");
        lost.className = "notice error";
        lost.setAttribute("role", "alert");
        lost.textContent = "The connection was lost. It may have been done or not: close this, look, and try again if it was not.";
        form.before(lost);
      });
    }
  });

  dialog.addEventListener("close", () => {
    const back = opener && document.getElementById(opener);
    opener = "";
    (back || pool).focus({ preventScroll: true });
  });
})();
