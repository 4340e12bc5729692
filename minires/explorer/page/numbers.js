// How numbers and their colours look.

const MINUS = "−";

// Three digits, as people write them: 0.123, −4.56, 1.2e−7.
export function shown(value, digits = 3) {
  if (value === 0) return "0";
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "∞" : `${MINUS}∞`;
  const size = Math.abs(value);
  const text = size < 1e-3 || size >= 1e4 ? value.toExponential(digits - 2) : String(Number(value.toPrecision(digits)));
  return text.replaceAll("-", MINUS).replace("e+", "e");
}

// Two digits, for the cells of a tensor, where there is room for four characters.
export function brief(value) {
  const size = Math.abs(value);
  if (value === 0) return "0";
  if (size < 5e-3) return "≈0";
  if (!(size < 999.5)) return value < 0 ? `${MINUS}≫` : "≫";
  const text = size < 9.95 ? value.toFixed(size < 0.995 ? 2 : 1) : value.toFixed(0);
  return text.replace(/^(-?)0\./, "$1.").replaceAll("-", MINUS);
}

// A factor in a product: negative ones stand in parentheses.
export function factor(value, digits = 3) {
  const text = shown(value, digits);
  return value < 0 ? `(${text})` : text;
}

// Orange for positive and blue for negative numbers, which colour-blind people can tell apart; paler towards 0.
// `scale` is the number that gets the full colour.
export function colourOf(value, scale) {
  if (!Number.isFinite(value)) return "var(--bad)";
  const share = scale > 0 ? Math.round(100 * Math.sqrt(Math.min(1, Math.abs(value) / scale))) : 0;
  return `color-mix(in srgb, var(${value < 0 ? "--negative" : "--positive"}) ${share}%, var(--cell))`;
}

// Whether the digits on that colour are those for strong colours.
export function isStrong(value, scale) {
  return scale > 0 && Math.sqrt(Math.abs(value) / scale) > 0.72;
}
