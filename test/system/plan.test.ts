// A plan is kept: what it says of a commit is what then happens on three real machines, unit by unit and start by start; and
// from an exported state, without a cluster to ask, it says the same.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { lstat, mkdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { ClusterPlan, PlanAction, PlannedUnit } from "../../agent/domain/plan.ts";
import type { ProblemRecord } from "../../agent/domain/problem.ts";
import { Cluster, type Sight, loop } from "./cluster.ts";
import { withoutEtcd } from "./etcd-server.ts";

const program = new URL("../../dist/main.js", import.meta.url).pathname;

type Files = Readonly<Record<string, string | null>>;
type Plan = ClusterPlan & { readonly problems: readonly ProblemRecord[] };

const eu = "\n[X-Fleet]\nMachineMetadata=region=eu\n";
/** Writes down each reload, too. */
const reloading = (edition: number): string =>
  loop(`ExecReload=/bin/sh -c 'echo %n >>%t/reloads'\nEnvironment=EDITION=${edition}\n\n[X-Fleet]\nOnChange=reload\n`);
const web = (edition: number): string => loop(`Environment=EDITION=${edition}\n\n[X-Fleet]\nConflicts=web@*.service\n`);

const units: Files = {
  "static/alone.service": loop(eu),
  "static/side.service": loop("\n[X-Fleet]\nMachineOf=alone.service\n"),
  "static/everywhere.service": loop("\n[X-Fleet]\nGlobal=true\n"),
  "static/quiet.service": reloading(1),
  "static/old.service": loop(),
  "templates/web@.service": web(1),
  "instances/web@1.service": "-> ../templates/web@.service",
  "instances/web@2.service": "-> ../templates/web@.service",
};
/** alone, side, everywhere on three, quiet, old, web@1, web@2. */
const placed = 9;

