// Starts one private machine, says its pid (or why not) on a line, and waits to be killed. For machine-host.test.ts.
import { machineHost } from "../../agent/adapters/machine-host.ts";
import { Problem, describeProblem, toRecord } from "../../agent/domain/problem.ts";

const [directory = "", name = ""] = process.argv.slice(2);
try {
  const machine = await machineHost.startMachine({ directory, name });
  console.log(machine.pid);
  await machine.exited;
} catch (error) {
  if (!(error instanceof Problem)) throw error;
  console.log(`${error.code}: ${describeProblem(toRecord(error)).split("\n").join(" ")}`);
}
