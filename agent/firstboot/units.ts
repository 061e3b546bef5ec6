// coreos.units: unit files, drop-ins, masks and links first, one reload, networkd where its files changed, and then what is
// to be started, in the document's order and without waiting.
import type { Place } from "../domain/problem.ts";
import type { UnitEntry } from "../domain/user-data.ts";
import type { Changes } from "./coreos.ts";
import { type Draft, type Given, base, shorten, tell, textFile } from "./draft.ts";
import { type EtcdPlan, etcdUnitOf, etcdUnits } from "./etcd.ts";

export const flotillaUnit = "flotilla.service";
/** It may be waiting for members, by the settings that it began with. */
export const discoveryUnit = "flotilla-discovery.service";
const networkd = "systemd-networkd.service";
/** fleet's units and what stands in their place; undefined: nothing has to. */
const fleetUnits: Readonly<Record<string, string | undefined>> = {
  "fleet.service": flotillaUnit,
  "fleetd.service": flotillaUnit,
  "fleet.socket": undefined,
  "fleet-api.socket": undefined,
};

export interface UnitsGiven {
  readonly etcd: EtcdPlan | undefined;
  /** The document has settings for flotilla, or asks for it. */
  readonly wantsFlotilla: boolean;
  /** cloud-init installs the packages, after this boot's steps. */
  readonly isBeside: boolean;
  /** What else changes a service: ids of steps by unit. */
  readonly changes: Changes;
  readonly draft: Draft;
}

export function planUnits(given: Given, { etcd, wantsFlotilla, isBeside, changes, draft }: UnitsGiven): void {
  const entries = withOwn(translate(given, draft), { given, etcd, wantsFlotilla, draft });
  const later = isBeside ? entries.filter((entry) => comesLater(entry, given)) : [];
  const written: string[] = [];
  const network: string[] = [];
  for (const entry of entries) {
    const ids = planUnitFiles(entry, draft);
    (isNetwork(entry.name) ? network : written).push(...ids);
    if (!isNetwork(entry.name)) changes.set(entry.name, [...(changes.get(entry.name) ?? []), ...ids]);
  }
  for (const entry of entries) if (!later.includes(entry)) written.push(...planEnable(entry, { given, etcd, draft }));
  const earlier = draft.steps.filter(({ id, stage }) => /^(drop-in|release) /.test(id) && stage === "files");
  const after = [...earlier.map(({ id }) => id), ...handWritten(given, draft), ...written];
  if (after.length > 0)
    draft.steps.push({ ...base("reload", { stage: "units" }), onlyAfter: [...new Set(after)], kind: "reload" });
  if (network.length > 0)
    draft.steps.push({
      ...base(`restart ${networkd}`, { stage: "units" }),
      onlyAfter: network,
      kind: "unit",
      unit: networkd,
      command: "restart",
    });
  const others = [...changes].filter(([unit]) => !entries.some(({ name }) => name === unit));
  // Before etcd, which waits for it
  for (const [unit, ids] of others) if (unit === discoveryUnit) renew({ unit, after: ids, at: undefined }, draft);
  for (const entry of entries)
    if (later.includes(entry)) planLater(entry, { isOwn: entry.name === etcd?.unit, draft });
    else planCommand(entry, { changes: changes.get(entry.name) ?? [], draft });
  for (const [unit, ids] of others) if (unit !== discoveryUnit) renew({ unit, after: ids, at: undefined }, draft);
}

/** Unit files that write_files writes are to be seen as well. */
function handWritten({ config }: Given, draft: Draft): readonly string[] {
  const folders = /^\/(etc|run|usr\/lib|usr\/local\/lib|lib)\/systemd\/system\//;
  const paths = new Set(
    config.writeFiles.filter(({ path, defer }) => folders.test(path) && !defer).map(({ path }) => path),
  );
  return draft.steps.flatMap((step) =>
    step.kind === "file" && step.stage === "files" && paths.has(step.file.path) ? [step.id] : [],
  );
}