describe("a plan and what comes of it", { timeout: 600_000, skip: withoutEtcd }, () => {
  let cluster: Cluster;
  before(async () => {
    const files = units as Readonly<Record<string, string>>;
    cluster = await Cluster.start({ units: files, metadata: ["region=eu", "region=eu", "region=us"] });
    await cluster.untilActive(placed);
  });
  after(() => cluster.close());

  const work = (): string => join(cluster.directory, "work");

  /** Runs the built program in the working copy; with an agent unless `alone`. */
  function flotilla(
    words: readonly string[],
    { alone = false }: { readonly alone?: boolean } = {},
  ): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
    const socket = alone ? {} : { FLOTILLA_SOCKET: cluster.machine("m1").socket };
    const env = { PATH: process.env["PATH"], ...socket };
    return new Promise((done) => {
      const options = { cwd: work(), env, timeout: 60_000 };
      const child = execFile(process.execPath, [program, ...words], options, (error, stdout, stderr) => {
        done({ code: error === null ? 0 : (child.exitCode ?? -1), stdout, stderr });
      });
    });
  }

  /** The files as they will be, in the working copy alone. */
  async function draft(files: Files): Promise<void> {
    for (const [path, text] of Object.entries(files)) {
      const file = join(work(), path);
      await mkdir(dirname(file), { recursive: true });
      if ((await lstat(file).catch(() => undefined)) !== undefined) await rm(file);
      if (text?.startsWith("-> ") === true) await symlink(text.slice(3), file);
      else if (text !== null) await writeFile(file, text);
    }
  }

  async function planned(...words: readonly string[]): Promise<Plan> {
    const { code, stdout, stderr } = await flotilla(["plan", "--json", ...words]);
    assert.equal(code, 2, stderr);
    return JSON.parse(stdout) as Plan;
  }

  /** Lines of a file that units write, by machine. */
  async function linesOf(name: "starts" | "reloads"): Promise<ReadonlyMap<string, readonly string[]>> {
    const read = cluster.machines.map(async (machine) => {
      const text = await readFile(join(machine.directory, "machine", "run", name), "utf8").catch(() => "");
      return [machine.name, text.split("\n").filter((line) => line !== "")] as const;
    });
    return new Map(await Promise.all(read));
  }

  /** `unit on machine`, of what each machine was told to have, with what lies there. */
  const placesOf = ({ units: all }: Sight): ReadonlyMap<string, string | undefined> =>
    new Map(
      all
        .filter(({ target }) => target === "launched" || target === "loaded")
        .map(({ name, machine, hash }) => [`${name} on ${machine.hostname}`, hash]),
    );

  const doing = (plan: Plan, ...wanted: readonly PlanAction[]): readonly string[] =>
    plan.units
      .flatMap(({ name, actions }) =>
        actions.flatMap(({ action, machine }) => (wanted.includes(action) ? [`${name} on ${machine.hostname}`] : [])),
      )
      .sort();

  const gained = (
    now: ReadonlyMap<string, readonly string[]>,
    then: ReadonlyMap<string, readonly string[]>,
  ): readonly string[] =>
    [...now]
      .flatMap(([machine, lines]) => lines.slice(then.get(machine)?.length ?? 0).map((name) => `${name} on ${machine}`))
      .sort();

  /** Commits and holds the cluster to the plan: where everything is, with which text, and what was started and reloaded. */
  async function mustComeAbout(plan: Plan, files: Files): Promise<void> {
    const [starts, reloads, sight] = [await linesOf("starts"), await linesOf("reloads"), await cluster.look()];
    const expected = new Set(placesOf(sight).keys());
    for (const { name, before: was, after: is } of plan.units) {
      for (const { hostname } of was?.machines ?? []) expected.delete(`${name} on ${hostname}`);
      for (const { hostname } of is?.machines ?? []) expected.add(`${name} on ${hostname}`);
    }
    await cluster.commit(files);
    assert.equal((await cluster.sync()).outcome, "adopted");
    const [starting, reloadingNow] = [doing(plan, "start", "restart"), doing(plan, "reload")];
    await cluster.until("everything is where the plan says", async (now) => {
      const hashes = new Map(now.files.map(({ name, hash }) => [name, hash]));
      const places = placesOf(now);
      const isThere = now.units.every(({ name, hash }) => hashes.get(name) === hash);
      const hasAll = places.size === expected.size && [...expected].every((place) => places.has(place));
      const begun = gained(await linesOf("starts"), starts).length >= starting.length;
      const reloaded = gained(await linesOf("reloads"), reloads).length >= reloadingNow.length;
      return isThere && hasAll && begun && reloaded && now.units.length === expected.size;
    });
    assert.deepEqual(gained(await linesOf("starts"), starts), starting);
    assert.deepEqual(gained(await linesOf("reloads"), reloads), reloadingNow);
    assert.deepEqual((await flotilla(["plan"])).stdout, "No change\n");
  }

  const briefly = ({ units: all }: Plan): readonly string[] =>
    all.map(({ name, change, actions }) =>
      `${name} ${change} ${[...new Set(actions.map(({ action }) => action))].join(" ")}`.trim(),
    );

  const find = ({ units: all }: Plan, name: string): PlannedUnit => {
    const found = all.find((unit) => unit.name === name);
    assert.ok(found, `the plan has ${name}`);
    return found;
  };

  test("what the cluster runs is no change", async () => {
    assert.deepEqual(await flotilla(["plan"]), { code: 0, stdout: "No change\n", stderr: "" });
    assert.equal((await flotilla(["plan", "main"])).code, 0);
  });

  test("added, changed, reloaded and removed", async () => {
    const files = {
      "templates/web@.service": web(2),
      "instances/web@3.service": "-> ../templates/web@.service",
      "static/quiet.service": reloading(2),
      "static/old.service": null,
    };
    await draft(files);
    const plan = await planned();
    assert.deepEqual(briefly(plan), [
      "old.service removed stop",
      "quiet.service changed reload",
      "web@.service changed",
      "web@1.service changed restart",
      "web@2.service changed restart",
      "web@3.service added start",
    ]);
    await mustComeAbout(plan, files);
  });

  test("moved with the unit that it follows", async () => {
    const files = { "static/alone.service": loop("\n[X-Fleet]\nMachineMetadata=region=us\n") };
    await draft(files);
    const plan = await planned();
    assert.deepEqual(briefly(plan), ["alone.service changed stop start", "side.service moved stop start"]);
    assert.deepEqual(
      find(plan, "side.service").after?.machines.map(({ hostname }) => hostname),
      ["m3"],
    );
    await mustComeAbout(plan, files);
  });

  test("a unit that no machine takes waits, as the plan says", async () => {
    const files = { "static/mars.service": loop("\n[X-Fleet]\nMachineMetadata=region=mars\n") };
    await draft(files);
    const plan = await planned();
    assert.deepEqual(
      find(plan, "mars.service").waits?.map(({ rule, machines }) => [rule, machines]),
      [["metadata", 3]],
    );
    await mustComeAbout(plan, files);
    assert.deepEqual((await cluster.look()).status.units.waiting, ["mars.service"]);
  });

  test("a held unit stays held", async () => {
    assert.equal((await flotilla(["hold", "alone.service", "--reason", "disk"])).code, 0);
    const files = { "static/alone.service": loop("Environment=EDITION=3\n\n[X-Fleet]\nMachineMetadata=region=us\n") };
    await draft(files);
    const plan = await planned();
    assert.deepEqual(briefly(plan), ["alone.service changed rewrite"]);
    assert.equal(find(plan, "alone.service").hold?.why, "disk");
    await mustComeAbout(plan, files);
    assert.equal((await flotilla(["resume", "alone.service"])).code, 0);
  });

  test("a commit that would be refused is refused for the same reasons", async () => {
    const files = {
      "static/broken.service": "[Service\nExecStart=/bin/true\n",
      "instances/web@9.service": "-> ../nowhere",
    };
    await draft(files);
    const { code, stdout } = await flotilla(["plan", "--json"]);
    assert.equal(code, 1);
    const { problems } = JSON.parse(stdout) as Plan;
    await cluster.commit(files);
    const refused = await cluster.sync();
    assert.equal(refused.outcome, "refused");
    assert.deepEqual(
      problems.map(({ message, file }) => [file, message]),
      refused.problems.map(({ message, file }) => [file, message]),
    );
    assert.equal((await flotilla(["plan", "HEAD"])).code, 1);
    await cluster.commit({ "static/broken.service": null, "instances/web@9.service": null });
    assert.equal((await cluster.sync()).outcome, "adopted");
  });

  test("from an exported state, with no cluster to ask, the plan is the same", async () => {
    await cluster.until("all is quiet", ({ units: all }) => all.every(({ active }) => active === "active"));
    const exported = await flotilla(["state"]);
    assert.equal(exported.code, 0, exported.stderr);
    const file = join(cluster.directory, "state.json");
    await writeFile(file, exported.stdout);
    await draft({ "templates/web@.service": web(4), "static/everywhere.service": null });
    const asked = await planned();
    const { code, stdout, stderr } = await flotilla(["plan", "--json", "--state", file], { alone: true });
    assert.equal(code, 2, stderr);
    assert.deepEqual({ ...(JSON.parse(stdout) as Plan), atMs: 0 }, { ...asked, atMs: 0 });
    // The first commit: what is in it now would go back
    const first = await flotilla(["plan", "main~6", "--state", file], { alone: true });
    assert.equal(first.code, 2, first.stderr);
    assert.match(first.stdout, /^old\.service\tadded\tstart\t/m);
    assert.equal((await flotilla(["plan"], { alone: true })).code, 3);
  });
});
