// A machine's own copy of its units: read back they are what the commit made of them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeKeptUnits, readKeptUnits } from "../../../agent/desired/desired.ts";
import { good, service, withFleet } from "./build.ts";

const state = good({
  "static/hello.service": `# mine\r\n[Unit]\r\nDescription = Says %i\r\n${service}[Install]\nWantedBy=multi-user.target\n`,
  "static/nightly.timer": "[Timer]\nOnCalendar=daily\n",
  "templates/web@.service": withFleet("MachineMetadata=rack=%i", "Conflicts=web@*.service", "DesiredState=loaded"),
  // The template's drop-ins come first, whatever their names
  "templates/web@.service.d/90-late.conf": "[Service]\nUser=late\n[X-Fleet]\nConflicts=%i.service\n",
  "templates/web@1.service.d/10-early.conf": "[Service]\nUser=early\n[Install]\nWantedBy=default.target\n",
  "instances/web@1.service": { link: "../templates/web@.service" },
  "instances/web@2.service": withFleet("Global=true", "OnChange=reload"),
});

test("units are read back as they were made", () => {
  const read = readKeptUnits(encodeKeptUnits(state.units.values()));
  assert.deepEqual(read.problems, []);
  const told = read.units.map((unit) => ({ ...unit, file: "", target: "" }));
  told.sort((a, b) => (a.name < b.name ? -1 : 1));
  const made = [...state.units.values()].map((unit) => ({
    ...unit,
    file: "",
    target: "",
    dropIns: unit.dropIns.map((each) => ({ ...each, file: "" })),
  }));
  assert.ok(made.some(({ dropIns }) => dropIns.map(({ name }) => name).join() === "90-late.conf,10-early.conf"));
  assert.deepEqual(told, made);
});

test("as many drop-ins as there may be, with the longest names", () => {
  const files = ["web@.service", "web@1.service"].flatMap((unit, at) =>
    Array.from({ length: 500 }, (_, index) => [
      `${unit}.d/${`${at}-${index}`.padStart(195, "x")}.conf`,
      "[Service]\nUser=one\n",
    ]),
  );
  const { units } = good({
    "web@.service": service,
    "web@1.service": { link: "web@.service" },
    ...(Object.fromEntries(files) as Record<string, string>),
  });
  const read = readKeptUnits(encodeKeptUnits(units.values()));
  assert.deepEqual(read.problems, []);
  const [unit] = read.units;
  assert.equal(unit?.dropIns.length, 1_000);
  assert.deepEqual(
    read.units.map(({ hash }) => hash),
    [...units.values()].map(({ hash }) => hash),
  );
});

test("a text of which no unit can be made is a problem, and the others are read", () => {
  const [hello, ...others] = state.units.values();
  assert.ok(hello !== undefined);
  const bad = { ...hello, text: "[X-Fleet]\nGlobal=perhaps\n" };
  const read = readKeptUnits(encodeKeptUnits([bad, ...others]));
  assert.deepEqual(new Set(read.units.map(({ name }) => name)), new Set(others.map(({ name }) => name)));
  assert.equal(read.problems.length, 1);
});
