// What is measured, and how. Each benchmark brings up what it needs and clears it away.
import { createClock } from "../../agent/adapters/clock.ts";
import { createSystemd } from "../../agent/adapters/systemd/systemd.ts";
import type { UnitName } from "../../agent/domain/names.ts";
import { Cluster, loop } from "../system/cluster.ts";
import { boot } from "./boot.ts";
import { change } from "./change.ts";
import { changed } from "./changed.ts";
import { type Benchmark, type Row, round, seconds, spread, timed } from "./figures.ts";
import { leaderChange } from "./leader.ts";
import { timeListings } from "./listing.ts";
import { placement } from "./placement.ts";
import { scale } from "./scale.ts";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";

const template = loop();
const quiet = { debug: noop, info: noop, warn: noop, error: noop, with: () => quiet };

export const benchmarks: readonly Benchmark[] = [
  { name: "placement", about: "the placement function alone, from nothing and with nothing to do", run: placement },
  { name: "change", about: "one change among 150,000 units on 5,000 machines, for the whole engine", run: change },
  {
    name: "scale",
    about: "many agents on one etcd: all units run, nothing happens, one machine in ten dies",
    run: scale,
  },
  {
    name: "instances",
    about: "200 instances on three machines, from `sync` until the last runs",
    run: instances,
  },
  { name: "deploy", about: "one more instance on three machines, from `sync` until it runs", run: deploy },
  { name: "failover", about: "a machine killed: noticed, and the last of its units active elsewhere", run: failover },
  { name: "leader", about: "another machine leads, after the leader has ended or was killed", run: leaderChange },
  { name: "changed", about: "100 changed units on a machine that has 1,000", run: changed },
  { name: "boot", about: "three machines from power on, by one user-data, until their units run", run: boot },
  { name: "start", about: "from the command to its end: `--version`, beside a bare Node", run: start },
  { name: "listing", about: "listings of many units, from the command to its end", run: listing },
  { name: "idle", about: "three machines with 30 units and nothing to do, over 20 s", run: idle },
];

async function instances(say: (text: string) => void): Promise<readonly Row[]> {
  const rounds: { total: number; floor: number }[] = [];
  for (let round = 1; round <= 3; round++) {
    const links = Object.fromEntries(
      Array.from({ length: 200 }, (_, index) => [`instances/w@${index}.service`, "-> ../templates/w@.service"]),
    );
    const cluster = await Cluster.start({ units: { "templates/w@.service": template } });
    try {
      await cluster.until(
        "a leader and machines",
        ({ status }) => status.machines.alive === 3 && status.adopted !== undefined,
      );
      await cluster.commit(links);
      const fromMs = performance.now();
      const synced = cluster.sync();
      const total = (await untilStarted(cluster, 200)) - fromMs;
      await synced;
      await cluster.untilActive(200);
      const shares = await Promise.all(cluster.machines.map(async (each) => [...new Set(await each.starts())]));
      const floor = await systemdAlone(shares);
      rounds.push({ total, floor });
      say(`round ${round}: ${seconds(total)} in all, systemd alone ${seconds(floor)}`);
    } finally {
      await cluster.close();
    }
  }
  return [
    { what: "from sync until all 200 run, s", ...spread(rounds.map((each) => each.total / 1000)) },
    { what: "systemd alone, files already in place, s", ...spread(rounds.map((each) => each.floor / 1000)) },
    { what: "flotilla's own share, s", ...spread(rounds.map((each) => (each.total - each.floor) / 1000)) },
  ];
}

/**
 * When that many units have written down their start: seen by looking at files, because asking the agents over and over
 * would be a load of its own.
 */
