// Whether a healed cluster has come to rest: everything that can run runs, once, where it may, and nothing else does.
import type { MachineId, UnitName } from "../../agent/domain/names.ts";
import type { Manifest } from "../../agent/domain/placement.ts";
import type { DesiredState, WantedState } from "../../agent/domain/unit.ts";
import { createWantedReader } from "../../agent/desired/desired.ts";
import { Commits } from "../../agent/loops/commits.ts";
import { clusterState, standings, wantedSources } from "../../agent/loops/cluster-state.ts";
import { PictureReader, type RegistryPicture } from "../../agent/loops/picture.ts";
import { schedule } from "../../agent/schedule/schedule.ts";
import { keys } from "../../agent/text/values.ts";
import type { Cluster } from "./cluster.ts";
import { isSameForSystemd } from "./host.ts";
import type { SimMachine } from "./machine.ts";

/** What is still not as it should be, in words; empty: the cluster is at rest. */
export async function unrest(cluster: Cluster): Promise<readonly string[]> {
  const { picture, isLed } = await look(cluster);
  const alive = cluster.machines.filter((machine) => machine.isOn);
  const found: string[] = picture.problems.map(({ message }) => message);
  if (!isLed) found.push("nobody leads");
  for (const machine of cluster.machines) {
    if (picture.machines.has(machine.id) !== machine.isOn) {
      found.push(`${machine.letter} is ${machine.isOn ? "not present" : "still present"}`);
    }
    const record = picture.machines.get(machine.id);
    // It waits until that has run out, and what may not run twice does not run as long
    if (record !== undefined && record.nonce !== machine.nonce)
      found.push(`${machine.letter} has an earlier boot's record`);
  }
  const head = await cluster.repository.ask();
  const { adopted } = picture.revision;
  if (adopted?.commit !== head)
    return [...found, `commit ${adopted?.commit.slice(0, 7) ?? "none"} is adopted, not ${head.slice(0, 7)}`];
  const desired = await desiredAt(cluster, head);
  const standing = standings(picture, { settling: false, witnessed: new Set() });
  const wanted = createWantedReader().read(wantedSources(picture, { desired, allowSubmit: true }));
  const state = clusterState(picture, { desired: wanted, standing });
  const expected = new Map<MachineId, Set<UnitName>>();
  for (const decision of schedule(state)) {
    if (decision.kind === "keep") {
      const there = expected.get(decision.on) ?? new Set<UnitName>();
      expected.set(decision.on, there.add(decision.unit));
    } else if (decision.kind !== "wait") found.push(`it would ${decision.kind} ${decision.unit}`);
  }
  found.push(...misplaced(picture, { expected, desired: wanted }));
  for (const machine of alive) {
    found.push(
      ...unrestOf(machine, {
        manifest: picture.manifests.get(machine.id),
        expected: expected.get(machine.id) ?? new Set(),
        desired: wanted,
      }),
    );
  }
  if (found.length === 0) cluster.judge.rested();
  return found;
}

/** Letters of the machines that came and went, and take nothing new for a while. */
export async function resting(cluster: Cluster): Promise<string> {
  const { settings } = (await look(cluster)).picture;
  return [...settings].map(([id, { rests }]) => (rests === undefined ? "" : id.charAt(0))).join("");
}

async function look(cluster: Cluster): Promise<{ readonly picture: RegistryPicture; readonly isLed: boolean }> {
  const operator = cluster.store.connect();
  try {
    const { entries } = await operator.read("");
    const held = new Map(entries.map((entry) => [entry.key, entry]));
    return { picture: new PictureReader().read(held, undefined), isLed: held.has(keys.leader) };
  } finally {
    await operator.close();
  }
}

