// What the document runs: commands early at each boot, commands and scripts once for an instance, packages, and how the
// run ends. Commands of one list are one script, as in cloud-init: they share a folder and variables, and one that fails
// does not stop the next.
import type { Step } from "../domain/first-boot.ts";
import type { CommandLine, Script } from "../domain/user-data.ts";
import { type Draft, type Given, base, tell, textFile } from "./draft.ts";
import { refuseWaiting } from "./waits.ts";

/** Root's own; scripts often hold secrets. */
export const scriptFolder = "/var/lib/flotilla/bootstrap/scripts";

/** Before everything but names, accounts and keys: it may make the disks that files are written to. */
export function planEarlyCommands({ config }: Given, draft: Draft): void {
  const [first] = config.bootCommands;
  if (first === undefined) return;
  refuseWaiting(config.bootCommands, "bootcmd", draft);
  const path = `${scriptFolder}/bootcmd`;
  draft.steps.push(
    {
      ...base("script bootcmd", { stage: "early", at: first.at }),
      kind: "file",
      file: textFile(path, { lines: shellLines(config.bootCommands), mode: 0o700, isSecret: true }),
    },
    {
      ...base("run bootcmd", { stage: "early", at: first.at, frequency: "each-boot" }),
      kind: "command",
      argv: ["/bin/sh", path],
      input: undefined,
      means: "run the commands of bootcmd",
    },
  );
}

export function planLateCommands(given: Given, draft: Draft): void {
  const { config, scripts } = given;
  const [first] = config.runCommands;
  if (first !== undefined) {
    refuseWaiting(config.runCommands, "runcmd", draft);
    const path = `${scriptFolder}/runcmd`;
    draft.steps.push(
      {
        ...base("script runcmd", { stage: "late", at: first.at }),
        kind: "file",
        file: textFile(path, { lines: shellLines(config.runCommands), mode: 0o700, isSecret: true }),
      },
      {
        ...base("run runcmd", { stage: "late", at: first.at, frequency: "once-per-instance" }),
        kind: "command",
        argv: ["/bin/sh", path],
        input: undefined,
        means: "run the commands of runcmd",
      },
    );
  }
  const names = new Map<string, number>();
  for (const script of scripts) planScript(script, names, draft);
}

/** A script of the payload becomes a unit of its own: what it takes long for holds up nothing, and its log is its own. */
function planScript({ name, text, at }: Script, names: Map<string, number>, draft: Draft): void {
  const plain = name.replace(/[^A-Za-z0-9._-]/g, "_").replace(/^[.-]+/, "") || "script";
  const count = (names.get(plain) ?? 0) + 1;
  names.set(plain, count);
  const own = count === 1 ? plain : `${plain}-${count}`;
  const path = `${scriptFolder}/payload-${own}`;
  const unit = `flotilla-script-${own.replaceAll(".", "-")}.service`;
  draft.steps.push(
    {
      ...base(`script ${own}`, { stage: "late", at }),
      kind: "file",
      file: { ...textFile(path, { lines: [], mode: 0o700, isSecret: true }), content: new TextEncoder().encode(text) },
    },
    {
      ...base(`run ${own}`, { stage: "late", at, frequency: "once-per-instance" }),
      kind: "command",
      argv: [
        "systemd-run",
        `--unit=${unit}`,
        `--description=Script ${own} of the user-data`,
        "--no-block",
        "--property=Type=oneshot",
        "--property=RemainAfterExit=yes",
        path,
      ],
      input: undefined,
      means: `start the script "${own}" as ${unit}`,
    },
  );
  draft.watch.push(unit);
  tell(draft, "info", {
    code: "boot-script-once",
    message: `Running the script "${own}" once for this instance, not at each boot`,
    hint: "What has to happen at each boot belongs into bootcmd: or a unit",
    at,
  });
}

function shellLines(commands: readonly CommandLine[]): readonly string[] {
  return [
    "#!/bin/sh",
    ...commands.flatMap((command) =>
      command.kind === "shell" ? [command.text] : [command.argv.map((word) => quoted(word)).join(" ")],
    ),
  ];
}

/** One word for a shell, whatever is in it. */
function quoted(word: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** The step that installs them, which is not in the draft yet; undefined: there are none. */
export function planPackages({ config, facts }: Given, draft: Draft): Step | undefined {
  const { packages, packageUpdate: update, packageUpgrade: upgrade, packageRebootIfRequired: reboot } = config;
  if (packages.length === 0 && !update && !upgrade) return undefined;
  const at = packages[0]?.at;
  if (!["apt-get", "dnf"].some((program) => facts.programs.has(program))) {
    tell(draft, "error", {
      code: "boot-packages",
      message: `Cannot install ${packages.map(({ value }) => value).join(", ") || "updates"}: there is neither apt-get nor dnf`,
      hint: "Take packages: out of the document, or put what it needs into the image",
      at,
    });
    return undefined;
  }
  if (reboot)
    draft.steps.push({
      ...base("reboot for packages", { stage: "late", at, frequency: "once-per-instance" }),
      kind: "command",
      argv: ["/bin/sh", "-c", "[ ! -e /run/reboot-required ] || shutdown -r +1 'Packages ask for a reboot'"],
      input: undefined,
      means: "reboot in a minute where packages ask for it",
    });
  return {
    ...base("packages", { stage: "files", at, frequency: "once-per-instance" }),
    kind: "packages",
    names: [...new Set(packages.map(({ value }) => value))],
    update: update || packages.length > 0,
    upgrade,
  };
}

/** Last of all. */
export function planEnd({ config }: Given, draft: Draft): void {
  const { phoneHome, powerState } = config;
  if (phoneHome !== undefined)
    draft.steps.push({
      ...base("phone home", { stage: "late", at: phoneHome.at, frequency: "once-per-instance" }),
      kind: "phone-home",
      url: phoneHome.value.url,
      fields: phoneHome.value.post,
      tries: phoneHome.value.tries,
    });
  if (powerState !== undefined)
    draft.steps.push({
      ...base("power", { stage: "late", at: powerState.at, frequency: "once-per-instance" }),
      kind: "power",
      ...powerState.value,
    });
}
