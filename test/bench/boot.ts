// What the first boot costs: three machines with one user-data, from power on to running units, and all of them rebooted.
import type { BootResult } from "../../agent/domain/boot-result.ts";
import type { BootedMachine } from "../system/booted/machine.ts";
import { whyNoMachines } from "../system/booted/why.ts";
import { loop } from "../system/cluster.ts";
import { FirstBoots, listUnits } from "../system/first-boots.ts";
import type { Row } from "./figures.ts";

const runs = 3;
const machineCount = 3;
const unitCount = 9;
const settledMs = 90_000;

const marks = [
  "read and applied the user-data",
  "etcd has a leader",
  "units run",
  "units run again after a reboot",
] as const;
type Times = Readonly<Record<(typeof marks)[number], number>>;

/** Seconds; medians of three new clusters. No row where machines cannot be booted. */
export async function boot(say: (text: string) => void): Promise<readonly Row[]> {
  const missing = await whyNoMachines();
  if (missing !== undefined) {
    say(`left out: ${missing}`);
    return [];
  }
  const all: Times[] = [];
  for (let run = 0; run < runs; run++) {
    say(`three new machines, ${run + 1} of ${runs}`);
    all.push(await once());
  }
  return marks.map((mark) => {
    const seconds = all.map((times) => times[mark]).sort((a, b) => a - b);
    return { until: mark, median: middle(seconds), min: seconds[0] ?? 0, max: seconds.at(-1) ?? 0 };
  });
}

async function once(): Promise<Times> {
  const template = { "templates/web@.service": loop() };
  const instances = Array.from(
    { length: unitCount },
    (_, index) => [`instances/web@${index}.service`, "-> ../templates/web@.service"] as const,
  );
  const boots = await FirstBoots.open({ units: { ...template, ...Object.fromEntries(instances) } });
  try {
    const userData = await boots.userData("three-machines.yaml", { discovery: await boots.newToken(machineCount) });
    const machines = await Promise.all(["m1", "m2", "m3"].map((name) => boots.machine(name, { userData })));
    const from = performance.now();
    const since = (): number => Math.round((performance.now() - from) / 10) / 100;
    await Promise.all(
      machines.map((machine) => machine.boot({ until: "flotilla-bootstrap.service", timeoutMs: settledMs })),
    );
    await Promise.all(machines.map((machine) => machine.waitForUnit("etcd.service", { timeoutMs: settledMs })));
    const joined = since();
    await settled(machines);
    const running = since();
    const applied = Math.max(...(await Promise.all(machines.map(applySeconds))));
    const again = performance.now();
    await Promise.all(machines.map((machine) => machine.reboot()));
    await settled(machines);
    const rebooted = Math.round((performance.now() - again) / 10) / 100;
    return {
      "read and applied the user-data": applied,
      "etcd has a leader": joined,
      "units run": running,
      "units run again after a reboot": rebooted,
    };
  } finally {
    await boots.close();
  }
}

async function settled(machines: readonly BootedMachine[]): Promise<void> {
  for (const machine of machines)
    await machine.waitFor(
      `${unitCount} units run`,
      async () => (await listUnits(machine)).filter(({ active }) => active === "active").length === unitCount,
      { timeoutMs: settledMs },
    );
}

/** By the run's own result: from its start to the last unit that was told to start. */
async function applySeconds(machine: BootedMachine): Promise<number> {
  const { startedMs, endedMs = startedMs } = JSON.parse(
    await machine.read("/var/lib/flotilla/bootstrap/result.json"),
  ) as BootResult;
  return (endedMs - startedMs) / 1000;
}

function middle(sorted: readonly number[]): number {
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
