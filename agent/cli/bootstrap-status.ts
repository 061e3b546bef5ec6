// flotilla bootstrap status: whether this machine has become what its user-data says, and if not, what it waits for.
import type { BootStatus } from "../domain/boot-result.ts";
import type { FirstBoot } from "../ports/first-boot.ts";
import { bootText, bootWaitLine } from "../report/boot.ts";
import { textOptions } from "./bootstrap.ts";
import type { Command } from "./command.ts";
import { jsonText } from "./print.ts";
import { timeOption } from "./time-option.ts";
import type { Tools } from "./tools.ts";

export const bootstrapStatus: Command = {
  name: "bootstrap status",
  speaksOn: true,
  summary: "Show whether this machine has become what its user-data says",
  args: [],
  options: [
    { flags: "--wait", means: "Wait until nothing moves any more" },
    { flags: "--timeout TIME", means: "With --wait: no longer than this, such as 90s or 5min" },
    { flags: "--json", means: "Print JSON" },
    { flags: "--full", means: "Every finding, step and source" },
  ],
  more: `It looks at what the run of this boot left, at the units that it told to start, and at what discovery is about.

Exit code 0: all was done, and all units are up, or have run to their end. 1: the user-data was refused, or the run or a unit
failed. 2: not whole, as something is still at work, or single steps failed.`,
  examples: [
    ["bootstrap status", "Is it all there? If not, what is waited for, and how long"],
    ["bootstrap status --wait --timeout 5min", "In a script, before the machine is made use of"],
  ],
  run: async (tools, given) => {
    const { options } = given;
    const timeout = options["timeout"];
    const timeoutMs = timeOption("--timeout", typeof timeout === "string" ? timeout : undefined);
    const firstBoot = await tools.firstBoot();
    const status = options["wait"] === true ? await wait(tools, firstBoot, timeoutMs) : await firstBoot.status();
    const text = options["json"] === true ? jsonText(status) : bootText(status, textOptions(tools, given));
    await tools.stdout.write(text);
    return status.code;
  },
};

/** Progress on one line of a terminal, written over as it changes. */
async function wait(tools: Tools, firstBoot: FirstBoot, timeoutMs: number | undefined): Promise<BootStatus> {
  const { stderr, clock, signal } = tools;
  const progress = (status: BootStatus): void => {
    if (!stderr.isTerminal) return;
    const line = bootWaitLine(status, clock.wallMs()).slice(0, (stderr.size()?.columns ?? 80) - 1);
    stderr.write(`\r\u001b[K${line}`).catch(() => undefined); // that it cannot be said holds up nothing
  };
  try {
    return await firstBoot.wait(timeoutMs, { signal, progress });
  } finally {
    if (stderr.isTerminal) await stderr.write("\r\u001b[K");
  }
}
