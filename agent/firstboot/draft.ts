// What the parts of a plan are given and what they write into: steps, and what is to be said about them.
// For the files of this room only.
import {
  type BootRecord,
  type FileWish,
  type Frequency,
  type SetupFacts,
  type Stage,
  type Step,
  bootMark,
} from "../domain/first-boot.ts";
import { type Place, Problem, type ProblemDetails } from "../domain/problem.ts";
import type { Addresses, CloudConfig, Finding, InstanceMetadata, Script, Severity } from "../domain/user-data.ts";
import type { Names } from "./names.ts";

/** All that a part may look at. */
export interface Given {
  readonly config: CloudConfig;
  readonly scripts: readonly Script[];
  readonly metadata: InstanceMetadata;
  readonly addresses: Addresses;
  readonly facts: SetupFacts;
  readonly names: Names;
  readonly record: BootRecord | undefined;
  /** The document was there and was read: what it does not have is not wanted. */
  readonly isWhole: boolean;
  /** Not the first boot of this instance's disk: an earlier instance left a record on it. */
  readonly isCopied: boolean;
}

/** Filled by the parts, one after the other. An error among the findings refuses the plan. */
export interface Draft {
  readonly steps: Step[];
  readonly findings: Finding[];
  /** Units to report on afterwards. */
  readonly watch: string[];
}

export function emptyDraft(): Draft {
  return { steps: [], findings: [], watch: [] };
}

interface Base {
  readonly id: string;
  readonly stage: Stage;
  readonly at: Place | undefined;
  readonly frequency: Frequency;
}

/** What every step begins with. */
export function base(id: string, more: { stage: Stage; at?: Place | undefined; frequency?: Frequency }): Base {
  return { id, stage: more.stage, at: more.at, frequency: more.frequency ?? "converge" };
}

/** Says something. `code` is for programs, the message names action and value. */
export function tell(
  draft: Draft,
  severity: Severity,
  { code, message, ...details }: { readonly code: string; readonly message: string } & ProblemDetails,
): void {
  draft.findings.push({ severity, problem: new Problem(code, message, details) });
}

const utf8 = new TextEncoder();

/** A text file that root owns; shown in plans unless `isSecret`. */
export function textFile(
  path: string,
  { lines, mode = 0o644, isSecret = false }: { lines: readonly string[]; mode?: number; isSecret?: boolean },
): FileWish {
  const text = lines.length === 0 ? "" : `${lines.join("\n")}\n`;
  return { path, content: utf8.encode(text), mode, owner: "root", group: "root", append: false, isSecret };
}

/** The first lines of files that are made anew at each boot. */
export const madeLines: readonly string[] = [`${bootMark}; changes belong into the user-data`];

/** Words of the document in a message: cut, and with nothing in it that moves a terminal's cursor. */
export function shorten(text: string, most = 80): string {
  const plain = text.replace(/[\p{Cc}\p{Cf}]/gu, "?");
  return plain.length <= most ? plain : `${plain.slice(0, most)}...`;
}

/** Adds the step unless one of its id is there. */
export function addOnce(draft: Draft, step: Step): void {
  if (!draft.steps.some(({ id }) => id === step.id)) draft.steps.push(step);
}
