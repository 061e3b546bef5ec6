// What fleet's listings showed in each of their fields (fleet-scenarios F-390 to F-402), row by row.
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { MachineReference, MachineReport, UnitFileReport, UnitReport } from "../../../agent/domain/report.ts";
import { type Listing, listingText, listings, reportUnitFiles } from "../../../agent/report/report.ts";
import { sampleNowMs, samplePicture, sampleUnit } from "../../fakes/fake-cluster.ts";

const id = "520983a85b5c4f8a9fd4d4b6c1a6d0ab";

/** The cells of one row. */
function cells<Row>(listing: Listing<Row>, row: Row, more: { readonly names: string; readonly full?: boolean }) {
  const shape = { names: more.names.split(","), keys: [] };
  const style = { full: more.full ?? false, legend: false, colour: false, nowMs: sampleNowMs };
  return listingText(listing.fields, { ...style, rows: [row], shape })
    .trimEnd()
    .split(/\t+/);
}

function reference(more: Partial<MachineReference> = {}): MachineReference {
  return { id, ip: "", hostname: "", alive: true, ...more };
}

suite("machines", () => {
  const machine: MachineReport = {
    ...{ id, ip: "", metadata: {}, hostname: "n1", version: "1.2.3", leader: false, mayLead: true, units: 0 },
    ...{ cpus: 2, memoryBytes: 512 * 1024 ** 2 },
  };
  const names = "machine,ip,metadata";
  test("F-392: metadata in the order of keys", () => {
    const row = { ...machine, ip: "5.6.7.8", metadata: { ping: "pong", foo: "bar" } };
    assert.deepEqual(cells(listings.machines, row, { names }), ["520983a8...", "5.6.7.8", "foo=bar,ping=pong"]);
    assert.equal(cells(listings.machines, row, { names, full: true })[0], id);
  });
  test("F-393: no address, no metadata", () => {
    assert.deepEqual(cells(listings.machines, machine, { names }), ["520983a8...", "-", "-"]);
  });
  test("what flotilla adds", () => {
    const row = { ...machine, leader: true, units: 7 };
    const own = "hostname,version,leader,lead,units,cpus,memory";
    assert.deepEqual(cells(listings.machines, row, { names: own }), ["n1", "1.2.3", "true", "true", "7", "2", "512M"]);
  });
});

suite("unit files", () => {
  const file: UnitFileReport = {
    ...{ name: "a.service", source: "submitted", desired: "inactive", state: "inactive" },
    ...{ hash: "da39a3ee5e6b4b0d3255bfef95601890afd80709", global: false, template: false, file: "" },
  };
  const names = "hash,desc,dstate,target,state";
  test("F-394: a unit without options", () => {
    assert.deepEqual(cells(listings.unitFiles, file, { names }), ["da39a3e", "-", "inactive", "-", "inactive"]);
  });
  test("F-395: description, states, machine", () => {
    for (const state of ["inactive", "loaded", "launched"] as const) {
      const machine = reference({ ip: "1.2.3.4" });
      const row = { ...file, description: "some description", desired: state, state, machine };
      const shown = cells(listings.unitFiles, row, { names });
      assert.deepEqual(shown, ["da39a3e", "some description", state, "520983a8.../1.2.3.4", state]);
    }
    const gone = { ...file, machine: reference({ alive: false }) };
    assert.deepEqual(cells(listings.unitFiles, gone, { names: "target" }), ["520983a8..."]);
    assert.deepEqual(cells(listings.unitFiles, gone, { names: "target", full: true }), [id]);
  });
  test("F-396: global", () => {
    const { state: _, ...stateless } = file;
    const row = { ...stateless, global: true };
    assert.deepEqual(cells(listings.unitFiles, row, { names: "target,state,global" }), ["global", "-", "true"]);
  });
  test("F-399: hashes", () => {
    assert.deepEqual(cells(listings.unitFiles, file, { names: "hash", full: true }), [file.hash]);
  });
  test("where it comes from", () => {
    const byHand: UnitFileReport = { ...file, by: "ann@lap", atMs: sampleNowMs - 3_600_000 };
    const names = "source,file,by,since";
    assert.deepEqual(cells(listings.unitFiles, byHand, { names }), ["submitted", "-", "ann@lap", "1h ago"]);
    const git: UnitFileReport = { ...file, source: "git", file: "static/a.service" };
    assert.deepEqual(cells(listings.unitFiles, git, { names }), ["git", "static/a.service", "-", "-"]);
  });
  test("F-402: in the order of names, however they came", () => {
    const numbers = Array.from({ length: 20 }, (_, index) => String(index + 1).padStart(2, "0"));
    const shuffled = numbers.toSorted((a, b) => ((Number(a) * 7) % 20) - ((Number(b) * 7) % 20));
    const units = new Map(shuffled.map((each) => sampleUnit(`hello@${each}.service`)).map((unit) => [unit.name, unit]));
    const { desired, ...picture } = samplePicture();
    assert.ok(desired !== undefined, "the sample has units");
    const checked = reportUnitFiles({ ...picture, desired: { ...desired, units, templates: new Map() } });
    assert.deepEqual(
      checked.ok ? checked.value.map(({ name }) => name) : checked.problems,
      numbers.map((each) => `hello@${each}.service`),
    );
  });
});

suite("units", () => {
  const unit: UnitReport = { name: "a.service", machine: reference(), knowledge: "pending" };
  test("F-397: nothing heard of it", () => {
    const shown = cells(listings.units, unit, { names: "load,active,sub,hash" });
    assert.deepEqual(shown, ["-", "-", "-", "-"]);
  });
  test("F-398: systemd's words as they are", () => {
    const row: UnitReport = { ...unit, knowledge: "reported", load: "foo", active: "bar", sub: "baz" };
    const shown = cells(listings.units, row, { names: "load,active,sub,machine" });
    assert.deepEqual(shown, ["foo", "bar", "baz", "520983a8..."]);
  });
  test("what flotilla adds", () => {
    const row: UnitReport = {
      ...{ ...unit, knowledge: "reported", active: "failed", result: "exit-code", restarts: 3, source: "git" },
      ...{ target: "launched", sinceMs: sampleNowMs - 65_000, problem: { code: "x", message: "Cannot start it" } },
    };
    const names = "since,result,restarts,target,source,hold,problem";
    const shown = ["1min 5s ago", "exit-code", "3", "launched", "git", "-", "Cannot start it"];
    assert.deepEqual(cells(listings.units, row, { names }), shown);
  });
});
