// Commands of a document that would wait for this very boot, which waits for them: services of ours and etcd start when the
// first boot is over. Found where they are written plainly; for the files of this room only.
import type { CommandLine } from "../domain/user-data.ts";
import { type Draft, tell } from "./draft.ts";

const bootUnit = "flotilla-bootstrap.service";
/** What is ordered after the first boot (units/system/flotilla-bootstrap.service). */
const after: ReadonlySet<string> = new Set([
  ...["flotilla-discovery.service", "flotilla.service", "etcd.service", "etcd-member.service"],
]);
/** Verbs whose job waits its turn. */
const waiting = /^(start|restart|reload|(try|cond)-?restart|(try-)?reload-or-(try-)?restart|force-reload)$/;
/** What may stand before the program's name in a shell. */
const before = /^(sudo|exec|command|env|time|then|do|else|if|!|\{|\(|[A-Za-z_]\w*=.*)$/;

interface Waiting {
  readonly verb: string;
  readonly unit: string;
}

/** Refuses what would hold up the boot until its time is over. */
export function refuseWaiting(commands: readonly CommandLine[], key: string, draft: Draft): void {
  for (const command of commands)
    for (const { verb, unit } of waitsOf(command))
      tell(draft, "error", {
        code: "boot-command-waits",
        message: `Cannot run systemctl ${verb} ${unit} in ${key}: ${unit === bootUnit ? "it would begin this boot again, and again" : "it waits for this boot to end, and this boot for it"}`,
        hint:
          unit === bootUnit
            ? "Take it out"
            : `Write systemctl --no-block ${verb} ${unit}, or {name: ${unit}, command: restart} under coreos.units`,
        at: command.at,
      });
}

/** Of one command of a list, or of the line that it hands to a shell. */
export function waitsOf(command: CommandLine): readonly Waiting[] {
  if (command.kind === "shell") return inShell(command.text);
  const [program = "", option = "", text] = command.argv;
  if (/(^|\/)(ba|da)?sh$/.test(program) && /^-\w*c$/.test(option) && text !== undefined) return inShell(text);
  return inWords(command.argv);
}

function inShell(text: string): readonly Waiting[] {
  // What a single & ends is not waited for
  const parts = text.split(/(\n|;|&&|\|\||\||&)/);
  return parts.flatMap((part, index) => (index % 2 === 1 || parts[index + 1] === "&" ? [] : inWords(wordsOf(part))));
}

function wordsOf(part: string): readonly string[] {
  const words = part.trim().split(/\s+/);
  const first = words.findIndex((word) => !before.test(word));
  return first < 0 ? [] : words.slice(first).map((word) => word.replace(/["')}]/g, ""));
}

function inWords([path = "", ...words]: readonly string[]): readonly Waiting[] {
  const program = path.slice(path.lastIndexOf("/") + 1);
  const plain = words.filter((word) => !word.startsWith("-"));
  const said =
    program === "service"
      ? { verb: plain[1] ?? "", units: plain.slice(0, 1) }
      : { verb: plain[0] ?? "", units: plain.slice(1) };
  if (!["systemctl", "service"].includes(program)) return [];
  const isStart = waiting.test(said.verb) || (/^(re)?enable$/.test(said.verb) && words.includes("--now"));
  if (!isStart) return [];
  const verb = waiting.test(said.verb) ? said.verb : `${said.verb} --now`;
  return said.units
    .map((unit) => (/\.[a-z]+$/.test(unit) ? unit : `${unit}.service`))
    .filter((unit) => unit === bootUnit || (after.has(unit) && !words.includes("--no-block")))
    .map((unit) => ({ verb, unit }));
}
