// Which units of ours systemd takes down with others, or keeps from starting while those are down. Given to systemd.ts.
import type { UnitName } from "../../domain/names.ts";
import { isDown } from "../../domain/status.ts";
import { propertiesInterface } from "./connection.ts";
import { plain } from "./peer.ts";
import { type Caller, inFlight, list, text, unitPath } from "./units.ts";

/** What a unit says of those with which it goes, or which it starts; systemd before 249 does not know the last. */
const leaning = ["Requires", "Requisite", "BindsTo", "PartOf", "Triggers", "StopPropagatedFrom"];

/**
 * Those of `of` that are down, and depend on one of `on` or on another that does. They say so themselves: systemd does not
 * remember what depends on a unit and is down.
 */
export async function downWith(
  { on, of }: { readonly on: readonly UnitName[]; readonly of: readonly UnitName[] },
  call: Caller,
): Promise<readonly UnitName[]> {
  const rows = await list(of, call);
  const down = of.filter((name) => isDown(rows.get(name)?.active));
  const leansOn = new Map<UnitName, readonly string[]>();
  await inFlight(down, async (name) => void leansOn.set(name, await propertiesOf(name, call)));
  const reached = new Set<string>(on);
  for (let before = -1; before !== reached.size;) {
    before = reached.size;
    for (const [name, others] of leansOn) if (others.some((other) => reached.has(other))) reached.add(name);
  }
  return down.filter((name) => reached.has(name) && !on.includes(name));
}

async function propertiesOf(name: UnitName, call: Caller): Promise<readonly string[]> {
  const body = ["org.freedesktop.systemd1.Unit"];
  const [answer] = await call({
    path: unitPath(name),
    interface: propertiesInterface,
    member: "GetAll",
    signature: "s",
    body,
  });
  const all = new Map(Object.entries((answer ?? {}) as Readonly<Record<string, unknown>>));
  return leaning.flatMap((key) => {
    const value = plain(all.get(key));
    return Array.isArray(value) ? value.map(text) : [];
  });
}
