// The tab "itwin": choose a page and a folder; the page reloads when its runs have changed.
const CHECK_MS = 10000;
const address = (name) => new URL(name, import.meta.url).href;
const element = (tag, fields = {}, children = []) => {
  const made = Object.assign(document.createElement(tag), fields);
  made.append(...children);
  return made;
};

export async function render() {
  document.head.append(element("link", { rel: "stylesheet", href: address("index.css") }));
  const tabs = element("div", { className: "tabs", role: "tablist" });
  const folder = element("select", { title: "runs" });
  const status = element("span", { className: "status" });
  const label = element("label", {}, ["Runs ", folder]);
  const frame = element("iframe", { title: "page of the runs" });
  document.body.append(element("header", {}, [tabs, label, status]), frame);
  let told = { pages: [], folders: [] };
  let page = null;
  let shown = "";

  const chosen = () => told.folders.find((one) => one.key === folder.value);
  const show = () => {
    for (const tab of tabs.children) tab.setAttribute("aria-selected", String(tab.name === page));
    const from = chosen();
    const now = JSON.stringify([page, from]);
    if (now === shown) return;
    shown = now;
    status.textContent = from ? `${from.runs} run${from.runs === 1 ? "" : "s"}` : "";
    const query = new URLSearchParams({ name: page, folder: from ? from.key : "", changed: from ? from.changed : "" });
    frame.src = `${address("page")}?${query}`;
  };
  const read = async () => {
    const answer = await fetch(address("choices"));
    if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
    told = await answer.json();
    if (!tabs.children.length) {
      for (const { name, title } of told.pages) {
        const tab = element("button", { name, textContent: title, onclick: () => { page = name; show(); } });
        tab.setAttribute("role", "tab");
        tabs.append(tab);
      }
      page = told.pages[0].name;
    }
    const before = folder.value;
    folder.replaceChildren(...told.folders.map(({ key, label: text }) => new Option(text, key)));
    if (told.folders.some((one) => one.key === before)) folder.value = before;
    label.hidden = told.folders.length < 2;
    show();
  };
  const keep = async () => {
    try {
      await read();
    } catch (error) {
      status.textContent = `TensorBoard does not answer (${error.message}); trying again`;
    }
    setTimeout(keep, CHECK_MS);
  };
  folder.onchange = show;
  await keep();
}
