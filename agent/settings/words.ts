// The environment and the flags as layers: names that the table knows, each with its value.
import { clientVariables, tokenVariable } from "../domain/client-variables.ts";
import { Problem } from "../domain/problem.ts";
import { addressNames } from "../domain/user-data.ts";
import { suggest } from "../text/suggest.ts";
import type { Assignment, Layer } from "./layers.ts";
import { options } from "./options.ts";
import { shorten } from "./values.ts";

const variablePrefix = "FLOTILLA_";
/**
 * Nothing to do with settings: addresses for user-data, which whole machines have in /etc/environment, and what commands are
 * told of a cluster.
 */
const otherVariables: ReadonlySet<string> = new Set(
  [...addressNames, ...clientVariables, tokenVariable].map((name) => `${variablePrefix}${name.toUpperCase()}`),
);

/** Everything in the environment that begins with FLOTILLA_; a name that the table does not know is refused. */
export function environmentLayer(environment: Readonly<Record<string, string | undefined>>): Layer {
  const known = new Map(options.map((option) => [option.variable, option]));
  return namedLayer(
    Object.entries(environment).filter(([name]) => name.startsWith(variablePrefix) && !otherVariables.has(name)),
    known,
    "environment",
  );
}

/** Flags by their name with dashes (`--git-url`). */
export function flagLayer(flags: Readonly<Record<string, string | undefined>>): Layer {
  const known = new Map(
    options.flatMap((option) => (option.flag === undefined ? [] : [[option.flag, option] as const])),
  );
  return namedLayer(Object.entries(flags), known, "command line");
}

function namedLayer(
  pairs: readonly (readonly [string, string | undefined])[],
  known: ReadonlyMap<string, Assignment["option"]>,
  file: string,
): Layer {
  const assignments: Assignment[] = [];
  const problems: Problem[] = [];
  for (const [name, text] of pairs) {
    if (text === undefined) continue;
    const option = known.get(name);
    if (option === undefined) problems.push(unknownName(name, { known: [...known.keys()], file }));
    else assignments.push({ option, text: text.trim(), origin: { label: name, at: { file } } });
  }
  return { assignments, problems, warnings: [] };
}

function unknownName(name: string, { known, file }: { known: readonly string[]; file: string }): Problem {
  const near = suggest(name, known);
  return new Problem("setting-unknown", `Cannot understand ${shorten(name)}`, {
    hint: near === undefined ? "No setting has this name" : `Did you mean ${near}`,
    at: { file },
  });
}
