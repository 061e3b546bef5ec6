// What the engine leaves word of in the registry beside manifests: machines that were given up and are back, units that were
// displaced or moved, drains that have come to their end. Given to engine.ts, which carries it out; decides only.
import type { MachineId, UnitName } from "../domain/names.ts";
import type { Manifest } from "../domain/placement.ts";
import { type ClusterEvent, maxEventsTogether } from "../domain/submitted.ts";
import { maxTransactionOps } from "../ports/registry.ts";
import type { Outcome } from "../schedule/schedule.ts";
import { encodeEvent, encodeMachineSettings, keys } from "../text/values.ts";
import type { TidyBatch } from "./housekeeping.ts";
import { type DrainEnd, named } from "./moves.ts";
import type { RegistryPicture } from "./picture.ts";

export interface Told {
  /** As it was decided on. */
  readonly picture: RegistryPicture;
  /** Manifests that were written since. */
  readonly writes: readonly Manifest[];
  readonly outcome: Outcome;
  readonly ended: readonly DrainEnd[];
  /** What a machine is called, also one that is gone. */
  readonly nameOf: (machine: MachineId) => string;
}

/** In batches that the registry takes, each with the leader's fence. */
export function tellings(
  { picture, writes, outcome, ended, nameOf }: Told,
  { by, nowMs, nonce }: { readonly by: string; readonly nowMs: number; readonly nonce: string },
): readonly TidyBatch[] {
  const events: ClusterEvent[] = [];
  const say = (event: Omit<ClusterEvent, "atMs" | "by">): void => void events.push({ ...event, atMs: nowMs, by });
  const comings = comingsAndGoings(picture, { writes, nameOf });
  for (const event of comings.slice(0, maxEventsTogether)) say(event);
  const others = comings.length - maxEventsTogether;
  if (others > 0) say({ kind: "machine-lost", message: `${others} more machines are lost, or back` });
  for (const { unit, by: stronger, from } of outcome.displaced.slice(0, maxEventsTogether)) {
    const message = `${stronger} displaces ${unit} on ${nameOf(from)}: its priority is higher`;
    say({ kind: "unit-displaced", unit, machine: from, message });
  }
  const more = outcome.displaced.length - maxEventsTogether;
  if (more > 0)
    say({ kind: "unit-displaced", message: `${more} more units are displaced by units of a higher priority` });
  for (const { from, because, units } of gathered(outcome.moved)) {
    say({ kind: "units-moved", machine: from, message: `${named(units)} leave ${nameOf(from)}: ${because}` });
  }
  const batches = inBatches(events, nonce);
  for (const { machine, drain } of ended) {
    const key = keys.settingsOf(machine);
    const revision = picture.modified.get(key);
    const settings = picture.settings.get(machine);
    if (revision === undefined || settings === undefined) continue;
    const message =
      drain.state === "done"
        ? `${nameOf(machine)} is drained: no unit is left there but global ones`
        : `The drain of ${nameOf(machine)} has stopped: ${drain.because ?? "units are left there"}`;
    const event: ClusterEvent = { kind: "drain-ended", machine, message, atMs: nowMs, by };
    batches.push({
      guards: [{ kind: "modified", key, revision }],
      writes: [
        { kind: "put", key, value: encodeMachineSettings({ ...settings, drain }) },
        ...puts([event], `${nonce}-${machine.slice(0, 8)}`),
      ],
      said: [event],
    });
  }
  return batches;
}

type Coming = Pick<ClusterEvent, "kind" | "machine" | "message">;

function comingsAndGoings(
  { manifests }: RegistryPicture,
  { writes, nameOf }: Pick<Told, "writes" | "nameOf">,
): readonly Coming[] {
  return writes.flatMap(({ machine, givenUp }): readonly Coming[] => {
    const before = manifests.get(machine);
    if (before === undefined || before.givenUp === givenUp) return [];
    if (givenUp !== true) return [{ kind: "machine-returned", machine, message: `${nameOf(machine)} is back` }];
    const had = before.units.filter(({ target }) => target !== "released").map(({ name }) => name);
    const message = `${nameOf(machine)} is lost; it had ${had.length === 0 ? "no units" : named(had)}`;
    return [{ kind: "machine-lost", machine, message }];
  });
}

/** What one machine gives away for one reason is told together. */
function gathered(
  moved: Outcome["moved"],
): readonly { readonly from: MachineId; readonly because: string; readonly units: readonly UnitName[] }[] {
  const groups = new Map<string, { from: MachineId; because: string; units: UnitName[] }>();
  for (const { unit, from, because } of moved) {
    const key = `${from} ${because}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { from, because, units: [unit] });
    else group.units.push(unit);
  }
  return [...groups.values()];
}

/** Of a full batch the leader's fence is one operation. In bytes it is far from full: `encodeEvent` cuts what is long. */
const eventsAtOnce = maxTransactionOps - 1;

function inBatches(events: readonly ClusterEvent[], nonce: string): TidyBatch[] {
  const writes = puts(events, nonce);
  const batches: TidyBatch[] = [];
  for (let from = 0; from < events.length; from += eventsAtOnce) {
    const to = from + eventsAtOnce;
    batches.push({ guards: [], writes: writes.slice(from, to), said: events.slice(from, to) });
  }
  return batches;
}

function puts(events: readonly ClusterEvent[], nonce: string): TidyBatch["writes"] {
  return events.map((event, index) => ({
    kind: "put",
    key: keys.event(event.atMs, `${nonce}-${index}`),
    value: encodeEvent(event),
  }));
}
