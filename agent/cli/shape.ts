// The table of commands as programs need it: option flags taken apart, and what stands for a file. Given to the manual
// and to the completions of shells.
import type { Argument, Command, Option } from "./command.ts";

/** What can be asked of the live cluster while somebody types. */
export type LiveKind = "units" | "machines" | "targets" | "metadata";

export interface Flag {
  /** With its dash: `-l`. */
  readonly short: string | undefined;
  /** With its dashes: `--fields`. */
  readonly long: string;
  /** Name of its value: `LIST`; undefined for a flag without one. */
  readonly value: string | undefined;
  readonly means: string;
}

/** What all commands share, and the table of them. */
export interface Program {
  readonly summary: string;
  readonly version: string;
  /** Options that stand before or behind every command. */
  readonly options: readonly Option[];
  readonly commands: readonly Command[];
  /** What the first words of commands of two words are for, where they are no commands of their own. */
  readonly groups: Readonly<Record<string, string>>;
}

export function flagOf({ flags, means }: Option): Flag {
  const [, short, long = "", value] = /^(?:(-\w), )?(--[\w-]+)(?: <?([A-Z][^>]*)>?)?$/.exec(flags) ?? [];
  return { short, long, value, means };
}

/** How a value is named that is a path on this machine. */
export function isPath(name: string): boolean {
  return /^(FILE|PATH|DIR|DIRECTORY|FOLDER)(\|[A-Z]+)?$/.test(name);
}

/** By the name of an argument or of an option's value; undefined: it is nothing that the cluster knows. */
export function liveKind(name: string): LiveKind | undefined {
  return Object.hasOwn(liveNames, name) ? liveNames[name] : undefined;
}

const liveNames: Readonly<Record<string, LiveKind>> = {
  UNIT: "units",
  GLOB: "units",
  MACHINE: "machines",
  "UNIT|MACHINE": "targets",
  "KEY=VALUE": "metadata",
};

/** `<UNIT>`, `[PATH]`, `[UNIT...]`, as the help shows it. */
export function argumentText({ name, takes }: Argument): string {
  switch (takes) {
    case "one":
      return `<${name}>`;
    case "one-or-none":
      return `[${name}]`;
    case "any":
      return `[${name}...]`;
  }
}
