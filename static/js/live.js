// Live pages: one socket a page says which rows changed; htmx fetches the pieces that show them.
//
// <body data-live-topics="today lead:..." data-live-seq="...">   what to follow, and from where
// [data-live="lead:..."] with hx-get, hx-trigger="live"          a piece that is fetched anew
// [data-live-types="lead.scored follow_up.*"]                    only for these events
// [data-live-rows]                                               a list: new rows are announced, not pushed in
// [data-live-new]                                                the button that announces them
// [data-live-clock]                                              its words change with the minutes
// [data-live-hold]                                               somebody works here: leave it alone
// [data-live-banner]                                             shown while the line is down
//
// Nothing moves under the pointer or the focus: such a piece waits until they have left (class is-live-stale).
// A frame only says "look". Whatever is lost on the way is fetched after the reconnect.
(() => {
  "use strict";
  const topics = (document.body.dataset.liveTopics || "").split(/\s+/).filter(Boolean);
  if (!topics.length) return;

  const POLL_MS = 15_000;
  const SILENCE_MS = 60_000; // the server pings every 25 s
  const BANNER_MS = 2_000;
  const GATHER_MS = 300; // events of one piece within this time cost one fetch
  const CLOCK_MS = 60_000;
  const RESTING_POINTER_MS = 10_000;
  const SIGNED_OUT = 4401;
  const REFUSED = [4400, 4403];
  const TRIES_BEFORE_POLLING = 3;
  const canHover = matchMedia("(hover: hover)");

  let seq = document.body.dataset.liveSeq || "";
  let socket = null;
  let failures = 0;
  let signedOut = 0;
  let isRefused = false;
  let wasLost = false;
  let pointerMovedAt = 0;
  const timers = { connect: 0, silence: 0, banner: 0, poll: 0, waiting: 0 };
  const gathering = new Map(); // element -> timer
  const waiting = new Set(); // stale elements under the pointer or the focus
  const fresh = new Map(); // list -> ids of new rows not shown yet

  // --- the line ---------------------------------------------------------------------------------------------
  function address(path) {
    const query = new URLSearchParams(topics.map((topic) => ["topic", topic]));
    if (seq) query.append("since", seq);
    return `${path}?${query}`;
  }

  function connect() {
    clearTimeout(timers.connect);
    if (socket || isRefused) return;
    const line = location.protocol === "https:" ? "wss:" : "ws:";
    socket = new WebSocket(`${line}//${location.host}${address("/ws/live/")}`);
    socket.addEventListener("message", (event) => hear(event.data));
    socket.addEventListener("close", (event) => closed(event.code));
    listenForSilence();
  }

  function closed(code) {
    socket = null;
    clearTimeout(timers.silence);
    if (REFUSED.includes(code)) {
      isRefused = true;
      lost("lost");
      return;
    }
    // Signing in again in another tab, or a new password, gave this browser a new cookie: try once with it.
    signedOut = code === SIGNED_OUT ? signedOut + 1 : 0;
    if (signedOut > 1) {
      toSignIn();
      return;
    }
    failures += 1;
    lost(timers.poll ? "polling" : "lost");
    if (failures >= TRIES_BEFORE_POLLING && !timers.poll) poll();
    const longest = Math.min(30_000, 500 * 2 ** failures);
    timers.connect = setTimeout(connect, longest * (0.5 + Math.random() / 2));
  }

  function reconnectNow() {
    if (socket || isRefused) return;
    connect();
  }

  function listenForSilence() {
    clearTimeout(timers.silence);
    timers.silence = setTimeout(() => socket?.close(), SILENCE_MS);
  }

  function lost(state) {
    wasLost = true;
    document.documentElement.dataset.liveState = state;
    if (state === "lost" && !timers.banner) timers.banner = setTimeout(showBanner, BANNER_MS, true);
  }

  function connected(state) {
    document.documentElement.dataset.liveState = state;
    clearTimeout(timers.banner);
    timers.banner = 0;
    showBanner(false);
    if (state !== "live") return;
    failures = 0;
    clearTimeout(timers.poll);
    timers.poll = 0;
    if (wasLost) setTimeout(refreshAll, Math.random() * 1_500); // not every browser in the same instant
    wasLost = false;
  }

  function showBanner(isShown) {
    document.querySelectorAll("[data-live-banner]").forEach((banner) => {
      banner.hidden = !isShown;
    });
  }

  function toSignIn() {
    isRefused = true;
    const last = Number(sessionStorage.getItem("live-signed-out") || 0);
    if (Date.now() - last < 60_000) {
      lost("lost");
      return;
    }
    sessionStorage.setItem("live-signed-out", String(Date.now()));
    location.reload();
  }

  async function poll() {
    clearTimeout(timers.poll);
    timers.poll = setTimeout(poll, POLL_MS);
    try {
      const answer = await fetch(address("/api/v1/events/"), { headers: { Accept: "application/json" } });
      if (answer.status === 401) toSignIn();
      if (!answer.ok) return;
      const page = await answer.json();
      if (socket?.readyState === WebSocket.OPEN) return;
      connected("polling");
      seq = page.seq;
      if (page.resync) resync();
      page.results.forEach(happened);
      if (page.more) poll();
    } catch {
      lost("lost");
    }
  }

  // --- what is heard ----------------------------------------------------------------------------------------
  function hear(text) {
    listenForSilence();
    let frame;
    try {
      frame = JSON.parse(text);
    } catch {
      return;
    }
    seq = frame.seq;
    signedOut = 0;
    if (frame.type === "ping") return;
    if (frame.type === "hello") connected("live");
    else if (frame.type === "resync") resync();
    else happened(frame);
  }

  function resync() {
    document.dispatchEvent(new CustomEvent("live:resync"));
    refreshAll();
  }

  function refreshAll() {
    document.querySelectorAll("[data-live]").forEach(gather);
  }

  function happened(frame) {
    document.dispatchEvent(new CustomEvent(`live:${frame.type}`, { detail: frame }));
    const concerned = [...document.querySelectorAll("[data-live]")].filter((piece) => concerns(piece, frame));
    const lists = concerned.filter((piece) => piece.hasAttribute("data-live-rows"));
    lists.filter((list) => isNewRow(list, frame)).forEach((list) => announce(list, frame));
    concerned
      .filter((piece) => !lists.includes(piece) || isListStale(piece, frame, concerned))
      .forEach(gather);
  }

  function concerns(piece, frame) {
    const followed = piece.dataset.live.split(/\s+/);
    const lead = frame.ids.lead && `lead:${frame.ids.lead}`;
    const isAboutOneLead = followed.some((topic) => topic.startsWith("lead:"));
    const isFollowed = lead && isAboutOneLead ? followed.includes(lead) : followed.includes(frame.topic);
    return isFollowed && (piece.hasAttribute("data-live-rows") || isOfType(piece, frame));
  }

  function isOfType(piece, frame) {
    const types = (piece.dataset.liveTypes || "").split(/\s+/).filter(Boolean);
    return (
      !types.length ||
      types.some((type) => type === frame.type || (type.endsWith(".*") && frame.type.startsWith(type.slice(0, -1))))
    );
  }

  function rowOf(list, frame) {
    return frame.ids.lead && list.querySelector(`[data-live~="lead:${CSS.escape(frame.ids.lead)}"]`);
  }

  function isNewRow(list, frame) {
    return frame.type === "lead.created" && !rowOf(list, frame);
  }

  // A list is fetched for what its rows cannot show by themselves.
  function isListStale(list, frame, concerned) {
    if (frame.type === "lead.created") return false;
    if (frame.type === "import.finished") return true;
    if (list.dataset.liveTypes) return isOfType(list, frame);
    return !concerned.includes(rowOf(list, frame));
  }

  // --- new rows ---------------------------------------------------------------------------------------------
  function announce(list, frame) {
    const button = list.querySelector("[data-live-new]") || document.querySelector("[data-live-new]");
    const isAtTop = list.scrollTop < 40 && list.getBoundingClientRect().top >= 0;
    if (!button || (isAtTop && !isHeld(list))) {
      gather(list);
      return;
    }
    [...fresh.keys()].filter((gone) => !gone.isConnected).forEach((gone) => fresh.delete(gone));
    if (!fresh.has(list)) fresh.set(list, new Set());
    fresh.get(list).add(frame.ids.lead);
    const count = fresh.get(list).size;
    const words = count === 1 ? button.dataset.liveNewOne : button.dataset.liveNewMany;
    button.textContent = (words || "%n").replace("%n", count);
    button.hidden = false;
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-live-new]");
    if (!button) return;
    event.preventDefault();
    [...fresh.keys(), button.closest("[data-live-rows]")].forEach((list) => list?.isConnected && refresh(list, true));
    button.hidden = true;
  });

  // --- fetching ---------------------------------------------------------------------------------------------
  function gather(piece) {
    if (gathering.has(piece)) return;
    gathering.set(
      piece,
      setTimeout(() => {
        gathering.delete(piece);
        if (!piece.isConnected) return;
        if (isHeld(piece)) hold(piece);
        else refresh(piece);
      }, GATHER_MS),
    );
  }

  function refresh(piece, isWanted = false) {
    piece.classList.remove("is-live-stale");
    waiting.delete(piece);
    if (fresh.delete(piece)) {
      const button = piece.querySelector("[data-live-new]") || document.querySelector("[data-live-new]");
      if (button) button.hidden = true;
    }
    // Not htmx.trigger: its event bubbles, and a row would fetch the list around it as well.
    piece.dispatchEvent(new CustomEvent("live", { detail: { isWanted } }));
  }

  function isHeld(piece) {
    if (piece.closest("[data-live-hold]") || piece.querySelector("[data-live-hold], dialog[open]")) return true;
    const focused = document.activeElement;
    if (focused && focused !== document.body && piece.contains(focused)) return true;
    const isPointerResting = Date.now() - pointerMovedAt > RESTING_POINTER_MS;
    return canHover.matches && !isPointerResting && piece.matches(":hover");
  }

  function hold(piece) {
    piece.classList.add("is-live-stale");
    waiting.add(piece);
    if (!timers.waiting) timers.waiting = setTimeout(release, 400);
  }

  // An answer that was on its way when somebody moved in waits, too: it would take the open form away.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const cause = event.detail.requestConfig?.triggeringEvent;
    if (cause?.type !== "live" || cause.detail?.isWanted || !isHeld(cause.target)) return;
    event.detail.shouldSwap = false;
    hold(cause.target);
  });

  function release() {
    timers.waiting = 0;
    for (const piece of [...waiting]) {
      if (!piece.isConnected) waiting.delete(piece);
      else if (!isHeld(piece)) refresh(piece);
    }
    if (waiting.size) timers.waiting = setTimeout(release, 400);
  }

  // --- life -------------------------------------------------------------------------------------------------
  document.addEventListener("pointermove", () => (pointerMovedAt = Date.now()), { passive: true });
  window.addEventListener("online", reconnectNow);
  document.addEventListener("visibilitychange", () => document.hidden || reconnectNow());
  window.addEventListener("pagehide", () => {
    Object.values(timers).forEach(clearTimeout);
    timers.poll = 0;
    socket?.close();
  });
  window.addEventListener("pageshow", (event) => event.persisted && reconnectNow());
  setInterval(() => document.hidden || document.querySelectorAll("[data-live-clock]").forEach(gather), CLOCK_MS);
  connect();
})();
