// A plan for people: one line for each step, and what changes as a diff. No secret is in either: what only its owner may
// read is shown by its size, and what looks like a password elsewhere is left out. A door of its own, for bootstrap/ and cli/.
import type { Looked, Step } from "../domain/first-boot.ts";
import { unreachable } from "../domain/problem.ts";
import { diffLines } from "./diff.ts";

export interface LookedStep {
  readonly step: Step;
  readonly looked: Looked;
}

/** Lines of one step that are shown; more are counted. */
const maxShownLines = 400;

/** What a step does, in one line and without a secret. */
export function describeStep(step: Step, looked?: Looked): string {
  const was =
    looked?.before === undefined || step.kind === "file" || looked.before.includes("\n")
      ? ""
      : ` (now ${looked.before})`;
  return printable(redacted(`${words(step)}${step.kind === "hostname" || step.kind === "link" ? was : ""}`));
}

function words(step: Step): string {
  switch (step.kind) {
    case "hostname":
      return `name the machine ${step.hostname}`;
    case "group":
      return `make the group ${step.name}${step.members.length === 0 ? "" : ` with ${step.members.join(", ")}`}`;
    case "user":
      return `make the account ${step.user.name}${groupsOf(step.user.groups)}`;
    case "password":
      return `set the password of ${step.user}${step.expire ? ", to be changed at the first login" : ""}`;
    case "lock":
      return `${step.locked ? "lock" : "unlock"} the password of ${step.user}`;
    case "authorized-keys":
      return step.keys.length === 0
        ? `take our keys of ${step.user} away`
        : `let ${counted(step.keys.length, "key")} log in as ${step.user}${step.keeps === true ? ", beside those that may" : ""}`;
    case "file": {
      const { path, mode, owner, group, append, content, isSecret } = step.file;
      const size = isSecret ? `secret, ${content.length} bytes` : `${content.length} bytes`;
      return `${append ? "append to" : "write"} ${path} (${octal(mode)} ${owner}:${group}, ${size})`;
    }
    case "block":
      return step.lines.length === 0
        ? `take our lines out of ${step.path}`
        : `keep ${counted(step.lines.length, "line")} in ${step.path}`;
    case "variables":
      return `set ${Object.keys(step.values).join(", ")} in ${step.path}`;
    case "link":
      return step.target === "/dev/null" ? `mask ${step.path}` : `link ${step.path} to ${step.target}`;
    case "remove":
      return `remove ${step.path}`;
    case "unmask":
      return `unmask ${step.path}`;
    case "swap":
      return `make the swap file ${step.file} (${step.sizeBytes === "auto" ? "as large as fits" : `${step.sizeBytes} bytes`})`;
    case "mount":
      return `mount ${step.mountPoint}`;
    case "command":
      return `${step.means}: ${step.argv.join(" ")}`;
    case "packages":
      return packageWords(step);
    case "reload":
      return "have systemd read its files again";
    case "enable":
      return `${step.enabled ? "enable" : "disable"} ${step.unit}${step.runtime ? " for this boot" : ""}`;
    case "unit":
      return `${step.command} ${step.unit}`;
    case "phone-home":
      return `tell ${withoutSecrets(step.url)} that this machine is up (${step.fields.join(", ")})`;
    case "power":
      return `${step.mode} (${step.delay})`;
    default:
      return unreachable(step);
  }
}

function packageWords({
  names,
  update,
  upgrade,
}: {
  names: readonly string[];
  update: boolean;
  upgrade: boolean;
}): string {
  const parts = [
    ...(update ? ["refresh the lists of packages"] : []),
    ...(upgrade ? ["upgrade what is installed"] : []),
    ...(names.length === 0 ? [] : [`install ${names.join(", ")}`]),
  ];
  return parts.join(", ");
}

const octal = (mode: number): string => mode.toString(8).padStart(4, "0");
const counted = (count: number, word: string): string => `${count} ${word}${count === 1 ? "" : "s"}`;
const groupsOf = (groups: readonly string[]): string => (groups.length === 0 ? "" : ` in ${groups.join(", ")}`);
/** Scheme, host and path: before and behind them secrets are put. */
const withoutSecrets = (url: string): string => url.replace(/[?#].*$/, "").replace(/^([^/]*:\/\/)[^/]*@/, "$1");

/**
 * What would change, as a unified diff: a comment line for each step, then old and new text where there are texts. Steps that
 * find everything as it should be are left out; "" when nothing would change.
 */
export function planDiff(steps: readonly LookedStep[]): string {
  return steps
    .filter(({ looked }) => !looked.same)
    .map((each) => stepDiff(each))
    .join("");
}

function stepDiff({ step, looked }: LookedStep): string {
  const lines = [`# ${describeStep(step, looked)}`, ...changes(step, looked)];
  const shown = lines.slice(0, maxShownLines).map((line) => printable(redacted(line)));
  if (lines.length > maxShownLines) shown.push(`# and ${counted(lines.length - maxShownLines, "more line")}`);
  return `${shown.join("\n")}\n`;
}

function changes(step: Step, { before, after }: Looked): readonly string[] {
  const path = pathOf(step);
  if (path === undefined) return [];
  if (step.kind === "file" && step.file.isSecret)
    return [`--- ${path}`, `+++ ${path}`, `+(secret, ${step.file.content.length} bytes)`];
  if (before === undefined && after === undefined) return [];
  const body = diffLines(before ?? "", after ?? "");
  if (body.length === 0) return [];
  return [
    `--- ${before === undefined ? "/dev/null" : path}`,
    `+++ ${after === undefined ? "/dev/null" : path}`,
    ...body,
  ];
}

/** What a diff of the step is about; undefined: its line says all. */
function pathOf(step: Step): string | undefined {
  if (step.kind === "file") return step.file.path;
  if (step.kind === "authorized-keys") return `authorized keys of ${step.user}`;
  return step.kind === "block" || step.kind === "variables" || step.kind === "remove" ? step.path : undefined;
}

/** A name that says that a secret follows, with what stands between the two; a path behind it is none. */
const namedSecret =
  /(\b[\w-]*(?:passw(?:or)?d|passphrase|token|secret|api_?key)[\w-]*["']?\s*[=:]\s*["']?)(?!\/)[^\s,"']+/gi;

/** A value behind a name that says it is a secret, a password in a URL, and the token of a discovery URL. */
export function redacted(text: string): string {
  return text
    .replace(namedSecret, (whole, name: string) => (/^(NO)?PASSWD:/.test(name) ? whole : `${name}(secret)`)) // sudoers(5)
    .replace(/(:\/\/[^\s/:@]*:)[^\s/@]+@/g, "$1(secret)@")
    .replace(/(\bhttps?:\/\/)[^\s/:@]+@/g, "$1(secret)@") // a token in the place of a name
    .replace(/(\bDiscovery=https?:\/\/\S*\/)[^/\s]{5,}(?=\/*$)/, "$1(secret)");
}

/** Nothing that moves a terminal's cursor. */
function printable(text: string): string {
  return text.replace(/\t/g, "    ").replace(/[\p{Cc}\p{Cf}]/gu, "?");
}
