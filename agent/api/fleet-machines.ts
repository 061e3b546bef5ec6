// Machines in fleet's API v1, and changes of their metadata. Inner part of fleet.ts.
import { byName, parseMachineId } from "../domain/names.ts";
import type { MetadataChange } from "../ports/hands.ts";
import { reportMachines } from "../report/report.ts";
import { FleetFailure, done, json, withoutEmpty } from "./fleet-answers.ts";
import { type MetadataOperation, readOperations } from "./fleet-body.ts";
import type { FleetInquiry } from "./fleet-inquiry.ts";
import { pageAsked, pageOf } from "./fleet-pages.ts";

/** GET /machines: the living ones, by id. */
export function listMachines({ picture, query }: FleetInquiry): Response {
  const asked = pageAsked(query);
  const all = [...reportMachines(picture)].sort((a, b) => byName(a.id, b.id));
  const { items, nextPageToken } = pageOf(all, { ...asked, keyOf: ({ id }) => id });
  const machines = items.map(({ id, ip, metadata }) => withoutEmpty({ id, metadata: sorted(metadata), primaryIP: ip }));
  return json(withoutEmpty({ machines, nextPageToken }));
}

/** PATCH /machines: all operations are checked before the first is applied, and all are applied or none. */
export async function patchMachines({ request, hands, clock, by, signal }: FleetInquiry): Promise<Response> {
  const changes = (await readOperations(request, { clock, signal })).map(changeOf);
  await hands.changeMetadata(changes, by, signal);
  return done(204);
}

function changeOf({ op, path, value }: MetadataOperation): MetadataChange {
  if (op !== "add" && op !== "remove" && op !== "replace") {
    throw new FleetFailure(400, "invalid op: expect add, remove, or replace");
  }
  const [, id = "", key = ""] = /^\/([^/]+)\/metadata\/([A-Za-z0-9_.-]+)$/.exec(path) ?? [];
  const machine = parseMachineId(id);
  if (!machine.ok) throw new FleetFailure(400, "machine metadata path invalid");
  if (op === "remove") return { machine: machine.value, key, value: undefined };
  if (value === "") throw new FleetFailure(400, "invalid value: add and replace require a value");
  return { machine: machine.value, key, value };
}

function sorted(metadata: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(metadata).sort(([a], [b]) => byName(a, b)));
}