const isNetwork = (name: string): boolean => /\.(network|netdev|link)$/.test(name);

/** The document's entries under the names that units have here, each once. */
function translate(given: Given, draft: Draft): readonly UnitEntry[] {
  const entries = new Map<string, UnitEntry>();
  for (const entry of given.config.units) {
    const name = nameHere(entry, given, draft);
    if (name === undefined) continue;
    const named = name === entry.name ? entry : renamed(entry, name, draft);
    if (named === undefined) continue;
    const before = entries.get(name);
    entries.set(name, before === undefined ? named : joined(before, named, draft));
  }
  return [...entries.values()];
}

function nameHere({ name, content, at }: UnitEntry, { config, facts }: Given, draft: Draft): string | undefined {
  if (Object.hasOwn(fleetUnits, name)) {
    const here = fleetUnits[name];
    tell(draft, "info", {
      code: "boot-unit-name",
      message: here === undefined ? `Leaving out ${name}` : `Taking ${here} for ${name}`,
      hint: here === undefined ? `${flotillaUnit} has its socket without it` : "flotilla does fleet's work here",
      at,
    });
    return here;
  }
  if (!etcdUnits.includes(name) || content !== undefined || facts.units.has(name)) return name;
  const here = etcdUnitOf({ config, facts });
  if (here === name) return name;
  tell(draft, here === undefined ? "warning" : "info", {
    code: "boot-unit-name",
    message:
      here === undefined ? `Leaving out ${name}: there is no etcd on this machine` : `Taking ${here} for ${name}`,
    hint: here === undefined ? "This machine uses the etcd of others" : "This is what etcd's unit is called here",
    at,
  });
  return here;
}

/** What is said of a unit under an older name, as far as it holds for the one that is here. */
function renamed(entry: UnitEntry, name: string, draft: Draft): UnitEntry | undefined {
  const { at } = entry;
  if (entry.mask || entry.command === "stop") {
    tell(draft, "info", {
      code: "boot-unit-name",
      message: `Leaving out ${entry.mask ? "mask: true" : "command: stop"} of ${entry.name}: it is not on this machine`,
      at,
    });
    return undefined;
  }
  if (entry.content !== undefined)
    tell(draft, "warning", {
      code: "boot-unit-content",
      message: `Leaving out the text of ${entry.name}: ${name} has one of its own`,
      hint: "Take content: out, and set what it said under flotilla:",
      at,
    });
  for (const { name: dropIn, content, at: place } of entry.dropIns)
    if (/\bFLEET_[A-Z]/.test(content))
      tell(draft, "warning", {
        code: "boot-unit-content",
        message: `Handing drop-in "${shorten(dropIn)}" on, but flotilla reads no FLEET_ variables`,
        hint: "Set them under coreos.fleet: or flotilla:",
        at: place,
      });
  return { ...entry, name, content: undefined };
}

function joined(before: UnitEntry, entry: UnitEntry, draft: Draft): UnitEntry {
  if (before.content !== undefined && entry.content !== undefined && before.content !== entry.content)
    tell(draft, "warning", {
      code: "boot-unit-twice",
      message: `Leaving out the first of two texts for ${entry.name}`,
      hint: "The later one is written",
      at: before.at,
    });
  const names = new Set(entry.dropIns.map(({ name }) => name));
  return {
    ...entry,
    content: entry.content ?? before.content,
    enable: before.enable || entry.enable,
    mask: before.mask || entry.mask,
    command: entry.command ?? before.command,
    dropIns: [...before.dropIns.filter(({ name }) => !names.has(name)), ...entry.dropIns],
  };
}

