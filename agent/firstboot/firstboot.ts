// The front door: a document that was read, what the provider says, what the machine is and what the last boot left
// behind -> the plan of this boot. Pure: everything is decided here, and what carries it out has no choices left.
import type { BootRecord, SetupFacts, Stage, Step } from "../domain/first-boot.ts";
import { type Checked, invalid, valid } from "../domain/problem.ts";
import type { Addresses, Finding, InstanceMetadata, UserData, UserDataReading } from "../domain/user-data.ts";
import { planAccounts } from "./accounts.ts";
import { planEarlyCommands, planEnd, planLateCommands, planPackages } from "./commands.ts";
import { type Changes, flannel, locksmith, planCoreos, updateEngine, updateFiles } from "./coreos.ts";
import { type Draft, type Given, base, emptyDraft, tell } from "./draft.ts";
import { type EtcdPlan, etcdUnits, installsEtcd, planEtcd } from "./etcd.ts";
import { tlsKeys } from "./etcd-keys.ts";
import { planFiles } from "./files.ts";
import { chronySources, chronyUnits, localeFolder, planHostWords, timesyncd, zoneFolder } from "./host-words.ts";
import { withFollowers } from "./in-force.ts";
import { type Left, madePaths, planLeft } from "./left.ts";
import { namesOf, planEnvironment, planHostname, planHosts } from "./names.ts";
import { type Remembered, instanceOf, isDone, planDigests } from "./record.ts";
import { type PlannedSettings, planSettings, settingsPath } from "./settings-file.ts";
import { planHostKeys, planPasswords, planSshDaemon, sshFolder, sshUnits } from "./ssh.ts";
import { devicePath, planStorage } from "./storage.ts";
import { discoveryUnit, flotillaUnit, planUnits } from "./units.ts";

/** `beside-cloud-init`: that program does what it knows, and only `coreos:` and `flotilla:` are done here. */
export type Mode = "alone" | "beside-cloud-init";

export interface PlanInput {
  readonly userData: UserData;
  readonly metadata: InstanceMetadata;
  readonly addresses: Addresses;
  /** Of what `factsNeeded` asks for. */
  readonly facts: SetupFacts;
  /** Undefined: there was no boot before, or nothing is known of it. */
  readonly record: BootRecord | undefined;
  readonly mode: Mode;
}

/** What a machine has to become, in the order of work. */
export interface Plan extends Remembered {
  readonly instanceId: string;
  /** `reach`: only names, accounts and keys were planned, and nothing is concluded about the rest. */
  readonly covers: "all" | "reach";
  /** What has to be looked at and carried out, where `isDue`. Ids are unique. */
  readonly steps: readonly Step[];
  /** Acts once for an instance, and has. */
  readonly done: readonly Step[];
  /** Warnings and things worth knowing. */
  readonly notices: readonly Finding[];
  /** In the record and no longer in the document. */
  readonly left: readonly Left[];
  /** Steps that end something of the record: step id -> id there. */
  readonly gone: ReadonlyMap<string, string>;
  /** Ids of the record that are passed over and stay in it. */
  readonly kept: readonly string[];
  /** Units to report on when all is done. */
  readonly watch: readonly string[];
  /** To be checked by settings/ before anything is written; undefined: the document has none. */
  readonly settings: PlannedSettings | undefined;
}

/** Which units, programs and paths the plan wants to know of. */
export interface FactsNeeded {
  readonly units: readonly string[];
  readonly programs: readonly string[];
  readonly paths: readonly string[];
}

const programs: readonly string[] = [
  ...["apt-get", "dnf", "update-ca-certificates", "update-ca-trust", "locale-gen", "timedatectl", "systemd-run"],
];

