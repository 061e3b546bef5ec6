// From a machine to the plan of its boot: finds the user-data, reads it, asks what has to be known, plans, and checks the
// settings that would be written. Changes nothing; bootstrap.ts and dry-run.ts do the rest with it.
import type { BootRecord, SetupFacts } from "../domain/first-boot.ts";
import { type Checked, Problem, invalid, valid } from "../domain/problem.ts";
import type { Addresses, Finding, UserDataReading } from "../domain/user-data.ts";
import { type Mode, type Plan, factsNeeded, planFirstBoot, planReach } from "../firstboot/firstboot.ts";
import { parseRecord } from "../firstboot/record.ts";
import type { HostSetup } from "../ports/host-setup.ts";
import type { FoundUserData, Probe, SourceName, Standing } from "../ports/user-data-sources.ts";
import { completeSettings, draftSettings } from "../settings/settings.ts";
import { readUserData } from "../userdata/userdata.ts";
import type { BootRequest } from "../ports/first-boot.ts";
import { type BootWorld, bootFiles } from "./boot-world.ts";
import { parseKept } from "./kept.ts";

/** What was found, and by whom. */
export interface Search {
  readonly found: FoundUserData;
  readonly probes: readonly Probe[];
  /** No source answered, and this is what the last boot found. */
  readonly isKept: boolean;
  readonly findings: readonly Finding[];
}

/** No source: `probes` says of each why. */
export interface NoSearch {
  readonly found: undefined;
  readonly probes: readonly Probe[];
  readonly problem: Problem;
  /** Every source there is was asked and is not this machine's, nor was one ever: nobody has user-data for it. */
  readonly isCertain: boolean;
}

/** Networks and services of a new machine may be slow to come. */
const firstSearchMs = 5 * 60_000;
/** What an earlier boot found is there to go on with: a machine must not stand still for long for what may have changed. */
const laterSearchMs = 30_000;

export async function searchUserData(
  world: BootWorld,
  request: BootRequest,
  { signal, progress }: { readonly signal: AbortSignal; readonly progress: (standing: Standing) => void },
): Promise<Search | NoSearch> {
  const asked = request.sources.file ?? request.sources.url;
  const last = await lastFound(world);
  const kept = asked === undefined ? last : undefined;
  const timeoutMs = request.sources.timeoutMs ?? (kept === undefined ? firstSearchMs : laterSearchMs);
  const { found, probes } = await world.sources.search({ ...request.sources, timeoutMs }, { signal, progress });
  if (found !== undefined) return { found: withMetadata(found, last), probes, isKept: false, findings: [] };
  if (kept !== undefined) {
    const problem = new Problem("boot-kept", `Using the user-data that the last boot found at ${kept.where}`, {
      hint: "No source answers at this boot; what has changed there since is not known",
    });
    return { found: kept, probes, isKept: true, findings: [{ severity: "warning", problem }] };
  }
  const failed = probes.filter(({ outcome }) => outcome === "failed" || outcome === "given-up");
  const told = failed.map(({ source, why }) => `${source}: ${why}`).join("; ");
  return {
    found: undefined,
    probes,
    isCertain:
      failed.length === 0 &&
      asked === undefined &&
      request.sources.only === undefined &&
      (await world.disk.read(bootFiles.found)) === undefined,
    problem: new Problem("boot-no-source", "Cannot find user-data: no source answers", {
      hint: told === "" ? "Name one: --from-file FILE, or --from-url URL" : told,
    }),
  };
}

/**
 * A document that was named is not what cloud-init was given, whatever that did. A machine that was set up beside cloud-init
 * stays so: without it at one boot, all that it did would be done once more.
 */
export async function modeOf(
  { hasCloudInit }: BootWorld,
  { mode, sources }: BootRequest,
  { record, instanceId }: { readonly record: BootRecord | undefined; readonly instanceId: string | undefined },
): Promise<Mode> {
  if (mode !== undefined) return mode;
  if (sources.file !== undefined || sources.url !== undefined) return "alone";
  const isSame = instanceId === undefined || record?.instanceId === instanceId;
  if (record?.mode === "beside-cloud-init" && isSame) return "beside-cloud-init";
  return (await hasCloudInit()) ? "beside-cloud-init" : "alone";
}

/** Of this very machine, and only where it can be read. */
async function lastFound({ disk, log, openSetup }: BootWorld): Promise<FoundUserData | undefined> {
  const text = await disk.read(bootFiles.found);
  if (text === undefined) return undefined;
  const kept = parseKept(text);
  if (!kept.ok) {
    for (const problem of kept.problems) log.error("bootstrap.kept", problem);
    return undefined;
  }
  const setup = openSetup(undefined);
  try {
    const { machineId } = await setup.facts({ units: [], programs: [], paths: [] });
    return machineId === kept.value.machineId ? kept.value.found : undefined;
  } finally {
    await setup.close();
  }
}

/** Sources that bring a document and know nothing of the machine. */
const documentsOnly: ReadonlySet<SourceName> = new Set(["file", "url", "kernel-command-line"]);