/** flotilla and its etcd are started where the document sets them up, also when it forgets to say so. */
function withOwn(
  entries: readonly UnitEntry[],
  { given, etcd, wantsFlotilla, draft }: Omit<UnitsGiven, "changes" | "isBeside"> & { readonly given: Given },
): readonly UnitEntry[] {
  const missing: UnitEntry[] = [];
  const start = (unit: string, at: Place | undefined): UnitEntry | undefined => {
    const there = entries.find(({ name }) => name === unit);
    if (there !== undefined && (there.mask || there.command !== undefined)) return undefined;
    tell(draft, "info", {
      code: "boot-unit-start",
      message: `Starting ${unit}: the document sets it up and does not say when to start it`,
      hint: `Add {name: ${unit}, command: start} to coreos.units`,
      at: there?.at ?? at,
    });
    return {
      ...(there ?? { name: unit, content: undefined, runtime: false, enable: false, mask: false, dropIns: [] }),
      command: "start",
      at: there?.at ?? at ?? { file: "user-data" },
    };
  };
  if (etcd?.isMember === true && etcd.unit !== undefined)
    missing.push(...list(start(etcd.unit, given.config.etcd?.[0]?.at)));
  if (wantsFlotilla)
    missing.push(...list(start(flotillaUnit, (given.config.settings[0] ?? given.config.fleet[0])?.at)));
  const names = new Set(missing.map(({ name }) => name));
  return [...entries.filter(({ name }) => !names.has(name)), ...missing];
}

const list = <T>(item: T | undefined): readonly T[] => (item === undefined ? [] : [item]);

/** Files of one unit; the ids of the steps that write them. */
function planUnitFiles(entry: UnitEntry, draft: Draft): readonly string[] {
  const { name, content, runtime, mask, dropIns, at } = entry;
  const folder = `${runtime ? "/run" : "/etc"}/systemd/${isNetwork(name) ? "network" : "system"}`;
  const ids: string[] = [];
  const path = `${folder}/${name}`;
  if (mask) {
    ids.push(`mask ${name}`);
    if (content !== undefined)
      tell(draft, "warning", {
        code: "boot-unit-mask",
        message: `Leaving out the text of ${name}: it is masked`,
        hint: "Take mask: true out, or content:",
        at,
      });
    draft.steps.push({ ...base(`mask ${name}`, { stage: "units", at }), kind: "link", path, target: "/dev/null" });
  } else if (content !== undefined) {
    ids.push(`unit-file ${name}`);
    draft.steps.push({
      ...base(`unit-file ${name}`, { stage: "units", at }),
      kind: "file",
      file: { ...textFile(path, { lines: [] }), content: new TextEncoder().encode(withEnd(content)) },
    });
  } else if (runtime) {
    ids.push(`unmask ${name}`);
    draft.steps.push({ ...base(`unmask ${name}`, { stage: "units", at }), kind: "unmask", path });
  }
  for (const dropIn of dropIns) {
    const id = `drop-in ${name}.d/${dropIn.name}`;
    ids.push(id);
    const earlier = draft.steps.findIndex((step) => step.id === id);
    if (earlier >= 0) draft.steps.splice(earlier, 1);
    draft.steps.push({
      ...base(id, { stage: "units", at: dropIn.at }),
      kind: "file",
      file: {
        ...textFile(`${path}.d/${dropIn.name}`, { lines: [] }),
        content: new TextEncoder().encode(withEnd(dropIn.content)),
      },
    });
  }
  return ids;
}

const withEnd = (text: string): string => (text === "" || text.endsWith("\n") ? text : `${text}\n`);

/** What [Install] says; and flotilla and its etcd for good, so that a boot without its user-data is still right. */
function planEnable(
  { name, enable, mask, runtime, command, content, at }: UnitEntry,
  { given, etcd, draft }: { readonly given: Given; readonly etcd: EtcdPlan | undefined; readonly draft: Draft },
): readonly string[] {
  const starts = command !== undefined && command !== "stop";
  const isOurs = name === flotillaUnit || (name === etcd?.unit && etcd.isMember && given.facts.units.has(name));
  const wanted = enable || (isOurs && starts && content === undefined && !runtime);
  if (!wanted || mask || isNetwork(name)) return [];
  const id = runtime ? `enable ${name} for this boot` : `enable ${name}`;
  draft.steps.push({ ...base(id, { stage: "units", at }), kind: "enable", unit: name, runtime, enabled: true });
  return [id];
}

