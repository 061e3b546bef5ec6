// flotilla completion SHELL: the script that lets a shell complete commands and options.
import { usageProblem } from "./checked.ts";
import type { Command } from "./command.ts";
import { exitCodes } from "./exit-codes.ts";
import type { Program } from "./shape.ts";

const shells = ["bash", "zsh", "fish"] as const;

/** `describe` gives the whole table of commands, this one among them; it is asked only when the command runs. */
export function completionCommand(describe: (version: string) => Promise<Program>): Command {
  return {
    name: "completion",
    summary: "Print the completions for a shell",
    args: [{ name: "SHELL", means: shells.join(", "), takes: "one", words: shells }],
    options: [],
    more: "The Debian package installs all three. Elsewhere, put the line below into the shell's own start file.",
    examples: [
      ["completion bash", 'For ~/.bashrc: eval "$(flotilla completion bash)"'],
      ["completion zsh", 'For ~/.zshrc, below compinit: eval "$(flotilla completion zsh)"'],
      ["completion fish", "For ~/.config/fish/config.fish: flotilla completion fish | source"],
    ],
    run: async (tools, { args: [wanted = ""] }) => {
      const shell = shells.find((each) => each === wanted);
      if (shell === undefined) throw usageProblem(`Cannot complete in "${wanted}"`, `It is ${shells.join(", ")}`);
      const [program, { completionScript }] = await Promise.all([describe(tools.version), import("./shells.ts")]);
      await tools.stdout.write(completionScript(shell, program));
      return exitCodes.ok;
    },
  };
}
