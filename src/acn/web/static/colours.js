// Colours of groups, as texts #rrggbb: told apart on light and on dark paper, further ones by turns of the golden angle.

const TEN = [
  "#4e8fd9", "#f28e2b", "#3fae5a", "#e0565b", "#9a76d0", "#a3745b", "#e377c2", "#8a94a3", "#c2b32e", "#22b3c4",
];

function turned(place) {
  const hue = (place * 137.508) % 360;
  const [light, full] = [0.56 + 0.1 * ((place % 3) - 1), 0.55];
  const channel = (offset) => {
    const k = (offset + hue / 30) % 12;
    const value = light - full * Math.min(light, 1 - light) * Math.max(-1, Math.min(k - 3, 9 - k, 1));
    return Math.round(255 * value).toString(16).padStart(2, "0");
  };
  return `#${channel(0)}${channel(8)}${channel(4)}`;
}

export const palette = (count) =>
  Array.from({ length: count }, (_, place) => (count <= TEN.length ? TEN[place] : turned(place)));

export const PLAIN = "#4e8fd9";
