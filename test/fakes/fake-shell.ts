// Machines for tests of the commands that go to them: what is run is kept, and answered as the test says; by default each
// machine says what it was asked to run.
import { Problem } from "../../agent/domain/problem.ts";
import type { Captured, MachineShell, ShellMachine } from "../../agent/ports/machine-shell.ts";

export interface Ran {
  readonly how: "capture" | "stream" | "attach";
  readonly machine: string;
  /** Undefined: a login. */
  readonly command: readonly string[] | undefined;
}

export type FakeAnswer = Partial<Captured> | Error;

export class FakeShell implements MachineShell {
  readonly ran: Ran[] = [];
  /** Streams of these hostnames go on until they are given up. */
  readonly lasting = new Set<string>();
  /** What the machine of this hostname answers. */
  answer: (hostname: string, command: readonly string[]) => FakeAnswer;

  constructor(
    answer: FakeShell["answer"] = (hostname, command) => ({ stdout: `(${hostname} runs: ${command.join(" ")})\n` }),
  ) {
    this.answer = answer;
  }

  isHere(): Promise<boolean> {
    return Promise.resolve(false);
  }

  async capture(machine: ShellMachine, command: readonly string[]): Promise<Captured> {
    return this.#run("capture", machine, command);
  }

  async stream(
    machine: ShellMachine,
    command: readonly string[],
    { line, signal }: Parameters<MachineShell["stream"]>[2],
  ): Promise<number> {
    const { status, stdout, stderr } = this.#run("stream", machine, command);
    for (const text of linesOf(stdout)) await line(text, "stdout");
    for (const text of linesOf(stderr)) await line(text, "stderr");
    if (!this.lasting.has(machine.hostname)) return status;
    await new Promise<void>((resolve) => {
      if (signal?.aborted === true) resolve();
      else signal?.addEventListener("abort", () => resolve(), { once: true });
    });
    throw new Problem("aborted", "Cannot wait: it was given up");
  }

  async attach(machine: ShellMachine, command: readonly string[] | undefined): Promise<number> {
    return this.#run("attach", machine, command).status;
  }

  #run(how: Ran["how"], machine: ShellMachine, command: readonly string[] | undefined): Captured {
    this.ran.push({ how, machine: machine.hostname, command });
    const answer = this.answer(machine.hostname, command ?? []);
    if (answer instanceof Error) throw answer;
    return { status: 0, stdout: "", stderr: "", ...answer };
  }
}

function linesOf(text: string): readonly string[] {
  return text === "" ? [] : text.split("\n").slice(0, text.endsWith("\n") ? -1 : undefined);
}
