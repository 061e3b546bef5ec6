// flotilla verify [PATH]: what would refuse a commit of this folder, before it is committed.
import { toRecord } from "../domain/problem.ts";
import { problemText } from "../report/report.ts";
import type { Command } from "./command.ts";
import { exitCodes } from "./exit-codes.ts";
import { jsonText } from "./print.ts";
import type { Tools } from "./tools.ts";
import type { Verification } from "./working-copy.ts";

export const verify: Command = {
  name: "verify",
  speaksOn: true,
  summary: "Check units in a folder, or one of them, before they are committed",
  args: [
    { name: "PATH", means: "Folder of units, or one unit file (default: the current folder)", takes: "one-or-none" },
  ],
  options: [{ flags: "--json", means: "Print JSON" }],
  more: `It reads files and links as the cluster would read them from git, and has systemd-analyze look at them where there
is one. It needs no agent. Exit code 1 says that a commit of this would be refused; warnings alone do not.`,
  examples: [
    ["verify", "The units in the current folder"],
    ["verify units/static/web.service", "One unit, with its drop-ins"],
    ["verify --json", "For an editor or a build"],
  ],
  run: async (tools, { args, options }) => {
    // The readers of units are loaded for nobody else
    const [copy, { verifyWorkingCopy }] = await Promise.all([tools.workingCopy(), import("./working-copy.ts")]);
    const found = await verifyWorkingCopy(copy, { path: args[0] ?? ".", signal: tools.signal });
    await (options["json"] === true ? tools.stdout.write(document(found)) : print(tools, found));
    return found.problems.length === 0 ? exitCodes.ok : exitCodes.failure;
  },
};

function document({ units, analyzed, problems, warnings }: Verification): string {
  return jsonText({ units, analyzed, problems: problems.map(toRecord), warnings: warnings.map(toRecord) });
}

/** What was found on stdout, like a compiler; how much was looked at on stderr. */
async function print({ stdout, stderr }: Tools, found: Verification): Promise<void> {
  const { units, analyzed, problems, warnings } = found;
  const lines = [
    ...problems.map((problem) => problemText(toRecord(problem))),
    ...warnings.map((warning) => `warning: ${problemText(toRecord(warning))}`),
  ];
  await stdout.write(lines.join(""));
  const sum = [count(problems.length, "problem"), count(warnings.length, "warning")].join(", ");
  await stderr.write(`${count(units, "unit")} checked: ${sum}\n`);
  if (!analyzed) await stderr.write("systemd-analyze is not here: options of systemd itself were not checked\n");
}

function count(many: number, noun: string): string {
  return `${many} ${noun}${many === 1 ? "" : "s"}`;
}
