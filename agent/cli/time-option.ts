// A span of time on the command line: 90, 90s, 5min, 2h, 3d.
import { formatSpan } from "../text/time.ts";
import { usageProblem } from "./checked.ts";

const unitsMs: Readonly<Record<string, number>> = {
  ...{ "": 1000, s: 1000, min: 60_000, m: 60_000 },
  ...{ h: 3_600_000, d: 86_400_000 },
};
/** A week. */
const usualMostMs = 7 * 86_400_000;

/** In ms, or undefined when it was not given. Throws a usage problem for what is no span, none, or more than `mostMs`. */
export function timeOption(
  flag: string,
  text: string | undefined,
  { mostMs = usualMostMs }: { readonly mostMs?: number } = {},
): number | undefined {
  if (text === undefined) return undefined;
  const [, digits = "", unit = ""] = /^(\d{1,9})(s|min|m|h|d)?$/.exec(text) ?? [];
  const ms = Number(digits) * (unitsMs[unit] ?? 0);
  if (digits !== "" && ms > 0 && ms <= mostMs) return ms;
  throw usageProblem(
    `Cannot take "${text.slice(0, 64)}" as ${flag}`,
    `It is a span such as 90s, 5min or 2h, ${mostMs === usualMostMs ? "a week" : formatSpan(mostMs)} at most`,
  );
}