/** A document from elsewhere does not take away what the machine's provider said of it: its name, its keys. */
function withMetadata(found: FoundUserData, last: FoundUserData | undefined): FoundUserData {
  return documentsOnly.has(found.source) && last !== undefined ? { ...found, metadata: last.metadata } : found;
}

export interface Prepared {
  readonly found: FoundUserData;
  readonly mode: Mode;
  readonly setup: HostSetup;
  readonly facts: SetupFacts;
  readonly addresses: Addresses;
  readonly reading: UserDataReading;
  readonly record: BootRecord | undefined;
  /** There is a record and it cannot be read: what acts once may have been done, and is not done again. */
  readonly isRecordLost: boolean;
  /** What lets somebody log in, also from a document that is refused. */
  readonly reach: Plan;
}

/** `setup` is the caller's to close. */
export async function prepare(
  world: BootWorld,
  {
    found,
    mode,
    setup,
    record,
  }: {
    readonly found: FoundUserData;
    readonly mode: Mode;
    readonly setup: HostSetup;
    readonly record: ReadRecord;
  },
): Promise<Prepared> {
  const addresses = await world.findAddresses(found);
  const file = found.source === "file" ? found.where : "user-data";
  const reading = await readUserData(found.userData, { file, addresses });
  // What the rest needs to know is asked when everybody can log in: a strange path in the document must not be in the way
  const facts = await setup.facts(nothingNeeded);
  const { metadata } = found;
  const reach = planReach({
    reach: reading.reach,
    userData: reading.userData,
    metadata,
    facts,
    record: record.value,
    mode,
  });
  return { found, mode, setup, facts, addresses, reading, record: record.value, isRecordLost: record.isLost, reach };
}

const nothingNeeded = { units: [], programs: [], paths: [] };

export interface ReadRecord {
  readonly value: BootRecord | undefined;
  /** It is there, and nobody knows what it says. */
  readonly isLost: boolean;
}

export async function readRecord({ disk, log }: BootWorld): Promise<ReadRecord> {
  const text = await disk.read(bootFiles.record);
  if (text === undefined) return { value: undefined, isLost: false };
  const record = parseRecord(text);
  if (record.ok) return { value: record.value, isLost: false };
  for (const problem of record.problems) log.error("bootstrap.record", problem);
  return { value: undefined, isLost: true };
}

/** The plan of everything, or every reason why the document is refused. */
export async function planAll(world: BootWorld, prepared: Prepared): Promise<Checked<Plan>> {
  const { reading, found, addresses, record, mode, setup } = prepared;
  const errors = reading.findings.filter(({ severity }) => severity === "error").map(({ problem }) => problem);
  if (reading.userData === undefined) return invalid(...errors);
  const { metadata } = found;
  const facts = await setup.facts(factsNeeded(reading.userData, record));
  const plan = planFirstBoot({ userData: reading.userData, metadata, addresses, facts, record, mode });
  if (!plan.ok) return plan;
  const wrong = await checkSettings(world, plan.value);
  if (wrong.length > 0) return invalid(...wrong);
  return valid(prepared.isRecordLost ? withoutOnce(plan.value) : plan.value);
}

/** What acts once may have acted: running it again could cost more than leaving it out. */
function withoutOnce(plan: Plan): Plan {
  const held = plan.steps.filter(({ frequency }) => frequency === "once-per-instance").map(({ id }) => id);
  const problem = new Problem(
    "boot-record",
    `Cannot read what earlier boots did; what acts once is left out: ${held.length === 0 ? "nothing" : held.join(", ")}`,
    {
      hint: `Remove ${bootFiles.record} from the agent's state directory to have it done, once more where it was done`,
    },
  );
  return {
    ...plan,
    steps: plan.steps.filter(({ id }) => !held.includes(id)),
    notices: [...plan.notices, { severity: "warning", problem }],
  };
}

/** What the agent would say of the settings file that the plan writes, at the place in the document. */
async function checkSettings(
  { settingsFiles, checkSchedule }: BootWorld,
  { settings, steps }: Plan,
): Promise<readonly Problem[]> {
  if (settings === undefined) return [];
  const { file, text, places, secrets } = settings;
  const draft = draftSettings({ conf: { file, text, mode: 0o644 }, fleetConf: undefined, environment: {}, flags: {} });
  const written = new Map(secrets);
  for (const step of steps)
    if (step.kind === "file" && draft.secretFiles.includes(step.file.path))
      written.set(step.file.path, new TextDecoder().decode(step.file.content));
  const read = new Map(await settingsFiles.secrets(draft.secretFiles.filter((path) => !written.has(path))));
  for (const [path, secret] of written) read.set(path, valid({ file: path, text: secret, mode: 0o600 }));
  const complete = completeSettings(draft, read, { checkSchedule });
  if (complete.settings.ok) return [];
  return complete.settings.problems.map((problem) => {
    const at = problem.at?.line === undefined ? undefined : places.get(problem.at.line);
    if (at === undefined) return problem;
    return new Problem(problem.code, problem.message, { hint: problem.hint, cause: problem.cause, at });
  });
}
