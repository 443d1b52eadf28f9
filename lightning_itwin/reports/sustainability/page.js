(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const runs = data.runs;
  const count = runs.name.length;
  const at = (id) => document.getElementById(id);
  const pageSize = 25;
  const state = { project: null, study: null, key: "start", down: true, page: 0 };

  const { none, number, energy, mass, duration } = units;
  const two = (value) => String(value).padStart(2, "0");
  const moment = (seconds) => {
    const date = new Date(1000 * seconds);
    return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ` +
      `${two(date.getHours())}:${two(date.getMinutes())}`;
  };

  const element = (name, text, attributes = {}) => {
    const made = document.createElement(name);
    if (text !== null) made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const svg = (name, attributes, text) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  };

  const chosen = () => {
    const found = [];
    for (let run = 0; run < count; run++) {
      if (state.project === null || runs.project[run] === state.project) found.push(run);
    }
    return found;
  };
  const addUp = (some) => {
    const sum = {
      runs: some.length, duration: 0, energy: 0, carbon: null, noGrid: 0, measured: 0, untold: 0, sampled: 0, samples: 0,
    };
    for (const run of some) {
      const kwh = runs.energy[run];
      sum.duration += runs.duration[run];
      sum.energy += kwh;
      if (runs.carbon[run] === null) sum.noGrid += kwh;
      else sum.carbon = (sum.carbon || 0) + runs.carbon[run];
      if (runs.measured[run] === null) sum.untold += kwh;
      else sum.measured += runs.measured[run];
      if (runs.samples[run]) { sum.sampled += kwh; sum.samples += runs.samples[run]; }
    }
    const told = sum.energy - sum.untold;
    sum.share = told > 1e-9 * sum.energy && told > 0 ? 100 * sum.measured / told : null;
    sum.joule = sum.samples ? 3.6e6 * sum.sampled / sum.samples : null;
    return sum;
  };
  const groups = (some, key) => {
    const found = new Map();
    for (const run of some) {
      const name = runs[key][run];
      if (name === null) continue;
      if (!found.has(name)) found.set(name, []);
      found.get(name).push(run);
    }
    return [...found].map(([name, members]) => ({ name, ...addUp(members) }));
  };

  const totals = (some) => {
    const sum = addUp(some);
    at("energy").textContent = `${number(sum.energy)} kWh`;
    const parts = "of processors, memory and GPUs";
    at("energy-why").textContent = energy(sum.energy).endsWith(" kWh") ? parts : `${energy(sum.energy)} ${parts}`;
    at("carbon").textContent = sum.carbon === null ? none : `${number(sum.carbon)} kg`;
    at("carbon-why").textContent = sum.carbon === null
      ? "no grid is known; CarbonTracker(country_iso_code=...) names one"
      : (mass(sum.carbon).endsWith(" kg") ? "CO2 equivalent" : `${mass(sum.carbon)} of CO2 equivalent`) +
        (sum.noGrid ? `; ${energy(sum.noGrid)} without a known grid are not in it` : "");
    at("joule").textContent = sum.joule === null ? none : `${number(sum.joule)} J`;
    at("measured").textContent = sum.share === null ? none : `${number(sum.share)} %`;
    at("measured-why").textContent = "by sensors, the rest by a model" +
      (sum.untold ? `; of ${energy(sum.untold)} nobody told` : "");
    at("time").textContent = duration(sum.duration);
    at("time-why").textContent = `of ${sum.runs.toLocaleString("en")} runs together`;
    for (const [name, kilograms] of Object.entries(data.equivalents)) {
      at(`like-${name}`).textContent = sum.carbon === null ? none : number(sum.carbon / kilograms);
    }
  };

  const cell = (label, text, kind = "") => {
    const made = element("td", text, { "data-label": label });
    if (text === none) made.className = "none";
    if (kind) made.classList.add(kind);
    return made;
  };
  const places = (some) => {
    const rows = groups(some, "place").sort((one, other) => other.energy - one.energy).map((sum) => {
      const known = sum.energy - sum.noGrid;
      const row = element("tr", null);
      row.append(
        element("th", data.places[sum.name].name, { scope: "row" }),
        cell("Grid", known > 0 && sum.carbon !== null ? `${number(1000 * sum.carbon / known)} g/kWh` : none),
        cell("Where that comes from", data.places[sum.name].source, "text"),
        cell("Runs", sum.runs.toLocaleString("en")), cell("Energy", energy(sum.energy)), cell("Carbon", mass(sum.carbon)),
      );
      return row;
    });
    at("place-rows").replaceChildren(...rows);
  };

  const last = (some) => {
    let run = some[0];
    for (const other of some) if (runs.end[other] >= runs.end[run]) run = other;
    at("last-name").textContent = runs.name[run];
    at("last-name-why").textContent = `${data.projects[runs.project[run]]}, ended ${moment(runs.end[run])}`;
    at("last-energy").textContent = energy(runs.energy[run]);
    at("last-energy-why").textContent = `in ${duration(runs.duration[run])}`;
    at("last-carbon").textContent = mass(runs.carbon[run]);
    at("last-carbon-why").textContent = data.places[runs.place[run]].name;
  };

  const widths = { 60: "minute", 600: "10 minutes", 3600: "hour", 21600: "6 hours", 86400: "day", 604800: "week", 2419200: "4 weeks" };
  const binName = (start) => {
    const text = new Date(1000 * start).toISOString();
    return data.time.width >= 86400 ? text.slice(0, 10) : text.slice(5, 16).replace("T", " ");
  };
  const overTime = () => {
    const bins = new Map();
    for (const [project, start, kwh] of data.time.bins) {
      if (state.project === null || project === state.project) bins.set(start, (bins.get(start) || 0) + kwh);
    }
    at("told-time").textContent = `Net energy a ${widths[data.time.width]}, in UTC. Point at a bar for its number.`;
    const place = at("chart-time");
    const width = Math.max(place.clientWidth, 260), height = 260, left = 64, bottom = 28, top = 12;
    const starts = [...bins.keys()].sort((one, other) => one - other);
    if (!starts.length) { place.replaceChildren(element("p", none)); return; }
    const first = starts[0], step = data.time.width;
    const number_of = Math.round((starts[starts.length - 1] - first) / step) + 1;
    const most = Math.max(...bins.values());
    const wide = (width - left - 8) / Math.max(number_of, 8);
    const tall = height - top - bottom;
    const picture = svg("svg", {
      viewBox: `0 0 ${width} ${height}`, role: "img",
      "aria-label": `Energy a ${widths[step]}, from ${binName(first)} to ${binName(starts[starts.length - 1])}; ` +
        `at most ${energy(most)}`,
    });
    for (const share of [0, 0.5, 1]) {
      const y = top + tall * (1 - share);
      picture.append(svg("line", { x1: left, x2: width, y1: y, y2: y }));
      picture.append(svg("text", { x: left - 6, y: y + 4, "text-anchor": "end" }, energy(most * share)));
    }
    for (const start of starts) {
      const tallness = Math.max(tall * bins.get(start) / most, 1);
      const bar = svg("rect", {
        x: left + wide * Math.round((start - first) / step) + wide * 0.08, width: Math.max(wide * 0.84, 0.5),
        y: top + tall - tallness, height: tallness,
      });
      bar.append(svg("title", {}, `${binName(start)}: ${energy(bins.get(start))}`));
      picture.append(bar);
    }
    const labels = Math.max(1, Math.min(number_of, Math.floor((width - left) / 110)));
    for (let label = 0; label < labels; label++) {
      const number_here = Math.round(label * (number_of - 1) / Math.max(labels - 1, 1));
      const x = left + wide * (number_here + 0.5);
      const anchor = label === 0 ? "start" : label === labels - 1 && number_of >= 8 ? "end" : "middle";
      picture.append(svg("text", { x: label === 0 ? left : x, y: height - 8, "text-anchor": anchor }, binName(first + step * number_here)));
    }
    place.replaceChildren(picture);
  };

  const bars = (id, items, head) => {
    const most = Math.max(...items.map((item) => item.energy), 0);
    const list = element("ol", null);
    for (const item of items) {
      const line = element("li", null);
      const name = element("span", item.pick ? null : item.label);
      if (item.pick) {
        const button = element("button", item.label, { type: "button" });
        button.addEventListener("click", item.pick);
        name.append(button);
      }
      const track = element("div", null, { class: "bar" });
      const bar = element("i", null);
      bar.style.width = `${most ? 100 * item.energy / most : 0}%`;
      track.append(bar);
      line.append(name, element("span", energy(item.energy) + (item.more ? ` · ${item.more}` : "")), track);
      list.append(line);
    }
    at(id).replaceChildren(...(head ? [head, list] : [list]));
  };
  const byStrategy = (some) => {
    const found = groups(some, "strategy").sort((one, other) => other.energy - one.energy);
    bars("chart-strategy", found.map((sum) => ({
      label: data.strategies[sum.name] || "not told", energy: sum.energy,
      more: sum.joule === null ? "" : `${number(sum.joule)} J a sample`,
    })));
  };
  const byProject = (some) => {
    const found = groups(some, "project").sort((one, other) => other.energy - one.energy);
    at("figure-project").hidden = state.project !== null || found.length < 2;
    bars("chart-project", found.slice(0, 40).map((sum) => ({
      label: data.projects[sum.name], energy: sum.energy, more: mass(sum.carbon), pick: () => choose(sum.name),
    })));
  };
  const byTrial = (some) => {
    const studies = groups(some, "study").sort((one, other) => other.energy - one.energy);
    at("figure-trial").hidden = !studies.length;
    if (!studies.length) return;
    if (!studies.some((sum) => sum.name === state.study)) state.study = studies[0].name;
    const trials = groups(some.filter((run) => runs.study[run] === state.study), "trial");
    const shown = trials.sort((one, other) => other.energy - one.energy).slice(0, 100);
    shown.sort((one, other) => one.name - other.name);
    at("told-trial").textContent = `${trials.length} trials of a study` +
      (trials.length > shown.length ? `, the ${shown.length} that drew most.` : ".");
    const select = element("select", null, { "aria-label": "study" });
    for (const sum of studies) {
      const option = element("option", `${data.studies[sum.name]}: ${energy(sum.energy)}`, { value: sum.name });
      option.selected = sum.name === state.study;
      select.append(option);
    }
    select.addEventListener("change", () => { state.study = Number(select.value); byTrial(chosen()); });
    bars("chart-trial", shown.map((sum) => ({
      label: `trial ${sum.name}`, energy: sum.energy, more: sum.joule === null ? "" : `${number(sum.joule)} J a sample`,
    })), select);
  };

  const value = (run, key) => {
    if (key === "joule") return runs.samples[run] ? 3.6e6 * runs.energy[run] / runs.samples[run] : null;
    if (key === "share") {
      return runs.measured[run] === null || !runs.energy[run] ? null : 100 * runs.measured[run] / runs.energy[run];
    }
    if (key === "strategy") return data.strategies[runs.strategy[run]] || null;
    return runs[key][run];
  };
  const table = (some) => {
    const sign = state.down ? -1 : 1;
    const sorted = [...some].sort((one, other) => {
      const a = value(one, state.key), b = value(other, state.key);
      if (a === null || b === null) return (a === null) - (b === null);
      return a < b ? -sign : a > b ? sign : 0;
    });
    const pages = Math.max(1, Math.ceil(sorted.length / pageSize));
    state.page = Math.min(state.page, pages - 1);
    const from = state.page * pageSize;
    at("run-rows").replaceChildren(...sorted.slice(from, from + pageSize).map((run) => {
      const row = element("tr", null);
      const share = value(run, "share");
      row.append(
        element("th", runs.name[run], { scope: "row" }),
        cell("Strategy", value(run, "strategy") || none, "text"),
        cell("Workers", runs.workers[run] === null ? none : String(runs.workers[run])),
        cell("Began", moment(runs.start[run])), cell("Time", duration(runs.duration[run])),
        cell("Energy", energy(runs.energy[run])), cell("Carbon", mass(runs.carbon[run])),
        cell("J a sample", number(value(run, "joule"))), cell("Measured", share === null ? none : `${number(share)} %`),
      );
      return row;
    }));
    document.querySelector(".pager").hidden = pages < 2;
    at("shown").textContent = `${from + 1} to ${Math.min(from + pageSize, sorted.length)} of ${sorted.length.toLocaleString("en")}`;
    at("earlier").disabled = state.page === 0;
    at("later").disabled = state.page === pages - 1;
    for (const button of document.querySelectorAll("#run-table thead button")) {
      button.setAttribute("aria-pressed", String(button.dataset.key === state.key));
    }
  };

  const csv = () => {
    const quote = (text) => (/[",\n]/.test(String(text ?? "")) ? `"${String(text).replaceAll('"', '""')}"` : String(text ?? ""));
    const head = "run,project,strategy,workers,study,trial,place,started_unix_s,ended_unix_s,duration_s,energy_kwh," +
      "emissions_kg,measured_kwh,samples";
    const lines = chosen().map((run) => [
      runs.name[run], data.projects[runs.project[run]], data.strategies[runs.strategy[run]], runs.workers[run],
      data.studies[runs.study[run]], runs.trial[run], data.places[runs.place[run]].name, runs.start[run], runs.end[run],
      runs.duration[run], runs.energy[run], runs.carbon[run], runs.measured[run], runs.samples[run],
    ].map(quote).join(","));
    return [head, ...lines, ""].join("\n");
  };

  const draw = () => {
    const some = chosen();
    totals(some);
    places(some);
    overTime();
    byStrategy(some);
    byProject(some);
    byTrial(some);
    last(some);
    table(some);
  };
  const choose = (project) => {
    state.project = project;
    state.page = 0;
    at("project").value = project === null ? "" : String(project);
    draw();
  };

  document.querySelector(".chooser").hidden = false;
  at("project").addEventListener("change", (event) => choose(event.target.value === "" ? null : Number(event.target.value)));
  for (const button of document.querySelectorAll("#run-table thead button")) {
    button.addEventListener("click", () => {
      state.down = state.key === button.dataset.key ? !state.down : !["name", "strategy"].includes(button.dataset.key);
      state.key = button.dataset.key;
      state.page = 0;
      table(chosen());
    });
  }
  at("earlier").addEventListener("click", () => { state.page -= 1; table(chosen()); });
  at("later").addEventListener("click", () => { state.page += 1; table(chosen()); });
  at("save").hidden = false;
  at("save").addEventListener("click", (event) => {
    event.preventDefault();
    const link = element("a", null, { download: "runs.csv" });
    link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv;charset=utf-8" }));
    link.click();
    URL.revokeObjectURL(link.href);
  });
  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth !== width) { width = window.innerWidth; overTime(); }
  });
  at("project").value = "";
  draw();
  document.documentElement.dataset.drawn = "yes";
})();
