// What a command is: data about its arguments and a function that does it. args.ts turns it into a parsed command line;
// commands know no parser.
import type { Reach } from "../ports/reach.ts";
import type { Tools } from "./tools.ts";

export interface Argument {
  /** As the help shows it: `UNIT`. */
  readonly name: string;
  readonly means: string;
  readonly takes: "one" | "one-or-none" | "any";
  /** All words that it may be, where there are few: shells offer them. */
  readonly words?: readonly string[];
  /** Whether it may be a file as well as what its name says. */
  readonly orFile?: true;
}

export interface Option {
  /** `--fields LIST`, `-l, --full`, `--no-legend`: the long form is the key under which the value is given. */
  readonly flags: string;
  readonly means: string;
  /** May be given more than once: the values come with commas between them. */
  readonly many?: true;
  /** All words that its value is made of, where they are known: shells offer them. */
  readonly words?: readonly string[];
}

/** What was typed, beside the command's name. */
export interface Given {
  readonly args: readonly string[];
  /** By long form without dashes (`fields`, `full`, `no-legend`): true for a flag, text for one with a value. */
  readonly options: Readonly<Record<string, string | true | undefined>>;
  /**
   * Where the agent's API is and how machines are reached: flags, environment, what is usual. Read when it is asked for:
   * throws a usage problem when it is wrong.
   */
  readonly reach: Reach;
  /** Only when the flag itself was given. */
  readonly socketFlag: string | undefined;
}

export interface Command {
  readonly name: string;
  /** For programs, not people: no help, manual or completion names it. */
  readonly hidden?: true;
  /**
   * After so many arguments the rest of the line is another program's: options in it are not ours. By how many, given the
   * options that stand before.
   */
  readonly ownWords?: (options: readonly string[]) => number;
  /** Whether it goes to machines by ssh: its help has the options for it. */
  readonly bySsh?: true;
  /**
   * Whether its exit code says what came of it: it goes on to that when nobody reads what it says any more. Others end there,
   * and well.
   */
  readonly speaksOn?: true;
  /** Its exit code for a wrong command line, where the usual one says something else of it. */
  readonly usageExit?: number;
  /** One line, for the list of commands. */
  readonly summary: string;
  readonly args: readonly Argument[];
  readonly options: readonly Option[];
  /** Shown below the options in the command's own help. */
  readonly more?: string;
  /** Command lines without the leading `flotilla`, and what each does. */
  readonly examples: readonly (readonly [string, string])[];
  /** Resolves with the exit code; rejects with a Problem (or an AggregateError of them) that is printed. */
  run(tools: Tools, given: Given): Promise<number>;
}
