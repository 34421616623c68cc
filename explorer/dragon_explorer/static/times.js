// Shows times of this device on request. Without it, and by default, pages show UTC.
"use strict";

(() => {
  const KEY = "times";
  const LOCAL = "local";
  const FULL = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$/;
  const CLOCK = /^\d\d:\d\d:\d\d$/;
  const place = document.getElementById("clock");
  const two = (number) => String(number).padStart(2, "0");

  const zone = (at) => {
    const ahead = -at.getTimezoneOffset();
    if (ahead === 0) return "UTC";
    const minutes = Math.abs(ahead);
    return `UTC${ahead < 0 ? "-" : "+"}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
  };
  const clock = (at) => `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  const full = (at) =>
    `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${clock(at)} ${zone(at)}`;

  const stored = () => {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // storage is off: the choice holds for this page
    }
  };
  const store = (value) => {
    try {
      localStorage.setItem(KEY, value);
    } catch {
      // as above
    }
  };

  let isLocal = stored() === LOCAL;

  // The text of the page is kept, so that it can come back; the other one is the title.
  const show = (element) => {
    const at = new Date(element.dateTime);
    if (Number.isNaN(at.getTime())) return;
    const data = element.dataset;
    if (data.utc === undefined) {
      data.utc = element.textContent;
      data.title = element.title;
    }
    if (FULL.test(data.utc)) {
      element.textContent = isLocal ? full(at) : data.utc;
      element.title = isLocal ? data.utc : full(at);
    } else if (CLOCK.test(data.utc)) {
      element.textContent = isLocal ? clock(at) : data.utc;
      element.title = full(at);
    } else {
      element.title = data.title ? `${data.title} · ${full(at)}` : full(at);
    }
  };

  const showAll = () => {
    for (const element of document.querySelectorAll("time[datetime]")) show(element);
  };

  const refresh = () => {
    document.documentElement.dataset.times = isLocal ? LOCAL : "utc";
    showAll();
    if (!place) return;
    const [note, button] = [place.querySelector("span"), place.querySelector("button")];
    note.textContent = isLocal ? `Times are those of this device, ${zone(new Date())}.` : "All times are UTC.";
    button.textContent = isLocal ? "Show UTC" : "Show times of this device";
    button.hidden = false;
  };

  if (place) {
    place.querySelector("button").addEventListener("click", () => {
      isLocal = !isLocal;
      store(isLocal ? LOCAL : "utc");
      refresh();
      document.dispatchEvent(new Event("times"));
    });
  }
  document.addEventListener("htmx:afterSwap", showAll);
  refresh();
})();
