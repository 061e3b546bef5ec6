// The changes to units that commands ask of the agent, each with what to wait for and what to say about it. Given to the
// commands that change units.
import type { UnitName } from "../domain/names.ts";
import { Problem } from "../domain/problem.ts";
import type { UnitFileReport } from "../domain/report.ts";
import { maxHoldMs } from "../domain/submitted.ts";
import type { TargetState } from "../domain/unit.ts";
import type { ApiClient } from "../ports/api-client.ts";
import { handAnswers } from "../report/hands.ts";
import type { Goal } from "../report/verdict.ts";
import { formatSpan } from "../text/time.ts";
import type { Applied } from "./carry-out.ts";
import { orThrow, usageProblem } from "./checked.ts";
import type { Given, Option } from "./command.ts";
import type { UnitText } from "./local-text.ts";
import { timeOption } from "./time-option.ts";
import { textOf } from "./wait-options.ts";

export const holdOptions: readonly Option[] = [
  { flags: "--for DURATION", means: "Of a unit of the repository: hold it no longer than this, e.g. 30min, 2h, 3d" },
  { flags: "--reason TEXT", means: "Of a unit of the repository: why, for whoever sees the hold" },
];

/** How a hold is asked for. */
export interface HoldWords {
  readonly why?: string;
  readonly forMs?: number;
}

/** Throws a usage problem for a span that is none. */
export function readHoldWords({ options }: Given): HoldWords {
  const forMs = timeOption("--for", textOf(options["for"]), { mostMs: maxHoldMs });
  const why = textOf(options["reason"]);
  return { ...(forMs === undefined ? {} : { forMs }), ...(why === undefined ? {} : { why }) };
}

/** Only git's units are held; a word about a hold that would be lost is a mistake. */
export function mustBeHeld(
  units: readonly { readonly name: UnitName; readonly known: UnitFileReport | undefined }[],
  words: HoldWords,
): void {
  if (words.forMs === undefined && words.why === undefined) return;
  const other = units.find(({ known }) => known?.source !== "git");
  if (other === undefined) return;
  const flag = words.forMs === undefined ? "--reason" : "--for";
  throw usageProblem(
    `Cannot use ${flag} with ${other.name}: it is not in the repository`,
    "It is for holds, and only units of the repository are held",
  );
}

export interface Asking {
  readonly client: ApiClient;
  readonly signal: AbortSignal;
}

/** Puts a text into the cluster that is not there, or takes the place of the one that is. */
export async function putText(
  { client, signal }: Asking,
  what: {
    readonly name: UnitName;
    readonly text: UnitText;
    readonly target?: TargetState;
    readonly replace: boolean;
  },
): Promise<"created" | "replaced" | "unchanged"> {
  const { name, text, target, replace } = what;
  const answer = await client.put(
    pathOf(name),
    {
      text: text.text,
      dropIns: text.dropIns.map((each) => ({ name: each.name, text: each.text })),
      ...(target === undefined ? {} : { target }),
      replace,
    },
    { signal },
  );
  return orThrow(handAnswers.submit(answer)).outcome;
}

/** What a unit is to do from now on: its own target, or a hold on git's unit, or the end of one. */
export async function putTarget(
  { client, signal }: Asking,
  what: {
    readonly known: UnitFileReport;
    readonly target: TargetState;
    readonly goal: Goal;
    readonly words: HoldWords;
  },
): Promise<Applied> {
  const { known, target, goal, words } = what;
  const answer = await client.put(`${pathOf(known.name)}/target`, { target, ...words }, { signal });
  const { outcome } = orThrow(handAnswers.target(answer));
  const says =
    outcome === "held"
      ? heldText(known, target, words)
      : outcome === "resumed"
        ? resumedText(known, target)
        : words.forMs !== undefined || words.why !== undefined
          ? `Unit ${known.name} is ${target} as the repository wants it: there is nothing to hold`
          : undefined;
  return { change: outcome, goal, ...(says === undefined ? {} : { says }) };
}

export async function deleteUnit({ client, signal }: Asking, name: UnitName): Promise<Applied> {
  try {
    await client.delete(pathOf(name), { signal });
  } catch (error) {
    // Somebody else was quicker: it is gone, which is what was wanted
    if (!(error instanceof Problem && error.code === "unit-unknown")) throw error;
  }
  return { change: "destroyed", goal: { kind: "gone" } };
}

export async function postRestart({ client, signal }: Asking, name: UnitName): Promise<Applied> {
  const { id } = orThrow(handAnswers.restart(await client.post(`${pathOf(name)}/restart`, { signal })));
  return { change: "restarted", goal: { kind: "launched", restart: id } };
}

function pathOf(name: string): string {
  return `/v2/unit-files/${encodeURIComponent(name)}`;
}

/** In one line: what git wants, for how long, why, and the way back. */
function heldText(known: UnitFileReport, target: TargetState, { why, forMs }: HoldWords): string {
  const { name } = known;
  const declared = known.hold?.declared ?? known.desired;
  const span = forMs === undefined ? "" : ` for ${formatSpan(forMs)}`;
  const reason = why === undefined || why === "" ? "" : ` (${why})`;
  return `Unit ${name} is held at ${target}${span}${reason}; the repository wants it ${declared}: flotilla resume ${name}`;
}

function resumedText({ name }: UnitFileReport, target: TargetState): string {
  return `The hold on unit ${name} is lifted: it is ${target} again, as the repository wants it`;
}
