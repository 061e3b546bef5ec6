// flotilla bootstrap: makes of this machine what its user-data says. Run by flotilla-bootstrap.service at every boot.
import type { BootRequest, FirstBoot } from "../ports/first-boot.ts";
import { type SourceName, type Standing, sourceNames } from "../ports/user-data-sources.ts";
import { bootText, dryRunText } from "../report/boot.ts";
import { terminalText } from "../report/report.ts";
import { suggest } from "../text/suggest.ts";
import { usageProblem } from "./checked.ts";
import type { Command, Given } from "./command.ts";
import { exitCodes } from "./exit-codes.ts";
import { hasColour, jsonText } from "./print.ts";
import { timeOption } from "./time-option.ts";
import type { Tools } from "./tools.ts";

export const bootstrap: Command = {
  name: "bootstrap",
  speaksOn: true,
  summary: "Make of this machine what its user-data says",
  args: [{ name: "FILE", means: "With --validate: the files to check, - for standard input", takes: "any" }],
  options: [
    { flags: "--from-file FILE", means: "Take the user-data from this file" },
    { flags: "--from-url URL", means: "Take the user-data from this URL" },
    { flags: "--source LIST", means: "Ask these sources only, such as ec2,nocloud" },
    {
      flags: "--timeout TIME",
      means: "How long sources are looked for (default: 5min; 30s once a boot has found some)",
    },
    { flags: "--beside-cloud-init", means: "Leave to cloud-init what it knows itself" },
    { flags: "--alone", means: "Do all of it, also where cloud-init runs" },
    { flags: "--dry-run", means: "Print what would change as a diff, and change nothing" },
    { flags: "--validate", means: "Check files, and do nothing else" },
    { flags: "--annotate", means: "With --validate: print the document with marks" },
    { flags: "--json", means: "Print JSON" },
    { flags: "--full", means: "Every finding and step" },
  ],
  more: `Sources, all asked at once, the first of them that has something wins: ${sourceNames.slice(2).join(", ")}.
Without --alone or --beside-cloud-init: beside it where cloud-init was given user-data at this boot, else alone.

Name, accounts and keys come first and each on its own. Everything else is checked before any of it is done; units are told to
start and not waited for: flotilla bootstrap status --wait. It can be run again at any time, and does what differs.

Exit code 1 says that the user-data was refused, or that something failed; with --dry-run and --validate that it would be
refused. Where no source has any there is nothing to do, and it ends with 0.`,
  examples: [
    ["bootstrap", "As at boot; as root"],
    ["bootstrap --dry-run --from-file user-data.yaml", "What this file would change here"],
    ["bootstrap --validate user-data.yaml", "Is it all right, before a machine has it?"],
  ],
  run: async (tools, given) => {
    const firstBoot = await tools.firstBoot();
    if (given.options["validate"] === true) return validate(tools, given, firstBoot);
    const [odd] = given.args;
    if (odd !== undefined) throw usageProblem(`Cannot tell what "${odd}" is for`, hintFor(odd));
    const request = requestOf(given);
    return given.options["dry-run"] === true
      ? dry(tools, { given, request, firstBoot })
      : real(tools, { given, request, firstBoot });
  },
};

function hintFor(word: string): string {
  const near = suggest(word, ["status"]);
  return near === undefined
    ? "Files go with --validate; user-data with --from-file"
    : `Did you mean bootstrap ${near}?`;
}

async function validate(tools: Tools, { args, options }: Given, firstBoot: FirstBoot): Promise<number> {
  if (args.length === 0)
    throw usageProblem("Cannot validate without a file", "Name one or more, or - for standard input");
  const { validateUserData } = await import("./validate-user-data.ts");
  const files = [];
  for (const name of args) files.push({ name, bytes: await firstBoot.readFile(name) });
  return validateUserData(tools, files, {
    json: options["json"] === true,
    annotate: options["annotate"] === true,
    verbose: options["full"] === true,
  });
}

interface Doing {
  readonly given: Given;
  readonly request: BootRequest;
  readonly firstBoot: FirstBoot;
}

async function real(tools: Tools, { given, request, firstBoot }: Doing): Promise<number> {
  const result = await firstBoot.run(request, tools.signal);
  if (given.options["json"] === true) await tools.stdout.write(jsonText(result));
  else await tools.stdout.write(bootText(await firstBoot.status(), textOptions(tools, given)));
  if (tools.signal.aborted) return exitCodes.interrupted;
  const isWhole = result.state === "done" && result.steps.every((step) => step.result !== "failed");
  return isWhole ? exitCodes.ok : exitCodes.failure;
}

async function dry(tools: Tools, { given, request, firstBoot }: Doing): Promise<number> {
  const progress = ({ source, outcome, why }: Standing): void => {
    if (outcome === "waiting" && tools.stderr.isTerminal) say(tools, `asking ${source}: ${why}\n`);
  };
  const found = await firstBoot.dryRun(request, { signal: tools.signal, progress });
  if (given.options["json"] === true) await tools.stdout.write(jsonText(found));
  else {
    await tools.stdout.write(found.diff === "" ? "" : terminalText(found.diff));
    await tools.stderr.write(dryRunText(found, textOptions(tools, given)));
  }
  return found.isRefused ? exitCodes.failure : exitCodes.ok;
}

/** A word on the way: that it cannot be said holds up nothing. */
function say({ stderr }: Tools, text: string): void {
  stderr.write(text).catch(() => undefined);
}

function requestOf({ options }: Given): BootRequest {
  const text = (name: string): string | undefined => {
    const value = options[name];
    return typeof value === "string" ? value : undefined;
  };
  const [file, url, list] = [text("from-file"), text("from-url"), text("source")];
  if ([file, url, list].filter((each) => each !== undefined).length > 1)
    throw usageProblem("Cannot take user-data from two places", "Give one of --from-file, --from-url and --source");
  const isBeside = options["beside-cloud-init"] === true;
  const isAlone = options["alone"] === true;
  if (isBeside && isAlone) throw usageProblem("Cannot run alone and beside cloud-init", "Give one of the two");
  return {
    sources: {
      file,
      url,
      only: list === undefined ? undefined : sourcesOf(list),
      timeoutMs: timeOption("--timeout", text("timeout")),
    },
    mode: isBeside ? "beside-cloud-init" : isAlone ? "alone" : undefined,
  };
}

function sourcesOf(list: string): readonly SourceName[] {
  const known: readonly string[] = sourceNames.slice(2);
  const names = list.split(",").map((name) => name.trim());
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    const near = suggest(unknown, known);
    const hint = near === undefined ? `Sources are ${known.join(", ")}` : `Did you mean ${near}?`;
    throw usageProblem(`Cannot ask the source "${unknown.slice(0, 64)}"`, hint);
  }
  return sourceNames.filter((name) => names.includes(name));
}

export function textOptions(tools: Tools, { options }: Given): Parameters<typeof bootText>[1] {
  return { colour: hasColour(tools), nowMs: tools.clock.wallMs(), full: options["full"] === true };
}
