// Keeps pages current, and adds comforts. Every page is complete without it.
"use strict";

(() => {
  const live = document.getElementById("live");
  const notice = document.getElementById("connection");
  const announcement = document.getElementById("announcement");
  const page = document.title.split(" · ");
  let shown = null; // the fragment that is on the page
  let open = new Map();

  const headline = () => {
    const banner = live && live.querySelector("[data-title]");
    return banner ? banner.dataset.title : "";
  };

  // What a person opened or is reading stays as it is when the fragment is replaced.
  const key = (details) => {
    const all = [...live.querySelectorAll("details")];
    return details.id || `${all.filter((each) => !each.id).indexOf(details)} ${details.textContent}`;
  };
  const isSelecting = () => {
    const selection = getSelection();
    return !selection.isCollapsed && live.contains(selection.anchorNode);
  };
  const place = () => {
    const links = [...live.querySelectorAll("a[href], summary, button, [tabindex]")];
    return links.indexOf(document.activeElement);
  };
  const focus = (number) => {
    const links = live.querySelectorAll("a[href], summary, button, [tabindex]");
    if (number >= 0 && links[number]) links[number].focus({ preventScroll: true });
  };

  // The filter of a long list of nodes.
  const filter = () => {
    const input = document.getElementById("filter");
    if (!input) return;
    input.hidden = false;
    const text = input.value.trim().toLowerCase();
    for (const row of live.querySelectorAll(".nodes tbody tr")) {
      row.hidden = text !== "" && !row.textContent.toLowerCase().includes(text);
    }
  };

  const refresh = () => {
    const now = headline();
    if (now) {
      const title = `${now} · ${page[page.length - 1]}`;
      if (document.title !== title && shown !== null) announcement.textContent = now;
      document.title = title;
    }
    decorate(live);
    filter();
  };

  const decorate = (root) => {
    if (!root) return;
    for (const block of root.querySelectorAll("pre[data-copy]")) {
      if (block.querySelector("button") || !navigator.clipboard) continue;
      const text = block.textContent;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "copy";
      button.textContent = "Copy";
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      });
      block.append(button);
    }
  };

  if (live) {
    let focused = -1;
    live.addEventListener("input", filter);
    live.addEventListener("htmx:beforeRequest", (event) => {
      if (document.hidden) event.preventDefault();
    });
    live.addEventListener("htmx:beforeSwap", (event) => {
      const text = event.detail.serverResponse;
      if (event.detail.xhr.status !== 200) return;
      notice.hidden = true;
      if (text === shown || isSelecting()) {
        event.detail.shouldSwap = false;
        return;
      }
      shown = text;
      open = new Map([...live.querySelectorAll("details")].map((each) => [key(each), each.open]));
      focused = place();
    });
    live.addEventListener("htmx:afterSwap", () => {
      for (const each of live.querySelectorAll("details")) {
        const was = open.get(key(each));
        if (was !== undefined) each.open = was;
      }
      focus(focused);
      refresh();
    });
    const lost = () => {
      if (!notice.hidden) return;
      const time = new Date().toISOString().slice(11, 19);
      notice.textContent = `The explorer has not answered since ${time} UTC. What you see may be old.`;
      notice.hidden = false;
    };
    for (const name of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) {
      live.addEventListener(name, lost);
    }
    refresh();
  }
  decorate(document);

  // A link to the explanation opens it.
  const explain = () => {
    const target = location.hash === "#certified" && document.getElementById("certified");
    if (target) target.open = true;
  };
  addEventListener("hashchange", explain);
  document.addEventListener("click", (event) => {
    if (event.target.closest && event.target.closest('a[href="#certified"]')) {
      document.getElementById("certified").open = true;
    }
  });
  explain();

  // `/verify`: a file may be dropped anywhere on the page.
  const form = document.getElementById("verify");
  if (form) {
    const file = document.getElementById("file");
    form.querySelector(".drop-hint").hidden = false;
    const over = (is) => document.body.classList.toggle("over", is);
    addEventListener("dragover", (event) => {
      event.preventDefault();
      over(true);
    });
    addEventListener("dragleave", () => over(false));
    addEventListener("drop", (event) => {
      event.preventDefault();
      over(false);
      if (event.dataTransfer.files.length) {
        file.files = event.dataTransfer.files;
        form.submit();
      }
    });
    file.addEventListener("change", () => file.files.length && form.submit());
  }
})();