/** Units that carry the machine: they are not restarted because a file of theirs changed. */
const carrying =
  /^(dbus|dbus-broker|systemd-.*|init|basic|multi-user|graphical|flotilla-bootstrap|getty@.*|serial-getty@.*)\./;
const restartable = /\.(service|socket|timer|path)$/;

function planCommand(
  { name, command, mask, at }: UnitEntry,
  { changes, draft }: { readonly changes: readonly string[]; readonly draft: Draft },
): void {
  if (command === undefined) return;
  if (isNetwork(name) || (mask && command !== "stop")) {
    tell(draft, "warning", {
      code: "boot-unit-command",
      message: `Leaving out command: ${command} of ${name}`,
      hint: mask ? "It is masked" : "Its file takes effect when systemd-networkd starts anew, which is done for it",
      at,
    });
    return;
  }
  draft.watch.push(name);
  if (command === "start") renew({ unit: name, after: changes, at }, draft);
  draft.steps.push({
    ...base(`${command} ${name}`, { stage: "units", at, frequency: "each-boot" }),
    kind: "unit",
    unit: name,
    command,
  });
}

/** A unit that is not there, and that packages may bring which cloud-init has not installed yet. */
function comesLater({ name, content, mask, enable, command }: UnitEntry, { config, facts }: Given): boolean {
  const isAsked = enable || (command !== undefined && command !== "stop");
  return isAsked && config.packages.length > 0 && content === undefined && !mask && !facts.units.has(name);
}

/** Where cloud-init is done with its packages, and not before: a unit of its own waits for that. */
function planLater(
  { name, enable, command, at }: UnitEntry,
  { isOwn, draft }: { readonly isOwn: boolean; readonly draft: Draft },
): void {
  const enables = enable || isOwn;
  const script = [
    "systemctl daemon-reload",
    ...(enables ? ['systemctl enable "$1"'] : []),
    ...(command === undefined ? [] : ['exec systemctl --no-block "$2" "$1"']),
  ].join("; ");
  const unit = `flotilla-later-${name.replace(/[^A-Za-z0-9_-]/g, "-")}.service`;
  draft.steps.push({
    ...base(`later ${name}`, { stage: "units", at, frequency: "each-boot" }),
    kind: "command",
    argv: [
      "systemd-run",
      `--unit=${unit}`,
      `--description=${name} where cloud-init has installed it`,
      ...["--no-block", "--collect", "--property=Type=oneshot", "--property=After=cloud-final.service"],
      ...["/bin/sh", "-c", script, "sh", name, ...(command === undefined ? [] : [command])],
    ],
    input: undefined,
    means: `${command ?? "enable"} ${name} where cloud-init is done`,
  });
  tell(draft, "warning", {
    code: "boot-unit-later",
    message: `Leaving ${command ?? "enable: true"} of ${name} until cloud-init has installed its packages: it is not on this machine yet`,
    hint: "If no package brings it, correct the name; an image that has it starts it earlier",
    at,
  });
}

/** A unit that runs already, with what it was told before, starts anew; one that does not run is left to its start. */
function renew(
  { unit, after, at }: { readonly unit: string; readonly after: readonly string[]; readonly at: Place | undefined },
  draft: Draft,
): void {
  if (after.length === 0 || !restartable.test(unit) || carrying.test(unit)) return;
  draft.steps.push({
    ...base(`renew ${unit}`, { stage: "units", at }),
    onlyAfter: [...new Set(after)],
    kind: "unit",
    unit,
    command: "try-restart",
  });
}