async function untilStarted(cluster: Cluster, count: number): Promise<number> {
  const endMs = performance.now() + 120_000;
  while ((await startsIn(cluster)).length < count) {
    if (performance.now() > endMs) throw new Error(`${count} units were not started in time`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return performance.now();
}

async function startsIn(cluster: Cluster): Promise<readonly string[]> {
  return (await Promise.all(cluster.machines.map((each) => each.starts()))).flat();
}

/** The same units on fresh machines, files written and read beforehand, started with nothing but D-Bus calls. */
async function systemdAlone(shares: readonly (readonly string[])[]): Promise<number> {
  const cluster = await Cluster.start({
    units: { "static/none.target": "[Unit]\nDescription=Nothing\n" },
    machines: shares.length,
  });
  const clock = createClock();
  try {
    await cluster.until("the machines", ({ status }) => status.machines.alive === shares.length);
    const managers = cluster.machines.map((each) =>
      createSystemd({
        scope: "user",
        address: each.machine?.systemdAddress,
        unitDirectory: each.machine?.unitDirectory,
        runDirectory: `${each.directory}/machine/bench`,
        concurrency: 20,
        clock,
        log: quiet,
      }),
    );
    for (const [index, systemd] of managers.entries()) {
      await systemd.write((shares[index] ?? []).map((name) => benchUnit(name as UnitName)));
      await systemd.reload();
    }
    const before = (await startsIn(cluster)).length;
    const fromMs = performance.now();
    const started = untilStarted(cluster, before + shares.flat().length);
    await Promise.all(
      managers.map((systemd, index) =>
        Promise.all(
          (shares[index] ?? []).map((name) => systemd.run("start", name as UnitName, new AbortController().signal)),
        ),
      ),
    );
    const tookMs = (await started) - fromMs;
    for (const systemd of managers) await systemd.close();
    return tookMs;
  } finally {
    await cluster.close();
  }
}

function benchUnit(name: UnitName) {
  return {
    name,
    source: "git" as const,
    file: name,
    text: template,
    dropIns: [],
    hash: "0".repeat(40) as never,
    target: "launched" as const,
    options: { machineId: undefined, machineOf: [], metadata: [], conflicts: [], replaces: [], global: false },
    onChange: "restart" as const,
    description: undefined,
    hasInstall: false,
  };
}

async function deploy(say: (text: string) => void): Promise<readonly Row[]> {
  const cluster = await Cluster.start({ units: { "templates/w@.service": template } });
  const times: number[] = [];
  try {
    await cluster.until("a leader", ({ status }) => status.machines.alive === 3 && status.adopted !== undefined);
    for (let round = 1; round <= 15; round++) {
      await cluster.commit({ [`instances/w@${round}.service`]: "-> ../templates/w@.service" });
      const fromMs = performance.now();
      const synced = cluster.sync();
      times.push((await untilStarted(cluster, round)) - fromMs);
      await synced;
    }
    say(times.map((ms) => `${Math.round(ms)} ms`).join(", "));
  } finally {
    await cluster.close();
  }
  return [{ what: "from sync until it runs, s", ...spread(times.map((ms) => ms / 1000)) }];
}

async function failover(say: (text: string) => void): Promise<readonly Row[]> {
  const noticed: number[] = [];
  const moved: number[] = [];
  const links = Object.fromEntries(
    Array.from({ length: 30 }, (_, index) => [`instances/w@${index}.service`, "-> ../templates/w@.service"]),
  );
  for (let round = 1; round <= 3; round++) {
    const cluster = await Cluster.start({ units: { "templates/w@.service": template, ...links } });
    try {
      const before = await cluster.untilActive(30);
      const leader = await cluster.until("a leader", ({ status }) => status.leader?.machine.hostname);
      const victim = cluster.machines.find((each) => each.name !== leader);
      if (victim === undefined) throw new Error("no machine to kill");
      const lost = before.filter((unit) => unit.machine.hostname === victim.name).length;
      await victim.kill();
      const fromMs = performance.now();
      await cluster.until("noticed", ({ status }) => status.machines.alive === 2);
      noticed.push(performance.now() - fromMs);
      await cluster.untilActive(30);
      moved.push(performance.now() - fromMs);
      say(
        `round ${round}: ${lost} units; noticed ${seconds(noticed.at(-1) ?? 0)}, moved ${seconds(moved.at(-1) ?? 0)}`,
      );
    } finally {
      await cluster.close();
    }
  }
  return [
    { what: "noticed, s", ...spread(noticed.map((ms) => ms / 1000)) },
    { what: "last unit active elsewhere, s", ...spread(moved.map((ms) => ms / 1000)) },
  ];
}

/** In turn, so that whatever else this computer does falls on all of them alike. */
async function start(say: (text: string) => void): Promise<readonly Row[]> {
  const executable = new URL("../../dist/flotilla", import.meta.url).pathname;
  const main = new URL("../../dist/main.js", import.meta.url).pathname;
  const commands: readonly (readonly [what: string, command: string, ...args: string[]])[] = [
    ["single executable", executable, "--version"],
    ["dist/main.js on Node", process.execPath, main, "--version"],
    ["Node alone", process.execPath, "-e", "0"],
  ];
  const found = commands.filter(([, command]) => existsSync(command));
  if (found.length < commands.length) say("The single executable has not been built: npm run build");
  const spans = found.map((): number[] => []);
  for (let round = 0; round < 20; round++)
    for (const [at, [, command, ...args]] of found.entries()) {
      const { ms, value } = timed(() => spawnSync(command, args, { env: {} }));
      if (value.status !== 0) throw new Error(`${command} ended with ${value.status}`);
      spans[at]?.push(ms);
    }
  return found.map(([what], at) => {
    const { median, least, most, runs } = spread(spans[at] ?? []);
    return { what, medianMs: Math.round(median), leastMs: Math.round(least), mostMs: Math.round(most), runs };
  });
}

async function listing(): Promise<readonly Row[]> {
  const main = new URL("../../dist/main.js", import.meta.url).pathname;
  const spans = await timeListings(main, [10, 10_000]);
  return spans.map(({ units, command, spansMs }) => {
    const { median, least, most, runs } = spread(spansMs);
    const ms = { medianMs: Math.round(median), leastMs: Math.round(least), mostMs: Math.round(most) };
    return { units, command, ...ms, runs };
  });
}

async function idle(): Promise<readonly Row[]> {
  const links = Object.fromEntries(
    Array.from({ length: 30 }, (_, index) => [`instances/w@${index}.service`, "-> ../templates/w@.service"]),
  );
  const cluster = await Cluster.start({ units: { "templates/w@.service": template, ...links } });
  const spanMs = 20_000;
  try {
    await cluster.untilActive(30);
    // The view keeps its mirror for a minute after the last question.
    await new Promise((resolve) => setTimeout(resolve, 75_000));
    const leader = (await readLeader(cluster)) ?? "";
    await new Promise((resolve) => setTimeout(resolve, 75_000));
    const before = await Promise.all(cluster.machines.map((each) => cpuMs(each.agentPid)));
    const requestsBefore = await cluster.etcd.requests();
    await new Promise((resolve) => setTimeout(resolve, spanMs));
    const requests = (await cluster.etcd.requests()) - requestsBefore;
    const rows: Row[] = [];
    for (const [index, each] of cluster.machines.entries()) {
      const cpu = (await cpuMs(each.agentPid)) - (before[index] ?? 0);
      rows.push({
        what: `${each.name}${each.name === leader ? " (leads)" : ""}`,
        residentMB: Math.round((await residentBytes(each.agentPid)) / 1e6),
        cpuPercent: round((cpu / spanMs) * 100),
      });
    }
    rows.push({ what: "all three", requestsPerSecond: round(requests / (spanMs / 1000)) });
    return rows;
  } finally {
    await cluster.close();
  }
}

async function readLeader(cluster: Cluster): Promise<string | undefined> {
  return (await cluster.look()).status.leader?.machine.hostname;
}

/** utime + stime of proc(5), in ms; a tick is 10 ms. */
async function cpuMs(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, "utf8")).split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

async function residentBytes(pid: number): Promise<number> {
  const match = /VmRSS:\s+(\d+) kB/.exec(await readFile(`/proc/${pid}/status`, "utf8"));
  return Number(match?.[1] ?? 0) * 1024;
}

function noop(): void {
  // The bench does not log.
}
