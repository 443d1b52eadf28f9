// amounts as units.py tells them
const units = (() => {
  "use strict";
  const none = "n/a";
  // three digits that count, as on the rest of the page
  const number = (value) => {
    if (value === null || value === undefined || !Number.isFinite(value)) return none;
    if (value === 0) return "0";
    if (Math.abs(value) < 1e-6) return value.toExponential(2).replace(/e-(\d)$/, "e-0$1");
    const digits = 2 - Math.floor(Math.log10(Math.abs(Number(value.toPrecision(3)))));
    return value.toFixed(Math.max(digits, 0));
  };
  const scaled = (sizes, base) => (value) => {
    if (value === null || value === undefined) return none;
    if (value === 0) return `0 ${base}`;
    const [size, unit] = sizes.find(([size]) => Math.abs(value) >= size) || sizes[sizes.length - 1];
    return `${number(value / size)} ${unit}`;
  };
  const energy = scaled([[1e6, "GWh"], [1e3, "MWh"], [1, "kWh"], [1e-3, "Wh"], [1e-6, "mWh"], [1e-9, "µWh"]], "kWh");
  const mass = scaled([[1e3, "t"], [1, "kg"], [1e-3, "g"], [1e-6, "mg"], [1e-9, "µg"]], "kg");
  const duration = scaled([[86400, "days"], [3600, "h"], [60, "min"], [1, "s"]], "s");
  return { none, number, energy, mass, duration };
})();