export function factsNeeded({ config }: Pick<UserData, "config">, record: BootRecord | undefined): FactsNeeded {
  const known = [...etcdUnits, ...sshUnits, ...chronyUnits, timesyncd, flannel, locksmith, updateEngine, flotillaUnit];
  const paths = [
    ...[settingsPath, sshFolder, zoneFolder, localeFolder, chronySources, "/etc/chrony/chrony.conf"],
    ...updateFiles.flatMap(({ path, base: from }) => [path, from]),
    ...(config.timezone === undefined ? [] : [`${zoneFolder}/${config.timezone.value}`]),
    ...(config.locale === undefined ? [] : [`${localeFolder}/${config.locale.value.split(".")[0] ?? ""}`]),
    ...(config.etcd ?? []).filter(({ key }) => tlsKeys.includes(key)).map(({ value }) => value),
    ...config.mounts.flatMap((mount) => devicePath(mount) ?? []),
    ...madePaths(record),
  ];
  return {
    units: [...new Set([...known, ...config.units.map(({ name }) => name)])],
    programs,
    paths: [...new Set(paths)].filter((path) => path.startsWith("/")),
  };
}

/**
 * The plan, or every reason why there can be none; nothing has been written then. Also for a machine without a document:
 * its provider's name, keys and addresses are taken all the same.
 */
export function planFirstBoot(input: PlanInput): Checked<Plan> {
  const { userData, metadata, addresses, facts, record, mode } = input;
  const { config, scripts } = userData;
  const instance = instanceOf(metadata.instanceId, { facts, record });
  const isWhole = saysAll(userData);
  const { isCopied } = instance;
  const names = namesOf(config, { metadata, facts, record, isWhole, isCopied });
  const given: Given = { config, scripts, metadata, addresses, facts, names, record, isWhole, isCopied };
  const draft = emptyDraft();
  if (mode === "alone") planHost(given, draft);
  else tellBeside(userData, draft);
  const settings = planCluster(given, { mode, draft });
  if (mode === "alone") {
    planLateCommands(given, draft);
    planEnd(given, draft);
  }
  const errors = draft.findings.filter(({ severity }) => severity === "error");
  if (errors.length > 0) return invalid(...errors.map(({ problem }) => problem));
  return valid(finish({ draft, settings, instanceId: instance.id, covers: "all", isWhole }, input));
}

/** Whether a document was there and was read, so that what it does not have is not wanted; undefined: it was refused. */
function saysAll(userData: Pick<UserData, "kind"> | undefined): boolean {
  return userData?.kind === "cloud-config" || userData?.kind === "multipart";
}

/** What makes the host what it is: everything that cloud-init would do as well. */
function planHost(given: Given, draft: Draft): void {
  planHostname(given.names, draft);
  planAccounts(given, draft);
  planPasswords(given, draft);
  planEarlyCommands(given, draft);
  planStorage(given, draft);
  planHosts(given, draft);
  planFiles(given, draft);
  planHostWords(given, draft);
}

/** What is flotilla's own: CoreOS's services, etcd, settings, units; and packages, which may bring an etcd. */
function planCluster(given: Given, { mode, draft }: { mode: Mode; draft: Draft }): PlannedSettings | undefined {
  const changes: Changes = new Map();
  planEnvironment(given, draft);
  planCoreos(given, { changes, draft });
  const etcd = planEtcd(given, draft);
  const settings = planSettings(given, { etcd: etcd?.settings ?? [], draft });
  if (mode === "alone") planInstallation(given, { etcd, draft });
  if (etcd?.unit !== undefined) changes.set(etcd.unit, [...etcd.changes]);
  if (settings !== undefined) {
    changes.set(flotillaUnit, [...settings.steps]);
    const own = etcd?.changes.filter((id) => id.startsWith(`drop-in ${discoveryUnit}.d/`)) ?? [];
    changes.set(discoveryUnit, [...settings.steps, ...own]);
  }
  planUnits(given, {
    etcd,
    wantsFlotilla: settings !== undefined,
    isBeside: mode === "beside-cloud-init",
    changes,
    draft,
  });
  return settings;
}

/**
 * Debian starts a service as soon as it is installed, and waits for it: etcd would wait for its cluster, and the cluster for
 * this boot. So it is masked until all is written; also where a boot was cut short while they were installed, and the unit
 * is there already.
 */
