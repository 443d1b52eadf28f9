(() => {
  "use strict";
  const themes = JSON.parse(document.getElementById("themes").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const draw = () => Promise.all(
    [...document.querySelectorAll(".chart")].map((chart) => {
      const specification = JSON.parse(document.getElementById(chart.dataset.specification).textContent);
      return vegaEmbed(chart, specification, {
        config: dark.matches ? themes.dark : themes.light,
        theme: undefined,
        tooltip: { theme: dark.matches ? "dark" : "light" },
        renderer: "svg",
        actions: { export: true, source: false, compiled: false, editor: false },
        downloadFileName: chart.dataset.name,
      });
    }),
  );
  draw().then(() => { document.documentElement.dataset.drawn = "yes"; });
  dark.addEventListener("change", draw);
})();
