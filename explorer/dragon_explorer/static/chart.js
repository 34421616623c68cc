// Draws the response times with uPlot, in place of the chart that the server drew.
"use strict";

(() => {
  const place = document.getElementById("chart");
  const REFRESH_MS = 10000;
  const HEIGHT = 230;
  const DASHES = [[], [7, 3], [2, 3]];
  let plot = null;
  let drawn = null; // the chart that is shown
  let etag = "";
  let names = "";

  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const two = (number) => String(number).padStart(2, "0");
  const isLocal = () => document.documentElement.dataset.times === "local";
  // A date whose parts in local time are those that are shown.
  const shown = (seconds) => {
    const at = new Date(seconds * 1000);
    return isLocal() ? at : uPlot.tzDate(at, "Etc/UTC");
  };
  const clock = (seconds, isLong) => {
    const at = shown(seconds);
    const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
    const time = `${two(at.getHours())}:${two(at.getMinutes())}`;
    if (isLong) return isLocal() ? `${day} ${time}` : `${day} ${time} UTC`;
    return time === "00:00" ? day.slice(5) : time;
  };

  const options = (chart) => ({
    width: place.clientWidth,
    height: HEIGHT,
    tzDate: shown,
    cursor: { drag: { x: true, y: false } },
    series: [
      { label: "Time", value: (_, value) => (value == null ? "–" : clock(value, true)) },
      ...chart.lines.map((line, number) => ({
        label: line.observer,
        stroke: () => color(`--line-${number}`),
        dash: DASHES[number % 3],
        width: 1.6,
        spanGaps: false,
        value: (_, value) => (value == null ? "–" : `${value} ms`),
      })),
    ],
    axes: [
      {
        stroke: () => color("--soft"),
        grid: { stroke: () => color("--line"), width: 1 },
        ticks: { stroke: () => color("--line") },
        values: (_, ticks) => ticks.map((value) => clock(value, false)),
      },
      {
        stroke: () => color("--soft"),
        grid: { stroke: () => color("--line"), width: 1 },
        ticks: { stroke: () => color("--line") },
        size: 64,
        values: (_, ticks) => ticks.map((value) => `${value} ms`),
      },
    ],
    scales: { y: { range: (_, least, most) => [0, Math.max(1, most * 1.1)] } },
  });

  const draw = (chart) => {
    if (!chart.lines.length) return;
    drawn = chart;
    const data = [chart.times, ...chart.lines.map((line) => line.mean_ms)];
    const found = chart.lines.map((line) => line.observer).join(" ");
    if (plot && found === names) {
      plot.setData(data);
      return;
    }
    names = found;
    place.replaceChildren();
    plot = new uPlot(options(chart), data, place);
  };

  const load = async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch(place.dataset.url, { headers: etag ? { "If-None-Match": etag } : {} });
      if (!answer.ok) return;
      etag = answer.headers.get("ETag") || "";
      draw((await answer.json()).chart);
    } catch {
      // The notice about the connection is shown by the page itself.
    }
  };

  if (place) {
    new ResizeObserver(() => plot && plot.setSize({ width: place.clientWidth, height: HEIGHT })).observe(place);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plot && plot.redraw());
    document.addEventListener("times", () => {
      names = "";
      if (drawn) draw(drawn);
    });
    load();
    setInterval(load, REFRESH_MS);
  }
})();
