// fleet's own objections to options that contradict each other, in its order and its words.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fleetObjection } from "../../../agent/desired/fleet-objections.ts";
import type { UnitName } from "../../../agent/domain/names.ts";
import { parseUnitFile } from "../../../agent/text/unit-file.ts";

const id = "MachineID=59f61aeb05cd50749ecdd75c73c9c74c";
const cases: readonly (readonly [readonly string[], string | undefined])[] = [
  [["Global=true", "MachineOf=a.service"], "Global cannot be used with Peers"],
  [["Global=false", "MachineOf=a.service"], undefined],
  [[id, "MachineOf=a.service"], "MachineID cannot be used with Peers"],
  [[id, "Conflicts=a*"], "MachineID cannot be used with Conflicts"],
  [[id, "Global=yes"], "MachineID cannot be used with Global"],
  [[id, "Replaces=a.service"], "MachineID cannot be used with Replaces"],
  [["Global=true", "Replaces=a.service"], "Global cannot be used with Replaces"],
  [["Conflicts=b.service", "Replaces=a.service"], "Conflicts cannot be used with Replaces"],
  [
    ["MachineOf=a.service", "Conflicts=b.service a*"],
    'unresolvable requirements: peer "a.service" matches conflict "a*"',
  ],
  [
    ["MachineOf=a@%i.service", "Replaces=a@1.service"],
    'unresolvable requirements: peer "a@1.service" matches replace "a@1.service"',
  ],
  [[id, "MachineMetadata=a=b"], undefined],
  [["Global=true", "Conflicts=a*"], undefined],
  [["MachineOf=a.service", "Conflicts=b*"], undefined],
  // What fleet did not know it did not object to
  [["Global=true", "Prefer=gpu", "Spread=zone"], undefined],
  [["Priority=high", "MemoryReserve=lots", "MachineMetadata=gpu", "MachineMetadata=!gpu"], undefined],
  [["Priority=high", id, "Conflicts=a*"], "MachineID cannot be used with Conflicts"],
];
for (const [lines, objection] of cases) {
  test(`${lines.join(", ")}: ${objection ?? "fine"}`, () => {
    const parsed = parseUnitFile(`[X-Fleet]\n${lines.join("\n")}\n`, "web@1.service");
    assert.ok(parsed.ok);
    assert.equal(fleetObjection("web@1.service" as UnitName, parsed.value), objection);
  });
}
