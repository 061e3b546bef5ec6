// A fleet.conf as it is -> the same settings in flotilla's words, so that a machine of a fleet cluster needs no new file.
// What has no meaning here is said as a warning. The one importer of ini.
import { parse } from "ini";
import { fleetEndpoints, fleetOptions, meaninglessFleetOptions, type FleetForm } from "../domain/fleet-options.ts";
import { Problem } from "../domain/problem.ts";
import { suggest } from "../text/suggest.ts";
import type { Assignment, Layer } from "./layers.ts";
import { findOption } from "./options.ts";
import { parseBoolean, shorten, splitList } from "./values.ts";

/** What a form's value becomes in flotilla.conf, or undefined when it is none; and what it must be. */
interface Reading {
  readonly text: (value: string) => string | undefined;
  readonly must: string;
}

const readings: Readonly<Record<FleetForm, Reading>> = {
  text: { text: (value) => value, must: "text" },
  list: { text: (value) => splitList(value.replace(/[[\]"]/g, "")).join(","), must: "a list of URLs" },
  metadata: { text: lastOfEachKey, must: "key=value,key=value" },
  reversed: { text: (value) => worded(value, "no", "yes"), must: "true or false" },
  "user-scope": { text: (value) => worded(value, "user", "system"), must: "true or false" },
  verbosity: { text: verbosity, must: "a whole number" },
};

function worded(value: string, yes: string, no: string): string | undefined {
  const flag = parseBoolean(value);
  return flag === undefined ? undefined : flag ? yes : no;
}

function verbosity(value: string): string | undefined {
  return /^-?\d+$/.test(value) ? (Number(value) > 0 ? "debug" : "info") : undefined;
}

/** In fleet a key's last value won. */
function lastOfEachKey(value: string): string {
  const items = splitList(value);
  const key = (item: string): string => item.split("=")[0]?.trim() ?? "";
  return items.filter((item, at) => !items.slice(at + 1).some((later) => key(later) === key(item))).join(",");
}

/** Reads the text of a fleet.conf. Every problem and warning has its line. */
export function fleetConfLayer({ file, text }: { readonly file: string; readonly text: string }): Layer {
  const assignments: Assignment[] = [];
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  const names = [...Object.keys(fleetOptions), ...Object.keys(meaninglessFleetOptions)];
  const { lines, sections } = split(text);
  for (const [name, found] of Object.entries(parse(lines.join("\n")))) {
    const line = lineOf(lines, name);
    const at = { file, line };
    const value = String(found).trim();
    const isOne = typeof found !== "object" || found === null;
    const translation = isOne && Object.hasOwn(fleetOptions, name) ? fleetOptions[name] : undefined;
    if (translation === undefined) {
      warnings.push(ignored(name, { at, names }));
      continue;
    }
    const option = findOption(`${translation.section}.${translation.key}`);
    if (option === undefined) throw new Error(`fleet's ${name} leads to no option`);
    const reading = readings[translation.form];
    if (isCut(lines[line - 1] ?? "")) {
      problems.push(
        new Problem("fleet-conf-comment", `Cannot tell where the value of ${name} ends`, {
          hint: 'It holds "#" or ";"; put the value into double quotes',
          at,
        }),
      );
      continue;
    }
    const words = reading.text(value);
    if (words === undefined)
      problems.push(
        new Problem(
          "setting-value",
          `Cannot accept ${name}=${option.kind === "secret" ? "(secret)" : shorten(value)}`,
          {
            hint: `It must be ${reading.must}`,
            at,
          },
        ),
      );
    else assignments.push({ option, text: words, origin: { label: name, at } });
  }
  for (const [name, line] of sections)
    warnings.push(
      new Problem("fleet-conf-section", `Cannot use section [${shorten(name)}] of fleet's settings`, {
        hint: "fleet read options before the first section only",
        at: { file, line },
      }),
    );
  if (!assignments.some(({ option }) => option.name === "Registry.Endpoints")) {
    const option = findOption("Registry.Endpoints");
    if (option !== undefined)
      assignments.push({ option, text: fleetEndpoints, origin: { label: "etcd_servers", at: { file } } });
    warnings.push(
      new Problem("fleet-conf-endpoints", `Cannot find etcd_servers`, {
        hint: `Taking ${fleetEndpoints}, as fleet did`,
        at: { file },
      }),
    );
  }
  return { assignments, problems, warnings };
}

function ignored(
  name: string,
  { at, names }: { at: { file: string; line: number }; names: readonly string[] },
): Problem {
  const why = Object.hasOwn(meaninglessFleetOptions, name) ? meaninglessFleetOptions[name] : undefined;
  const near = why === undefined ? suggest(name, names) : undefined;
  return new Problem("fleet-conf-ignored", `Cannot use ${shorten(name)}; it is ignored`, {
    hint: why ?? (near === undefined ? "fleet had no option of this name" : `Did you mean ${near}`),
    at,
  });
}

/** The lines before the first section, and the sections by name with the lines where they begin. */
function split(text: string): { readonly lines: readonly string[]; readonly sections: ReadonlyMap<string, number> } {
  const lines = text.split(/\r\n?|\n/);
  const names = lines.map((line) => /^\[([^\]]*)\]\s*$/.exec(line)?.[1]);
  const first = names.findIndex((name) => name !== undefined);
  const sections = new Map<string, number>();
  for (const [index, name] of names.entries())
    if (name !== undefined && !sections.has(name)) sections.set(name, index + 1);
  return { lines: (first < 0 ? lines : lines.slice(0, first)).map(withoutComment), sections };
}

/** ini takes the quotes from a value only when nothing stands behind them. */
function withoutComment(line: string): string {
  return line.replace(/^([^=]*=\s*(?:"(?:[^"\\]|\\.)*"|'[^']*'))\s+[#;].*$/, "$1");
}

/** ini keeps no lines: the last line that sets this name is the one that counts. */
function lineOf(lines: readonly string[], name: string): number {
  return lines.findLastIndex((line) => line.split("=")[0]?.trim().replace(/\[\]$/, "") === name) + 1;
}

/** ini ends a value at any "#" or ";" outside quotes; only one that follows a blank is surely a comment. */
function isCut(line: string): boolean {
  const value = line.slice(line.indexOf("=") + 1).trim();
  if (/^(".*"|'.*')$/.test(value)) return false;
  return /[^\s\\][#;]/.test(value.replace(/\s[#;].*$/, ""));
}
