// Spans of time as unit files have them (systemd.time(7), "Parsing time spans"). Pure; given to desired/.

const second = 1_000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

/** systemd's words for each unit of time, in ms. Case counts: `m` is minutes, `M` months. */
const units: ReadonlyMap<string, number> = new Map([
  ...["usec", "us", "µs", "μs"].map((word) => [word, 0.001] as const),
  ...["msec", "ms"].map((word) => [word, 1] as const),
  ...["", "seconds", "second", "sec", "s"].map((word) => [word, second] as const),
  ...["minutes", "minute", "min", "m"].map((word) => [word, minute] as const),
  ...["hours", "hour", "hr", "h"].map((word) => [word, hour] as const),
  ...["days", "day", "d"].map((word) => [word, day] as const),
  ...["weeks", "week", "w"].map((word) => [word, 7 * day] as const),
  ...["months", "month", "M"].map((word) => [word, 30.44 * day] as const),
  ...["years", "year", "y"].map((word) => [word, 365.25 * day] as const),
]);

const part = /[ \t]*([0-9]{1,15}(?:\.[0-9]{0,15})?)[ \t]*([a-zA-Zµμ]*)/y;

/** In ms, rounded up: `90`, `1min 30s`, `1.5h`, `500ms`, `infinity`. Undefined for what systemd would not take. */
export function parseTimeSpan(text: string): number | undefined {
  if (text === "infinity") return Infinity;
  let ms = 0;
  let at = 0;
  while (at < text.length) {
    part.lastIndex = at;
    const [whole, amount, word] = part.exec(text) ?? [];
    const unit = word === undefined ? undefined : units.get(word);
    if (whole === undefined || unit === undefined) return undefined;
    ms += Number(amount) * unit;
    at += whole.length;
    if (text.slice(at).trim() === "") break;
  }
  return at === 0 ? undefined : Math.ceil(ms);
}