function unrestOf(
  machine: SimMachine,
  {
    manifest,
    expected,
    desired,
  }: {
    readonly manifest: Manifest | undefined;
    readonly expected: ReadonlySet<UnitName>;
    readonly desired: Pick<WantedState, "units">;
  },
): readonly string[] {
  const { letter, systemd } = machine;
  if (machine.agent === undefined) return [`${letter} has no agent`];
  if (manifest === undefined) return [`${letter} has no manifest`];
  const found: string[] = [];
  for (const { name, target } of manifest.units) {
    if (target === "released") found.push(`${letter} has still to let go of ${name}`);
    else if (!expected.has(name)) found.push(`${letter} has ${name}, which belongs elsewhere`);
  }
  for (const name of expected) {
    const told = manifest.units.find((entry) => entry.name === name);
    if (told === undefined) found.push(`${letter} is not told of ${name}`);
    const { active } = systemd.state(name);
    const unit = desired.units.get(name);
    if (told !== undefined && told.target !== unit?.target)
      found.push(`${letter} is told to have ${name} ${told.target}`);
    if (systemd.textOf(name) !== unit?.text) found.push(`${name} has another text on ${letter}`);
    if (unit?.target !== "launched") {
      if (systemd.up().has(name)) found.push(`${name} is ${active} on ${letter}, and shall be loaded only`);
      continue;
    }
    const isAsLeft = systemd.failed.has(name) && active === "failed";
    if (active !== "active" && !isAsLeft) found.push(`${name} is ${active} on ${letter}`);
    if (!isSameForSystemd(systemd.runs(name), unit.text)) found.push(`${name} runs with another text on ${letter}`);
  }
  for (const name of systemd.up()) if (!expected.has(name)) found.push(`${name} is up on ${letter}`);
  return found;
}

/** Asked without the scheduler, which is on trial as well: who is where they may not be, and who waits that need not. */
function misplaced(
  { machines, settings }: Pick<RegistryPicture, "machines" | "settings">,
  {
    expected,
    desired,
  }: { readonly expected: ReadonlyMap<MachineId, ReadonlySet<UnitName>>; readonly desired: Pick<WantedState, "units"> },
): readonly string[] {
  const found: string[] = [];
  const conflictsOf = (name: UnitName): readonly string[] => desired.units.get(name)?.options.conflicts ?? [];
  const replacesOf = (name: UnitName): readonly string[] => desired.units.get(name)?.options.replaces ?? [];
  for (const [name, { options, source, target }] of desired.units) {
    if (target === "inactive") continue;
    const isAnywhere = [...expected.values()].some((there) => there.has(name));
    for (const [id, { metadata, allowSubmit }] of machines) {
      const others = [...(expected.get(id) ?? [])].filter((other) => other !== name);
      const isThere = expected.get(id)?.has(name) === true;
      const against =
        (allowSubmit === false && source === "submitted") ||
        options.metadata.some(({ key, values }) => !values.includes(metadata[key] ?? "")) ||
        options.machineOf.some((other) => !others.includes(other)) ||
        others.some((other) => hits(options.conflicts, other) || hits(conflictsOf(other), name));
      // Where one is that it replaces it comes only if that goes elsewhere
      const isOfOther = others.some((other) => hits(options.replaces, other) || hits(replacesOf(other), name));
      const isSpread = options.spread === undefined || metadata[options.spread] !== undefined;
      if (isThere && against) found.push(`${name} is on ${id.charAt(0)}, where it may not be`);
      const { cordoned, rests } = settings.get(id) ?? {};
      const isOpen = cordoned !== true && rests === undefined && !against && !isOfOther && isSpread;
      if (isOpen && !isThere && (options.global || !isAnywhere))
        found.push(`${name} is not on ${id.charAt(0)}, which would take it`);
    }
  }
  return found;
}

/** Whether one of these names or patterns with "*" means the unit. */
function hits(patterns: readonly string[], unit: UnitName): boolean {
  return patterns.some((pattern) => pattern === unit || (pattern.includes("*") && matches(pattern, unit)));
}

function matches(pattern: string, unit: UnitName): boolean {
  const [before = "", after = ""] = pattern.split("*");
  return unit.startsWith(before) && unit.endsWith(after);
}

async function desiredAt(cluster: Cluster, commit: Parameters<Commits["desired"]>[0]): Promise<DesiredState> {
  const git = cluster.repository.open();
  await git.fetch();
  const read = await new Commits(git).desired(commit);
  await git.close();
  if (!read.ok) throw new Error(`The last commit cannot be read: ${read.problems[0]?.message}`);
  return read.value;
}
