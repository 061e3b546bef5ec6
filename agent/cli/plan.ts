// flotilla plan [PATH|COMMIT]: what a working copy or a commit would do to the cluster, before anybody pushes it.
import { usageProblem } from "./checked.ts";
import type { Command } from "./command.ts";

export const plan: Command = {
  name: "plan",
  speaksOn: true,
  usageExit: 1,
  summary: "Show what a working copy or a commit would do to the cluster",
  args: [
    {
      name: "PATH|COMMIT",
      means: "Folder of units, or a commit, branch or tag of the repository here (default: the current folder)",
      takes: "one-or-none",
    },
  ],
  options: [
    { flags: "--state FILE", means: "Compare with this state, which flotilla state has printed, and ask no agent" },
    { flags: "--markdown", means: "Print Markdown, for a pull request" },
    { flags: "--json", means: "Print JSON" },
    { flags: "-l, --full", means: "Do not shorten ids" },
  ],
  more: `Units that are added, changed, removed, moved, or refused by every machine that may have them; what each machine would
start, restart, reload and stop. What would happen without the commit as well is no part of it. Files count whether they
are committed or not; of a commit those below the current folder. A word that is both a folder and a commit is the folder;
refs/heads/NAME is the branch.

Exit code 0: no change. 2: changes; units that would wait for a machine are among them. 1: problems: the commit would be
refused. As 2 says something else here, a wrong command line ends with 1, too.`,
  examples: [
    ["plan", "What would the units in the current folder do?"],
    ["plan units/ --full", "Those of another folder"],
    ["plan origin/main", "What a branch would do"],
    ["plan --state state.json --markdown", "In a build without access to the cluster"],
  ],
  run: async (tools, given) => {
    const { json, markdown } = given.options;
    if (json === true && markdown === true)
      throw usageProblem("Cannot print both --json and --markdown", "Run it once for each");
    // The readers of units and placement are loaded for nobody else
    const { planSubject } = await import("./plan-subject.ts");
    return planSubject(tools, given);
  },
};