function planInstallation(given: Given, { etcd, draft }: { etcd: EtcdPlan | undefined; draft: Draft }): void {
  const { config, metadata, facts, record } = given;
  const unit = etcd?.unit;
  const path = `/run/systemd/system/${unit ?? ""}`;
  const packages = planPackages(given, draft);
  const instanceId = instanceOf(metadata.instanceId, { facts, record }).id;
  const isComing = packages !== undefined && !isDone(packages, { record, instanceId });
  // Also a newer one, where all that is there is upgraded
  const holds = unit !== undefined && isComing && (installsEtcd(config) || config.packageUpgrade);
  // A run of this boot that was stopped just after they were there has left the mask
  const isHeld = unit !== undefined && record?.steps[`hold ${unit}`]?.bootId === facts.bootId;
  if (holds) draft.steps.push({ ...base(`hold ${unit}`, { stage: "files" }), kind: "link", path, target: "/dev/null" });
  if (packages !== undefined) draft.steps.push(packages);
  if (holds || isHeld) draft.steps.push({ ...base(`release ${unit}`, { stage: "files" }), kind: "unmask", path });
  planSshDaemon(given, draft);
  planHostKeys(given, draft);
}

/** Only what lets somebody log in: also from a document that is refused, which then takes nothing away. */
export function planReach(
  input: Omit<PlanInput, "userData" | "addresses"> & Pick<UserDataReading, "reach" | "userData">,
): Plan {
  const { reach, userData, metadata, facts, record, mode } = input;
  const draft = emptyDraft();
  const instance = instanceOf(metadata.instanceId, { facts, record });
  if (mode === "alone") {
    const given = { metadata, facts, record, isWhole: saysAll(userData) };
    planHostname(namesOf(reach, { ...given, isCopied: instance.isCopied }), draft);
    planAccounts({ config: reach, ...given }, draft);
  }
  return finish({ draft, settings: undefined, instanceId: instance.id, covers: "reach", isWhole: false }, input);
}

const stages: readonly Stage[] = ["reach", "early", "files", "units", "late"];

function finish(
  {
    draft,
    settings,
    instanceId,
    covers,
    isWhole,
  }: {
    readonly draft: Draft;
    readonly settings: PlannedSettings | undefined;
    readonly instanceId: string;
    readonly covers: "all" | "reach";
    readonly isWhole: boolean;
  },
  { facts, metadata, record, mode }: Pick<PlanInput, "facts" | "metadata" | "record" | "mode">,
): Plan {
  const wanted = oncePerPath(draft);
  const {
    left,
    steps: undoing,
    gone,
    kept,
  } = planLeft(record, { planned: wanted, isWhole, mode, facts, metadata, draft });
  // Old ways in go when the new ones are there; of the rest what is gone makes room
  const isWay = ({ stage }: Step): boolean => stage === "reach";
  const inOrder = [...undoing.filter((step) => !isWay(step)), ...wanted, ...undoing.filter(isWay)];
  const all = withFollowers(withReload(inOrder, undoing), { undoing, facts });
  const ordered = stages.flatMap((stage) => all.filter((step) => step.stage === stage));
  const done = ordered.filter((step) => isDone(step, { record, instanceId }));
  tellUnrepeated(done, { wanted: ordered, record, draft });
  return {
    instanceId,
    covers,
    steps: ordered.filter((step) => !done.includes(step)),
    done,
    notices: draft.findings.filter(({ severity }) => severity !== "error"),
    left,
    gone,
    kept,
    watch: [...new Set(draft.watch)],
    settings,
  };
}

