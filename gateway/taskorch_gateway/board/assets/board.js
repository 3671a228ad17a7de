// Task Orchestrator, the board: the whole script. The page works without it: everything is a
// link or a form.
//
// What templates say to it (the stream itself is described in live.py):
//
// body    data-live="now" or "status"   the fragments that the stream sends; none without it
//         data-have="status:1a2b …"     their versions in this page (now.version_of)
//         data-since="1712-0"           the newest event before the page was read (view.cursor,
//                                       else waits.newest)
//         data-now="1712000000000"      the server's time in ms, for the ages
//         data-csrf="…"                 filled into input[name=csrf][value=""] of new fragments
//         data-count="3"                how many things need a person: the title and the icon
// live    #status #needs-you #agents #pools #projects #flow #events, replaced by id. The first
//         element of #status is .live, with the state in words in its [role=status].
//         #needs-you[data-count] carries the new count.
// row     [data-key="item_11aa22bb"]    what comes, goes and fades as one: li, tr; unique in its
//         fragment. Attributes and texts of a row with the same key are replaced in place. Each
//         section is busy or not by itself, also those of a drawer.
// other   [data-refresh="/projects/proj_1"][id]   read again from that path, and replaced by the
//         element with the same id of the answer, when an event names one of the ids in its
//         data-on="item_11aa22bb proj_33cc44dd" ("*": any event). Without such an element in the
//         answer, it is removed.
// age     <time datetime="2026-03-12T11:50:02Z">: the script writes "14 min". data-form="ago"
//         "14 min ago", "left" "22 min left", "for" (the default) "14 min". The text that the
//         server writes, such as "11:50 UTC", is for readers without the script.
// today   b[data-since="1712000000000"][data-hours="0 3 1 …"]: numbers of hours in UTC, of which the
//         script adds up those since the midnight of the reader.
// due     [data-due] (ms): hidden until that time.
// bar     svg.bar[data-from][data-until] (ms): the script keeps rect's width at what is left.
// stop    [data-stop]: where j and k stop, a link or a button; not inside of .settled.
// drawer  a[data-drawer]: its page is fetched, and the dialog.drawer in it is opened over this
//         page. If the page of the drawer was opened itself, its links lead to other pages, and
//         dialog.drawer[data-back="/"] says where closing leads; a link to there inside of it has
//         data-close. With an id and data-refresh it is live. After an action that goes on to
//         another page, that is opened in the drawer.
// more    a[data-more="item"]: the element with this id becomes that of the page behind the
//         link, where the reader is.
// do      [data-do=theme|pause|help|copy|all|close], shown by the script if it is hidden. copy
//         copies the code beside it; all checks the checkboxes of its table.
// form    form[method=post]: sent by fetch with "Accept: text/fragment+html". A 2xx answer holds
//         <output> with the receipt, and if it goes on elsewhere, <output data-next="/path">.
//         409 with form.again is a question that the server has; other answers hold
//         [role=alert], which is put into the form, [data-for] behind the label of that field.
//         Nothing typed is lost. form[data-plain] is sent by the browser. After an action every [data-refresh] is read again.
// ask     button[data-ask="Cancel Login form?"] asks first, in #ask. data-why what follows,
//         data-yes the word of the button, data-text the label of a text, data-name the name of
//         its field (text), .danger. The form is then sent with confirm=yes; without the script
//         there is no such field, and the server answers with a page that asks.
// file    input[type=file][data-into="plan"]: the text of the file goes into that field.
// once    dialog#ask, dialog#help, p#say[role=status], input[type=search] for /.
(() => {
  "use strict";
  const page = document.documentElement;
  const $ = (selector, inside = document) => inside.querySelector(selector);
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  const FRAGMENT = { Accept: "text/fragment+html" };
  const SEND_MS = 30_000;

  const say = (text) => { $("#say").textContent = text; };

  const parsed = (html) => new DOMParser().parseFromString(html, "text/html");

  // The reader --------------------------------------------------------------------------------

  // Nothing moves under the reader: a part with the pointer or the focus in it keeps its rows. A
  // reader who has not moved for a minute has left, and the board goes on by itself.
  const AWAY_MS = 60_000;
  let movedAt = performance.now();
  const hasPointer = matchMedia("(hover: hover)");
  for (const kind of ["pointermove", "pointerdown", "keydown", "wheel"]) {
    addEventListener(kind, () => { movedAt = performance.now(); }, { passive: true, capture: true });
  }

  const isTyped = (field) => {
    if (field.type === "hidden" || field.type === "submit") return false;
    if (field.matches("[type=checkbox], [type=radio]")) return field.checked !== field.defaultChecked;
    if (field.matches("select")) {
      return field.selectedIndex !== Math.max(0, [...field.options].findIndex((option) => option.defaultSelected));
    }
    return field.value !== field.defaultValue;
  };
  const hasTyped = (part) => all("input, textarea, select", part).some(isTyped);
  const isAsked = (part) => Boolean(ask()?.open && part.contains(asked?.form));
  let renews = false; // what the reader has asked for replaces what they read
  const isRead = (part) => {
    if (isAsked(part)) return true;
    if (renews) return false;
    if (performance.now() - movedAt > AWAY_MS) return false;
    return (hasPointer.matches && part.matches(":hover")) || part.contains(document.activeElement);
  };
  // A receipt stays long enough to be read.
  const RECEIPT_MS = 5000;
  const settledAt = new WeakMap();
  const hasReceipt = (part) => all(".settled", part)
    .some((row) => performance.now() - (settledAt.get(row) ?? -RECEIPT_MS) < RECEIPT_MS);
  const isBusy = (part) => hasTyped(part) || isRead(part) || hasReceipt(part);

  // Ages --------------------------------------------------------------------------------------

  let clockAheadMs = 0;
  const now = () => Date.now() + clockAheadMs;
  const setClock = (serverMs) => { if (serverMs) clockAheadMs = serverMs - Date.now(); };

  const duration = (ms) => {
    const seconds = Math.max(0, Math.floor(ms / 1000));
    if (seconds < 60) return `${seconds} s`;
    const minutes = Math.floor(seconds / 60);
    if (minutes < 60) return `${minutes} min`;
    const hours = Math.floor(minutes / 60);
    if (hours < 10) return `${hours} h ${String(minutes % 60).padStart(2, "0")} min`;
    return hours < 48 ? `${hours} h` : `${Math.floor(hours / 24)} d`;
  };
  const aged = {
    for: (ms) => duration(ms),
    ago: (ms) => `${duration(ms)} ago`,
    left: (ms) => (ms > 0 ? "lease is over" : `${duration(-ms)} left`),
  };
  const age = (time) => {
    const at = Date.parse(time.dateTime);
    if (Number.isNaN(at)) return;
    const text = (aged[time.dataset.form] ?? aged.for)(now() - at);
    if (time.textContent !== text) time.textContent = text;
  };
  const shrink = (bar) => {
    const { from, until } = bar.dataset;
    const left = Math.max(0, Math.min(100, Math.round(100 * (until - now()) / (until - from))));
    const rect = $("rect", bar);
    if (rect.getAttribute("width") === `${left}%`) return;
    rect.setAttribute("width", `${left}%`);
    bar.setAttribute("aria-label", `${left}% of the lease left`);
  };
  // What was done since the midnight of the reader, from numbers by hour.
  const sumToday = (number) => {
    const midnight = new Date(now()).setHours(0, 0, 0, 0);
    const { since, hours } = number.dataset;
    const text = String(hours.split(" ").reduce((sum, done, hour) => (
      Number(since) + hour * 3_600_000 >= midnight ? sum + Number(done) : sum), 0));
    if (number.textContent !== text) number.textContent = text;
    number.parentElement.title = "since midnight";
  };
  const ageAll = (part = document) => {
    all("time[datetime]", part).forEach(age);
    all("svg.bar[data-until]", part).forEach(shrink);
    all("[data-hours]", part).forEach(sumToday);
    for (const sign of all("[data-due]", part)) sign.hidden = now() < Number(sign.dataset.due);
  };

  // Replacing parts ---------------------------------------------------------------------------

  const keyOf = (node) => (node.nodeType === 1 ? node.dataset.key || node.id || "" : "");
  const isSame = (one, other) => one.nodeName === other.nodeName && keyOf(one) === keyOf(other);
  const isBlank = (node) => node.nodeType === 3 && !node.data.trim();
  const isKept = (node) => node.nodeType === 1 && "keep" in node.dataset;
  const childrenOf = (node) => [...node.childNodes].filter((child) => !isKept(child) && !isBlank(child));
  const withoutMotion = matchMedia("(prefers-reduced-motion: reduce)");

  const fade = (node) => {
    const row = (node.nodeType === 1 ? node : node.parentElement)?.closest("[data-key]");
    if (row && !withoutMotion.matches) row.classList.add("changed");
  };
  addEventListener("animationend", ({ target, animationName }) => {
    if (animationName === "changed") target.classList.remove("changed");
  });

  const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))]
    .map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const fill = (part) => {
    for (const field of all("input[name=csrf]", part)) field.value ||= document.body.dataset.csrf;
    for (const field of all("input[name=key]", part)) field.value ||= newKey();
  };
  const made = (node) => {
    const copy = document.importNode(node, true);
    if (copy.nodeType === 1) { fill(copy); ageAll(copy); if (copy.matches("time")) age(copy); }
    return copy;
  };

  // What the reader or the script has set, and the server cannot know.
  const OWN = { DETAILS: ["open"], DIALOG: ["open"] };
  const owns = (node, name) => OWN[node.nodeName]?.includes(name)
    || (name === "value" && node.matches("input[name=csrf], input[name=key]"));
  const copyAttributes = (old, fresh) => {
    const fades = old.classList.contains("changed");
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name) && !owns(old, name)) old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (owns(old, name) || old.getAttribute(name) === value) continue;
      old.setAttribute(name, value);
      if (name === "href" && old.nodeName === "use") fade(old);
    }
    if (fades) old.classList.add("changed");
  };

  // Make an element like a fresh one. Return whether all of it could be done: in a part that is
  // busy, texts are replaced in place, but rows neither come nor go.
  const morph = (old, fresh, busy) => {
    if (old.nodeType !== 1) {
      if (old.data !== fresh.data) { old.data = fresh.data; fade(old); }
      return true;
    }
    if (old.isEqualNode(fresh) || old.matches(".live")) return true;
    if (old.matches("section")) busy = isBusy(old);
    else if (old.matches("form")) busy ||= isBusy(old);
    const isRow = "key" in old.dataset;
    if (busy && (old.matches(".settled") || (isRow && hasTyped(old)))) return false;
    if (old.matches("form") && (hasTyped(old) || isAsked(old))) return false;
    if (old.matches("textarea") && isTyped(old)) return false;
    copyAttributes(old, fresh);
    if (old.matches("svg.bar[data-until]")) { shrink(old); return true; }
    if (old.matches("time")) { age(old); return true; }
    const olds = childrenOf(old);
    const freshes = childrenOf(fresh);
    const isInPlace = olds.length === freshes.length
      && olds.every((child, index) => isSame(child, freshes[index]));
    if (isInPlace) {
      return olds.map((child, index) => morph(child, freshes[index], busy)).every(Boolean);
    }
    return busy ? morphKept(olds, freshes) : morphRows(old, olds, freshes);
  };
  // Pair children by their keys, those without one by their number among their kind.
  const paired = (olds, freshes) => {
    const labels = (nodes) => {
      const numbers = {};
      return nodes.map((node) => {
        const kind = `${node.nodeName} ${keyOf(node)}`;
        numbers[kind] = (numbers[kind] ?? 0) + 1;
        return `${kind} ${numbers[kind]}`;
      });
    };
    const byLabel = new Map();
    const oldLabels = labels(olds);
    olds.forEach((node, index) => byLabel.set(oldLabels[index], node));
    const pairs = new Map();
    labels(freshes).forEach((label, index) => {
      if (byLabel.has(label)) pairs.set(freshes[index], byLabel.get(label));
    });
    return pairs;
  };
  // In a busy part, only what stays is renewed; a row that is gone is muted.
  const morphKept = (olds, freshes) => {
    const pairs = paired(olds, freshes);
    const staying = new Set(pairs.values());
    for (const [fresh, old] of pairs) morph(old, fresh, true);
    for (const old of olds) {
      if (!staying.has(old) && old.dataset?.key && !hasTyped(old)) old.classList.add("settled");
    }
    return false;
  };
  const morphRows = (parent, olds, freshes) => {
    const focused = document.activeElement;
    const pairs = paired(olds, freshes);
    const staying = new Set(pairs.values());
    for (const old of olds) if (!staying.has(old)) drop(old);
    let done = true;
    let place = parent.firstChild;
    for (const fresh of freshes) {
      while (place && (isBlank(place) || isKept(place))) place = place.nextSibling;
      const old = pairs.get(fresh);
      const node = old ?? made(fresh);
      if (node === place) place = place.nextSibling;
      else parent.insertBefore(node, place);
      if (old) done = morph(old, fresh, false) && done;
      else fade(node);
    }
    fill(parent);
    if (parent.contains(focused) && focused !== document.activeElement) focused.focus({ preventScroll: true });
    return done;
  };
  // The focus of a row that goes is taken by the next one.
  const drop = (node) => {
    if (node.nodeType === 1 && node.contains(document.activeElement)) leave(node);
    node.remove();
  };

  // Parts that could not be replaced completely, and what they are to become.
  const held = new Map();
  const WHOLE = "dialog, main, article"; // what has sections, each busy or not by itself
  const replace = (id, fresh) => {
    const old = document.getElementById(id);
    if (!old || !fresh) {
      held.delete(id);
      if (old && !isBusy(old)) old.remove();
      return;
    }
    if (morph(old, fresh, !old.matches(WHOLE) && isBusy(old))) held.delete(id);
    else held.set(id, fresh);
    ageAll(old);
    count();
  };
  const renew = (id, fresh) => {
    renews = true;
    replace(id, fresh);
    renews = false;
  };
  const replaceHeld = () => {
    for (const [id, fresh] of held) {
      const old = document.getElementById(id);
      if (!old || old.matches(WHOLE) || !isBusy(old)) replace(id, fresh);
    }
  };
  let isPlanned = false;
  const planHeld = () => {
    if (!held.size || isPlanned) return;
    isPlanned = true;
    requestAnimationFrame(() => { isPlanned = false; replaceHeld(); });
  };
  for (const kind of ["pointerover", "focusout", "input"]) addEventListener(kind, planHeld, { passive: true });
  page.addEventListener("pointerleave", planHeld);

  // The title and the icon carry the number of things that need a person.
  let counted = "";
  const count = () => {
    const number = $("#needs-you[data-count], #status[data-count], #status [data-count]")?.dataset.count
      ?? document.body.dataset.count ?? "0";
    if (number === counted) return;
    counted = number;
    const title = document.title.replace(/^\(\d+\) /, "");
    document.title = number === "0" ? title : `(${number}) ${title}`;
    const mark = number === "0" ? "" : "<text x='8' y='12' font-family='sans-serif' font-size="
      + `'${number.length > 1 ? 9 : 11}' font-weight='700' text-anchor='middle' fill='#fff'>${number}</text>`;
    const icon = "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>"
      + `<rect width='16' height='16' rx='4' fill='#2c51cc'/>${mark}</svg>`;
    $("link[rel=icon]")?.setAttribute("href", `data:image/svg+xml,${encodeURIComponent(icon)}`);
  };

  // The stream --------------------------------------------------------------------------------

  const SILENT_MS = 40_000; // the server sends something every 15 seconds
  const LONGEST_PAUSE_MS = 5000;
  const stream = {
    versions: new Map(), since: "", open: null, failures: 0, timer: 0, heardAt: 0,
    state: "connecting", freshAt: Date.now(), isPaused: false,
  };

  const showState = () => {
    const place = $("#status .live [role=status]");
    document.body.classList.toggle("paused", stream.isPaused);
    document.body.classList.toggle("away", stream.state === "away");
    if (!place) return;
    const old = duration(Date.now() - stream.freshAt);
    const text = stream.isPaused ? "paused"
      : stream.state === "ended" ? "signed out"
        : stream.state === "away" ? `reconnecting, data is ${old} old` : "live";
    if (place.textContent !== text) place.textContent = text;
  };
  const setState = (state) => {
    if (state === "live") stream.freshAt = Date.now();
    stream.state = state;
    showState();
  };

  // One fragment in a frame, so that none takes long.
  const waiting = new Map();
  const showNext = () => {
    const [[id, text]] = waiting;
    waiting.delete(id);
    if (waiting.size) requestAnimationFrame(showNext);
    replace(id, $(`[id="${CSS.escape(id)}"]`, parsed(text)));
  };
  const show = ({ name, version, html }) => {
    if (!waiting.size) requestAnimationFrame(showNext);
    waiting.set(name, html);
    stream.versions.set(name, version);
  };
  const hear = {
    fragment: show,
    touched: (named) => touch(named),
    state: ({ redis }) => setState(redis === "ok" ? "live" : "away"),
    alive: ({ now: serverMs }) => { setClock(serverMs); },
    end: () => end(),
  };
  const receive = (block) => {
    let kind = "";
    let data = "";
    for (const line of block.split("\n")) {
      if (line.startsWith("event: ")) kind = line.slice(7);
      else if (line.startsWith("data: ")) data += line.slice(6);
      else if (line.startsWith("id: ")) stream.since = line.slice(4);
    }
    if (stream.state === "live") stream.freshAt = Date.now();
    hear[kind]?.(JSON.parse(data));
  };
  const listen = async (signal) => {
    const have = [...stream.versions].map((pair) => pair.join(":")).join(" ");
    const query = new URLSearchParams({ fragments: document.body.dataset.live, have, since: stream.since });
    const response = await fetch(`/live?${query}`, { signal, headers: { Accept: "text/event-stream" } });
    if (response.status === 401 || response.status === 403) { end(); return; }
    if (!response.ok) throw new Error(`status ${response.status}`);
    stream.failures = 0;
    stream.heardAt = performance.now();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      stream.heardAt = performance.now();
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      blocks.forEach(receive);
    }
  };
  const connect = async () => {
    clearTimeout(stream.timer);
    if (stream.open || stream.isPaused || document.hidden || stream.state === "ended") return;
    const open = new AbortController();
    stream.open = open;
    try { await listen(open.signal); } catch (error) { if (open.signal.aborted) return; }
    if (stream.open !== open) return;
    stream.open = null;
    if (stream.state === "ended") return;
    setState("away");
    const pause = Math.min(LONGEST_PAUSE_MS, 500 * 2 ** stream.failures++) * (0.5 + Math.random() / 2);
    stream.timer = setTimeout(connect, pause);
  };
  const disconnect = () => {
    clearTimeout(stream.timer);
    const { open } = stream;
    stream.open = null;
    open?.abort();
  };
  const end = () => {
    setState("ended");
    say("You are signed out. Sign in again in another tab; what you typed stays here.");
  };
  const hasLive = () => "live" in document.body.dataset;
  addEventListener("visibilitychange", () => {
    if (!hasLive()) return;
    if (document.hidden) disconnect();
    else { tick(); connect(); }
  });
  addEventListener("pagehide", disconnect);
  addEventListener("pageshow", ({ persisted }) => { if (persisted && hasLive()) connect(); });
  addEventListener("online", () => { if (hasLive()) { disconnect(); connect(); } });

  // One timer for the page; a hidden tab has none.
  let ticking = 0;
  const tick = () => {
    clearTimeout(ticking);
    if (document.hidden) return;
    ageAll();
    showState();
    if (held.size) replaceHeld();
    if (stream.open && stream.heardAt && performance.now() - stream.heardAt > SILENT_MS) {
      disconnect();
      setState("away");
      connect();
    }
    ticking = setTimeout(tick, 1000);
  };

  // Other parts: read again when an event names what they show -----------------------------------

  // The first news is read soon; on a busy queue, all pages together leave the server its time.
  const READ_SOON_MS = 100;
  const READ_AGAIN_MS = 400;
  const READ_ANY_MS = 3000; // of a part that any event concerns
  const ANSWERS_APART = 40;
  const reading = new WeakMap();
  const names = (part, { items = [], projects = [], all: any }) => {
    const on = (part.dataset.on ?? "").split(" ");
    return any || on.includes("*") || on.some((id) => items.includes(id) || projects.includes(id));
  };
  const touch = (named) => {
    for (const part of all("[data-refresh]")) if (names(part, named)) readSoon(part);
  };
  const readSoon = (part) => {
    const state = reading.get(part) ?? { nextAt: 0, timer: 0, isWanted: false };
    reading.set(part, state);
    state.isWanted = true;
    const pause = Math.max(READ_SOON_MS, state.nextAt - performance.now());
    state.timer ||= setTimeout(() => readAgain(part, state), pause);
  };
  const readAgain = async (part, state) => {
    state.isWanted = false;
    const began = performance.now();
    const show = state.isOwn ? renew : replace;
    state.isOwn = false;
    if (part.isConnected && !document.hidden) await read(part, show);
    const least = part.dataset.on?.includes("*") ? READ_ANY_MS : READ_AGAIN_MS;
    const took = performance.now() - began;
    state.nextAt = performance.now() + Math.min(15_000, Math.max(least, ANSWERS_APART * took));
    state.timer = 0;
    if (state.isWanted) readSoon(part);
  };
  const read = async (part, show) => {
    try {
      const response = await fetch(part.dataset.refresh, { headers: FRAGMENT });
      if (response.status === 401) { end(); return; }
      if (!response.ok) return;
      show(part.id, $(`[id="${CSS.escape(part.id)}"]`, parsed(await response.text())));
    } catch { /* the state of the stream says that the server is away */ }
  };
  // After an action nothing waits, and what it has changed is shown where the reader is.
  const readAll = () => {
    for (const part of all("[data-refresh]")) {
      const state = reading.get(part) ?? { nextAt: 0, timer: 0 };
      reading.set(part, state);
      clearTimeout(state.timer);
      state.timer = state.nextAt = 0;
      state.isOwn = true;
      readSoon(part);
    }
  };

  // Actions -----------------------------------------------------------------------------------

  const ask = () => $("#ask");
  let asked = null;
  const drafts = new Map(); // what was typed into a question that was put off
  const question = (form, button, { ask: title, why = "", text = "", typed = "", yes = "Yes", name = "text", isDangerous }) => {
    const dialog = ask();
    const field = $("textarea", dialog);
    // what the person has seen, whatever the form is renewed to in the meantime
    asked = { form, button, name: text && name, seen: seenIn(form, button)?.value };
    $("h2", dialog).textContent = title;
    $("p", dialog).textContent = why;
    $("label", dialog).hidden = !text;
    $("label span", dialog).textContent = text;
    field.name = name;
    field.required = Boolean(text) && !("optional" in (button?.dataset ?? {}));
    field.value = drafts.get(addressOf(form, button)) ?? typed;
    const confirm = $("[value=yes]", dialog);
    confirm.textContent = yes;
    confirm.classList.toggle("danger", Boolean(isDangerous));
    $("[value=no]", dialog).formNoValidate = true;
    dialog.returnValue = "no";
    dialog.showModal();
    (text ? field : $("[value=no]", dialog)).focus();
  };
  const settleQuestion = () => {
    const { form, button, name, seen } = asked;
    const { value } = $("textarea", ask());
    asked = null;
    if (value) drafts.set(addressOf(form, button), value);
    const more = { confirm: "yes", ...(seen ? { seen } : {}), ...(name ? { [name]: value } : {}) };
    if (ask().returnValue === "yes") send(form, button, more);
  };

  // What the person has seen of the item: in the button, or in a field of the form.
  const seenIn = (form, button) => (button?.name === "seen" ? button : $("input[name=seen]", form));
  const addressOf = (form, button) => (
    button?.hasAttribute("formaction") ? button.formAction : form.action);
  const contentOf = (form, button, more) => {
    const data = new FormData(form, button);
    for (const [name, value] of Object.entries(more)) data.set(name, value);
    return form.enctype === "multipart/form-data" ? data : new URLSearchParams(data);
  };
  const forget = (form) => {
    $("[role=alert]", form)?.remove();
    for (const field of all("[aria-invalid]", form)) {
      field.removeAttribute("aria-invalid");
      field.removeAttribute("aria-describedby");
    }
  };
  const complain = (form, alert) => {
    forget(form);
    alert.dataset.keep = "";
    const field = alert.dataset.for && form.elements[alert.dataset.for];
    if (field) {
      field.closest("label").after(alert);
      field.setAttribute("aria-invalid", "true");
      field.setAttribute("aria-describedby", alert.id);
      field.focus();
    } else form.append(alert);
    say(alert.textContent);
  };
  const alertOf = (text) => Object.assign(document.createElement("p"), {
    role: "alert", className: "refusal", textContent: text,
  });
  const sending = new WeakSet();
  const send = async (form, button, more = {}) => {
    if (sending.has(form)) return;
    sending.add(form);
    forget(form);
    const address = addressOf(form, button);
    try {
      const body = contentOf(form, button, more);
      const signal = AbortSignal.timeout(SEND_MS);
      const response = await fetch(address, { method: "POST", body, headers: FRAGMENT, signal });
      const answer = parsed(await response.text());
      sending.delete(form);
      if (response.ok) { drafts.delete(address); settle(form, button, $("output", answer)); }
      else if (isOtherSession(answer)) await send(form, button, more);
      else refuse(form, button, answer, response.status);
    } catch (error) {
      if (!sending.delete(form)) throw error;
      complain(form, alertOf("Not sent: the server does not answer. Nothing is lost; send it again."));
    }
  };
  // A settled row keeps its place and its height, and the focus goes to the next one.
  const settle = (form, button, output) => {
    const receipt = output?.textContent.trim() || button?.dataset.done || "Done.";
    const next = output?.dataset.next;
    say(receipt);
    form.closest("dialog")?.querySelector(".receipt")?.remove();
    if (next) { goOn(form, next); return; }
    form.reset();
    for (const field of all("input[name=key]", form)) field.value = newKey();
    const shown = Object.assign(document.createElement("output"), { textContent: receipt });
    const row = form.closest("[data-key]");
    if (row) {
      form.replaceChildren(shown);
      row.classList.add("settled");
      settledAt.set(row, performance.now());
      leave(row);
    } else {
      shown.dataset.keep = "";
      for (const old of all(":scope > output[data-keep]", form.parentElement)) old.remove();
      form.after(shown);
    }
    readAll();
  };
  // The reader has signed in again, in another tab: the forms of this page are of that session now.
  const isOtherSession = (answer) => {
    const csrf = $("input[name=csrf]", answer)?.value;
    if (!csrf || csrf === document.body.dataset.csrf) return false;
    document.body.dataset.csrf = csrf;
    for (const field of all("input[name=csrf]")) field.value = csrf;
    if (stream.state === "ended" && hasLive()) { stream.state = "connecting"; connect(); }
    return true;
  };
  // A refused form stays as it is, with the error in it; or the server has a question first.
  const refuse = (form, button, answer, status) => {
    const again = $("form.again", answer);
    if (status === 409 && again) {
      const text = $("textarea", again);
      question(form, button, {
        ask: $("h1", answer).textContent,
        why: $("main > p", answer)?.textContent,
        yes: $("button", again).textContent,
        text: text?.closest("label").textContent,
        name: text?.name,
        typed: text?.value,
        isDangerous: Boolean($("button.danger", again)),
      });
      return;
    }
    if (status === 401) end();
    const alert = $("[role=alert]", answer);
    const seen = $("input[name=seen]", answer)?.value;
    if (seen && seenIn(form, button)) seenIn(form, button).value = seen;
    complain(form, alert ? document.importNode(alert, true) : alertOf("The server refused this."));
    readAll();
  };

  addEventListener("submit", (event) => {
    const { target: form, submitter: button } = event;
    if (form.getAttribute("method") !== "post" || "plain" in form.dataset) return;
    event.preventDefault();
    if (button?.dataset.ask) question(form, button, { ...button.dataset, isDangerous: button.matches(".danger") });
    else send(form, button);
  });

  // The drawer ----------------------------------------------------------------------------------

  let opener = null; // the row that the drawer was opened from: its key, or its link
  let isDirect = false; // whether this page is the one of the drawer
  const drawer = () => $("dialog.drawer");
  const showDrawer = (dialog) => {
    let warnedAt = 0;
    dialog.open = false;
    dialog.showModal();
    ($("h1", dialog) ?? dialog).focus();
    dialog.addEventListener("cancel", (event) => {
      if (event.target !== dialog || !hasTyped(dialog) || warnedAt) return;
      warnedAt = event.timeStamp;
      event.preventDefault();
      say("Your text is not sent. Press Escape again to close.");
    });
    dialog.addEventListener("close", () => { if (dialog.isConnected) leaveDrawer(dialog); });
  };
  const leaveDrawer = (dialog) => {
    if (isDirect || !history.state?.drawer) location.assign(dialog.dataset.back || "/");
    else history.go(-history.state.depth);
  };
  // A drawer leads on in its place: the page underneath stays.
  const goOn = (form, path) => {
    if (isDirect || !form.closest("dialog.drawer")) { location.assign(path); return; }
    history.replaceState({ ...history.state, drawer: path }, "", path);
    openDrawer(path, { push: false });
    readAll();
  };
  const removeDrawer = () => {
    const dialog = drawer();
    if (!dialog) return;
    dialog.remove();
    const link = opener?.link.isConnected ? opener.link
      : $(`[data-key="${CSS.escape(opener?.key ?? "")}"] [data-stop]`);
    link?.focus();
    opener = null;
  };
  const openDrawer = async (path, { push = true } = {}) => {
    let answer;
    try {
      const response = await fetch(path, { headers: FRAGMENT });
      answer = response.ok ? $("dialog.drawer", parsed(await response.text())) : null;
    } catch { answer = null; }
    if (!answer) { location.assign(path); return; }
    const dialog = made(answer);
    drawer()?.remove();
    document.body.append(dialog);
    const depth = (history.state?.depth ?? 0) + 1;
    if (push) history.pushState({ drawer: path, depth }, "", path);
    showDrawer(dialog);
  };
  addEventListener("popstate", ({ state }) => {
    if (state?.drawer) openDrawer(state.drawer, { push: false });
    else if (!isDirect) removeDrawer();
  });
  // The rows that are new follow those that the reader has seen.
  const showMore = async (link) => {
    const id = link.dataset.more;
    const part = document.getElementById(id);
    const path = link.getAttribute("href").split("#")[0];
    const before = new Set(all("[data-key]", part).map(keyOf));
    let fresh;
    try {
      const response = await fetch(path, { headers: FRAGMENT });
      fresh = response.ok ? $(`#${id}`, parsed(await response.text())) : null;
    } catch { fresh = null; }
    if (!fresh) { location.assign(link.href); return; }
    renew(id, fresh);
    const first = all("[data-key]", part).find((row) => !before.has(keyOf(row)));
    if (first) { first.tabIndex = -1; first.focus({ preventScroll: true }); }
  };

  // Clicks and keys -------------------------------------------------------------------------------

  const copied = async (text) => {
    if (navigator.clipboard) { await navigator.clipboard.writeText(text); return; }
    const field = Object.assign(document.createElement("textarea"), { value: text, className: "vh" });
    document.body.append(field); // a page without TLS has no clipboard
    field.select();
    document.execCommand("copy");
    field.remove();
  };
  const act = {
    theme() {
      const usual = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
      const theme = (page.dataset.theme || usual) === "dark" ? "light" : "dark";
      page.dataset.theme = theme;
      document.cookie = `taskorch_theme=${theme}; path=/; max-age=31536000; samesite=strict`;
    },
    pause() {
      stream.isPaused = !stream.isPaused;
      $("[data-do=pause]")?.setAttribute("aria-pressed", stream.isPaused);
      if (stream.isPaused) disconnect();
      else connect();
      showState();
    },
    help() { $("#help").showModal(); },
    close(button) { button.closest("dialog").close(); },
    async copy(button) {
      await copied($("code", button.parentElement).textContent);
      button.textContent = "Copied";
      say("Copied");
    },
    all(box) {
      for (const other of all("td [type=checkbox]", box.closest("table"))) other.checked = box.checked;
    },
  };
  addEventListener("click", (event) => {
    const { target } = event;
    const button = target.closest("[data-do]");
    if (button) {
      if (button.form && button.type === "submit") event.preventDefault();
      act[button.dataset.do]?.(button);
      return;
    }
    const link = target.closest("a[data-drawer], a[data-more]");
    const isPlain = !(event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);
    if (link && isPlain && "more" in link.dataset) { event.preventDefault(); showMore(link); return; }
    if (!link || !isPlain || isDirect) {
      const close = target.closest("dialog.drawer a[data-close]");
      if (close && !isDirect) { event.preventDefault(); close.closest("dialog").close(); }
      return;
    }
    event.preventDefault();
    if (!drawer()) opener = { link, key: link.closest("[data-key]")?.dataset.key };
    openDrawer(link.getAttribute("href"));
  });
  addEventListener("change", async ({ target }) => {
    if (!target.matches("[type=file][data-into]") || !target.files.length) return;
    const into = target.form.elements[target.dataset.into];
    into.value = await target.files[0].text();
    target.value = ""; // the field is what is sent, and may be edited
    into.focus();
  });

  // j and k go over the rows of the open drawer, or else of the page.
  const stops = () => all("[data-stop]", drawer() ?? document)
    .filter((stop) => !stop.closest(".settled") && stop.checkVisibility());
  const step = (by) => {
    const found = stops();
    const focused = document.activeElement;
    const row = focused.closest("[data-key]");
    const at = found.findIndex((stop) => stop === focused || (row && row === stop.closest("[data-key]")));
    found[at < 0 ? 0 : Math.max(0, Math.min(found.length - 1, at + by))]?.focus();
  };
  // Go to the row after one that is settled, or before it if it is the last.
  const leave = (row) => {
    const others = stops().filter((stop) => !row.contains(stop));
    const isAfter = (stop) => row.compareDocumentPosition(stop) & Node.DOCUMENT_POSITION_FOLLOWING;
    (others.find(isAfter) ?? others.at(-1))?.focus();
  };
  const keys = {
    j: () => step(1),
    k: () => step(-1),
    t: act.theme,
    p: act.pause,
    "?": act.help,
    "/": () => { const field = $("[type=search]"); if (field) field.focus(); else location.assign("/items"); },
    a: () => ($("[data-key]:focus-within [name=answer]") ?? $("[name=answer]", drawer() ?? document))?.focus(),
  };
  const PAGES = { n: "/", p: "/projects", i: "/items" };
  let isGoing = false;
  addEventListener("keydown", (event) => {
    const { key, target } = event;
    if (target.matches("input:not([type=checkbox]), textarea, select")) {
      if (key === "Escape" && !target.closest("#ask")) { event.preventDefault(); target.blur(); }
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || $("dialog:modal:not(.drawer)")) return;
    let run = isGoing && PAGES[key] ? () => location.assign(PAGES[key]) : keys[key];
    if (key === "Escape" && isDirect && !hasTyped(drawer())) run = () => leaveDrawer(drawer());
    isGoing = key === "g";
    if (!run) return;
    event.preventDefault();
    run();
  });

  // Start ---------------------------------------------------------------------------------------

  addEventListener("DOMContentLoaded", () => {
    const { have = "", since = "", now: serverMs } = document.body.dataset;
    for (const pair of have.split(" ").filter(Boolean)) stream.versions.set(...pair.split(":"));
    stream.since = since;
    setClock(Number(serverMs));
    for (const button of all("[data-do][hidden]")) button.hidden = false;
    ask()?.addEventListener("close", settleQuestion);
    isDirect = Boolean(drawer());
    count();
    tick();
    if (hasLive()) connect();
  });
})();
