// A machine on paper for tests of the plan: facts of a Debian with etcd, a document read by the real reader, and what
// became of a plan when everything in it was carried out.
import assert from "node:assert/strict";
import { type BootRecord, type SetupFacts, type Step, type StepResult } from "../../../agent/domain/first-boot.ts";
import type { Problem } from "../../../agent/domain/problem.ts";
import { type AddressName, type UserData, addressNames } from "../../../agent/domain/user-data.ts";
import { type Mode, type Plan, factsNeeded, planFirstBoot, planReach } from "../../../agent/firstboot/firstboot.ts";
import { isDue, nextRecord, planDigests } from "../../../agent/firstboot/record.ts";
import { readUserData } from "../../../agent/userdata/userdata.ts";

export const machineId = "0123456789abcdef0123456789abcdef";

export function machine(more: Partial<SetupFacts> = {}): SetupFacts {
  return {
    hostname: "localhost",
    machineId,
    bootId: "b0000000000000000000000000000001",
    kernel: "6.12.0",
    systems: ["debian"],
    defaultUser: "debian",
    units: new Set(["etcd.service", "ssh.service", "flotilla.service", "systemd-timesyncd.service"]),
    programs: new Set(["apt-get", "update-ca-certificates", "locale-gen", "timedatectl", "systemd-run"]),
    paths: new Set(["/etc/ssh/sshd_config.d", "/usr/share/zoneinfo", "/usr/share/zoneinfo/Europe/Berlin"]),
    ours: new Set(),
    contents: new Map(),
    flotilla: "/usr/bin/flotilla",
    ...more,
  };
}

export interface Circumstances {
  readonly facts?: Partial<SetupFacts>;
  readonly addresses?: Readonly<Partial<Record<AddressName, string>>>;
  readonly hostname?: string;
  readonly instanceId?: string;
  readonly sshKeys?: readonly string[];
  readonly record?: BootRecord | undefined;
  readonly mode?: Mode;
}

const known = { private_ipv4: "10.0.0.11", public_ipv4: "203.0.113.11" };

export async function read(yaml: string, addresses: Circumstances["addresses"] = known): Promise<UserData> {
  const bytes = new TextEncoder().encode(yaml.startsWith("#") || yaml === "" ? yaml : `#cloud-config\n${yaml}`);
  const { userData, findings } = await readUserData(bytes, {
    file: "user-data",
    addresses: {
      values: addresses,
      looked: Object.fromEntries(addressNames.map((name) => [name, []])) as unknown as Record<AddressName, string[]>,
    },
  });
  assert.ok(
    userData !== undefined,
    findings.map(({ severity, problem }) => `${severity} ${problem.message} ${problem.hint ?? ""}`).join("\n"),
  );
  return userData;
}

/** What lets somebody log in, also from a document that is refused. */
export async function reachOf(yaml: string, given: Circumstances = {}): Promise<Plan> {
  const { userData, reach } = await readUserData(new TextEncoder().encode(yaml), { file: "user-data" });
  const { addresses = {}, instanceId, hostname, sshKeys = [], record, mode = "alone" } = given;
  const metadata = { instanceId, hostname, sshKeys, addresses };
  return planReach({ userData, reach, metadata, facts: machine(given.facts), record, mode });
}

async function attempt(yaml: string, given: Circumstances): Promise<ReturnType<typeof planFirstBoot>> {
  const { addresses = known, mode = "alone", record } = given;
  const userData = await read(yaml, addresses);
  const asked = factsNeeded(userData, record);
  assert.ok(asked.units.length > 0);
  return planFirstBoot({
    userData,
    metadata: { instanceId: given.instanceId, hostname: given.hostname, sshKeys: given.sshKeys ?? [], addresses },
    addresses: { values: addresses, looked: { private_ipv4: [], public_ipv4: [], private_ipv6: [], public_ipv6: [] } },
    facts: machine(given.facts),
    record,
    mode,
  });
}

export async function plan(yaml: string, given: Circumstances = {}): Promise<Plan> {
  const planned = await attempt(yaml, given);
  assert.ok(planned.ok, planned.ok ? "" : planned.problems.map(({ message }) => message).join("\n"));
  return planned.value;
}

export async function refusals(yaml: string, given: Circumstances = {}): Promise<readonly Problem[]> {
  const planned = await attempt(yaml, given);
  assert.ok(!planned.ok, "a plan was made");
  return planned.problems;
}

/** Everything that was due came about, or was so already. */
export function carryOut(
  { plan: planned, record, facts = machine() }: { plan: Plan; record?: BootRecord | undefined; facts?: SetupFacts },
  resultOf: (step: Step) => StepResult = () => ({ kind: "done" }),
): BootRecord {
  return nextRecord(planned, {
    record,
    results: new Map(planned.steps.map((step) => [step.id, resultOf(step)])),
    facts,
    nowMs: 1_000,
  });
}

/** Ids of steps that would be carried out on a machine that is otherwise as the record says. */
export function due(planned: Plan, record: BootRecord | undefined, bootId: string): readonly string[] {
  const digests = planDigests(planned);
  return planned.steps
    .filter((step) => isDue(step, { digests, record, changed: new Set(), bootId }))
    .map(({ id }) => id);
}

export function textOf(planned: Plan, path: string): string {
  const step = planned.steps.find((each) => each.kind === "file" && each.file.path === path);
  assert.ok(step?.kind === "file", `no step writes ${path}; there are ${planned.steps.map(({ id }) => id).join(", ")}`);
  return new TextDecoder().decode(step.file.content);
}

export function stepOf(planned: Plan, id: string): Step {
  const step = planned.steps.find((each) => each.id === id);
  assert.ok(step !== undefined, `no step ${id}; there are ${planned.steps.map((each) => each.id).join(", ")}`);
  return step;
}
