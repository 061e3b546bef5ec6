// Moments and spans in words, for people. Pure: the moment "now" is always given.

/** Wall-clock ms as `2026-11-20 14:48:42 UTC`. */
export function formatMoment(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const day = Math.floor(seconds / 86_400);
  const ofDay = seconds - day * 86_400;
  const { year, month, date } = civilDate(day);
  const clock = [Math.floor(ofDay / 3600), Math.floor(ofDay / 60) % 60, ofDay % 60].map(two).join(":");
  return `${year}-${two(month)}-${two(date)} ${clock} UTC`;
}

/** A span as its two largest parts: `5s`, `4min 22s`, `3h 2min`, `12d 4h`. Below zero (clocks differ) it is `0s`. */
export function formatSpan(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const parts: readonly (readonly [number, string])[] = [
    [Math.floor(seconds / 86_400), "d"],
    [Math.floor(seconds / 3600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "min"],
    [seconds % 60, "s"],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  if (first < 0) return "0s";
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count}${unit}`)
    .join(" ");
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}

/** Days since 1970-01-01 in the proleptic Gregorian calendar, counted in years that begin on 1 March. */
function civilDate(day: number): { readonly year: number; readonly month: number; readonly date: number } {
  const shifted = day + 719_468; // days since 0000-03-01
  const era = Math.floor(shifted / 146_097); // 400 years
  const ofEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (ofEra - Math.floor(ofEra / 1460) + Math.floor(ofEra / 36_524) - Math.floor(ofEra / 146_096)) / 365,
  );
  const ofYear = ofEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const fromMarch = Math.floor((5 * ofYear + 2) / 153);
  const month = fromMarch < 10 ? fromMarch + 3 : fromMarch - 9;
  return {
    year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0),
    month,
    date: ofYear - Math.floor((153 * fromMarch + 2) / 5) + 1,
  };
}
