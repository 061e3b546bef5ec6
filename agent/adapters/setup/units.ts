// Steps "reload", "enable", "unit": what systemd is asked for. Nothing here waits for a job: order is systemd's own affair,
// and what becomes of the units is reported afterwards.
import { stat } from "node:fs/promises";
import type { Step } from "../../domain/first-boot.ts";
import { Problem } from "../../domain/problem.ts";
import { isDown, isUp } from "../../domain/status.ts";
import { type Around, type Doer, at, isLive, unlessMissing } from "./around.ts";

/** systemd's search path of the system manager (systemd.unit(5)), the parts that hold files. */
const unitFolders = [
  "/etc/systemd/system",
  "/run/systemd/system",
  "/run/systemd/transient",
  "/run/systemd/generator",
  "/usr/local/lib/systemd/system",
  "/usr/lib/systemd/system",
  "/lib/systemd/system",
];
/** Whether it is due is told by the steps before it: systemd cannot be asked about files that it has not read. */
export const reload: Doer<"reload"> = {
  look: async () => ({ same: false, before: undefined, after: "systemd reads its units anew\n" }),
  check: async () => [],
  async apply(_step, around) {
    await around.manager.reload();
    return [];
  },
};

/** States in which nothing has to be done: what has no [Install] cannot be enabled, and needs not be. */
const settled: ReadonlySet<string> = new Set(["enabled", "static", "alias", "generated", "transient"]);

export const enable: Doer<"enable"> = {
  async look({ unit, runtime, enabled }, around) {
    const state = await around.manager.fileState(unit);
    const before = state === undefined ? undefined : `${state}\n`;
    if (!enabled) {
      const same = state === undefined || !state.startsWith("enabled");
      return { same, before, after: same ? before : "disabled\n" };
    }
    const same = state !== undefined && (settled.has(state) || (runtime && state === "enabled-runtime"));
    return { same, before, after: same ? before : "enabled\n" };
  },
  check: async ({ unit, enabled, at: place }, around, before) =>
    enabled ? checkUnit(around, { unit, place, what: "enable", before }) : [],
  async apply({ unit, runtime, enabled }, around) {
    await (enabled ? around.manager.enable(unit, runtime) : around.manager.disable(unit, runtime));
    return [];
  },
};

export const unit: Doer<"unit"> = {
  async look({ unit: name, command }, around) {
    const state = (await around.manager.states([name])).get(name);
    const before = state === undefined || state.load === "not-found" ? undefined : `${state.active} (${state.sub})\n`;
    // What is to be renewed only where it runs already is as it should be where it does not
    const same =
      command === "start"
        ? isUp(state?.active) || state?.job === "start"
        : command === "stop"
          ? state === undefined || state.active === "inactive"
          : command.includes("try") && (state === undefined || isDown(state.active));
    return { same, before, after: same ? before : `${command}\n` };
  },
  check: ({ unit: name, command, at: place }, around, before) =>
    checkUnit(around, { unit: name, place, what: command, before }),
  async apply({ unit: name, command }, around) {
    await around.manager.ask(name, command);
    return [];
  },
};

interface UnitCheck {
  readonly unit: string;
  readonly place: Step["at"];
  readonly what: string;
  readonly before: readonly Step[];
}

async function checkUnit(around: Around, { unit: name, place, what, before }: UnitCheck): Promise<readonly Problem[]> {
  if (what === "stop" || what.includes("try")) return []; // no harm in one that is not there
  const names = fileNames(name);
  // Which package brings which unit is not known before it is there
  const comes = before.some(
    (step) =>
      (step.kind === "packages" && step.names.length > 0) ||
      (step.kind === "file" &&
        names.some((file) => unitFolders.some((folder) => step.file.path === `${folder}/${file}`))),
  );
  if (comes || (await hasUnit(around, name))) return [];
  return [
    new Problem("setup-unit", `Cannot ${what} unit "${name}": there is none of that name`, {
      hint: "Give it a content, install the package that has it, or correct the name",
      at: place,
    }),
  ];
}

/**
 * Whether a unit has a file, its template's included, or is known to systemd without one. A mask (a link to /dev/null, an
 * empty file) is no unit; what it hides is one, and comes to light without it.
 */
export async function hasUnit(around: Around, name: string): Promise<boolean> {
  for (const folder of unitFolders)
    for (const file of fileNames(name)) {
      const entry = await unlessMissing(stat(at(around, `${folder}/${file}`)));
      if (entry?.isFile() === true && entry.size > 0) return true;
    }
  // Devices, slices and mounts of the kernel's table have no files; without systemd there is nobody to ask
  if (!isLive(around) || !/\.(device|slice|scope|mount|swap)$/.test(name)) return false;
  return (await around.manager.states([name])).get(name)?.load === "loaded";
}

function fileNames(name: string): readonly string[] {
  const [, prefix, type] = /^([^@]+)@[^@]+\.([a-z]+)$/.exec(name) ?? [];
  return prefix === undefined ? [name] : [name, `${prefix}@.${type ?? ""}`];
}
