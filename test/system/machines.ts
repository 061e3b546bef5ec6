// Private machines for tests: each in a folder of its own, taken away with it. Says whether this host can have any.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { machineHost } from "../../agent/adapters/machine-host.ts";
import { Problem, describeProblem, toRecord } from "../../agent/domain/problem.ts";
import type { PrivateMachine } from "../../agent/ports/machine-host.ts";

export interface TestMachine extends PrivateMachine {
  readonly directory: string;
  /** Ends the machine and takes its folder away. */
  dispose(): Promise<void>;
}

export async function startTestMachine(name: string): Promise<TestMachine> {
  const directory = await mkdtemp(join(tmpdir(), "flotilla-"));
  try {
    const machine = await machineHost.startMachine({ directory, name });
    return {
      pid: machine.pid,
      systemdAddress: machine.systemdAddress,
      unitDirectory: machine.unitDirectory,
      exited: machine.exited,
      kill: () => machine.kill(),
      stop: () => machine.stop(),
      directory,
      dispose: async () => {
        await machine.kill();
        await rm(directory, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
}

/** Why this host cannot have private machines, in one line; undefined when it can. */
export async function machinesMissing(): Promise<string | undefined> {
  try {
    await (await startTestMachine("probe")).dispose();
    return undefined;
  } catch (error) {
    if (error instanceof Problem && error.code === "machine-host") return describeProblem(toRecord(error));
    throw error;
  }
}