/** Two texts for one file: the later one, which is the more special one, is written. */
function oncePerPath(draft: Draft): readonly Step[] {
  const last = new Map<string, string>();
  for (const step of draft.steps) if (step.kind === "file" && !step.file.append) last.set(step.file.path, step.id);
  const dropped = new Map<string, string>();
  const steps = draft.steps.filter((step) => {
    const id = step.kind === "file" && !step.file.append ? last.get(step.file.path) : undefined;
    if (id === undefined || id === step.id || step.kind !== "file") return true;
    dropped.set(step.id, id);
    tell(draft, "warning", {
      code: "boot-file-twice",
      message: `Leaving out ${step.id}: ${id} writes ${step.file.path} as well`,
      hint: "Keep one of them",
      at: step.at,
    });
    return false;
  });
  return steps.map((step) =>
    step.onlyAfter === undefined
      ? step
      : { ...step, onlyAfter: [...new Set(step.onlyAfter.map((id) => dropped.get(id) ?? id))] },
  );
}

/** systemd has to see that unit files are gone. */
function withReload(steps: readonly Step[], undoing: readonly Step[]): readonly Step[] {
  const ids = undoing
    .filter((step) => step.kind === "enable" || ("path" in step && /\/systemd\/system\//.test(step.path)))
    .map(({ id }) => id);
  if (ids.length === 0) return steps;
  if (!steps.some(({ id }) => id === "reload"))
    return [...steps, { ...base("reload", { stage: "units" }), onlyAfter: ids, kind: "reload" }];
  return steps.map((step) =>
    step.id === "reload" ? { ...step, onlyAfter: [...ids, ...(step.onlyAfter ?? [])] } : step,
  );
}

/** A script that has run and now reads otherwise: that is easily taken for a mistake of this program. */
function tellUnrepeated(
  done: readonly Step[],
  { wanted, record, draft }: { wanted: readonly Step[]; record: BootRecord | undefined; draft: Draft },
): void {
  const digests = planDigests({ steps: wanted, done: [] });
  for (const { id, at, kind } of done) {
    const script = id.replace(/^run /, "script ");
    const before = record?.steps[kind === "command" && script !== id ? script : id];
    const now = digests.get(kind === "command" && script !== id ? script : id);
    if (before === undefined || now === undefined || before.digest === "" || before.digest === now) continue;
    tell(draft, "warning", {
      code: "boot-not-again",
      message: `Leaving "${id}" as it was carried out: it has changed since, and is done once for an instance`,
      hint: kind === "command" ? "Do by hand what is new; a new instance does all of it" : "Change it by hand",
      at,
    });
  }
}

/** Keys that cloud-init knows itself. */
function tellBeside({ config, scripts }: UserData, draft: Draft): void {
  const keys: readonly (readonly [string, boolean])[] = [
    ["hostname", config.hostname !== undefined || config.fqdn !== undefined],
    ["manage_etc_hosts", config.manageEtcHosts !== "no"],
    ["users", config.users !== undefined],
    ["groups", config.groups.length > 0],
    ["ssh_authorized_keys", config.sshAuthorizedKeys.length > 0],
    ["chpasswd", config.passwords.list.length > 0],
    ["write_files", config.writeFiles.length > 0],
    ["bootcmd", config.bootCommands.length > 0],
    ["runcmd", config.runCommands.length > 0],
    ["scripts", scripts.length > 0],
    ["packages", config.packages.length > 0 || config.packageUpdate || config.packageUpgrade],
    ["timezone", config.timezone !== undefined],
    ["locale", config.locale !== undefined],
    ["keyboard", config.keyboard !== undefined],
    ["ntp", config.ntp !== undefined],
    ["mounts", config.mounts.length > 0],
    ["swap", config.swap !== undefined],
    ["ca_certs", config.caCerts !== undefined],
    ["ssh", config.sshPasswordAuth !== undefined || config.disableRoot !== undefined || config.sshKeys.length > 0],
    ["power_state", config.powerState !== undefined],
    ["phone_home", config.phoneHome !== undefined],
  ];
  const there = keys.filter(([, isThere]) => isThere).map(([key]) => key);
  if (there.length === 0) return;
  tell(draft, "info", {
    code: "boot-beside",
    message: `Leaving ${there.join(", ")} to cloud-init`,
    hint: "Beside cloud-init only coreos: and flotilla: are carried out here",
  });
}
