// Commands on machines of the cluster: at once where it is this machine, else by the system's ssh(1). A command is a list of
// words, which arrive as they are whatever they hold; no shell reads them on either side.
import type { MachineReference } from "../domain/report.ts";

/** Most that is kept of each output of a command that is captured; more ends it. */
export const maxCapturedBytes = 4 * 1024 * 1024;
/** A captured command is given up after this long unless said otherwise. */
export const captureTimeoutMs = 30_000;

export type Words = readonly [string, ...string[]];

/** The machine that is meant; an `ip` of "" can only be this one. */
export type ShellMachine = Pick<MachineReference, "id" | "ip" | "hostname">;

export interface Captured {
  /** As a shell would say it: 128 and the signal's number for one that a signal ended. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface AskedOptions {
  readonly signal?: AbortSignal | undefined;
  /**
   * Whether ssh may ask at the terminal for a password or about a key, should there be a terminal; false unless set. Only for
   * one connection at a time.
   */
  readonly mayAsk?: boolean;
}

/**
 * Every call but `isHere` rejects with a Problem when the command could not be carried to the machine: "ssh-missing" (no such
 * program here), "ssh-host-key" (unknown, or not the one it was), "ssh-refused" (nobody listens, no route), "ssh-timeout",
 * "ssh-denied" (no key that it takes), "ssh-failed" (all else that ssh says), "ssh-address" (none is known),
 * "shell-missing" (the program is not on this machine), "shell-private" (a private machine that cannot be entered),
 * "shell-timeout" and "shell-output" (of `capture`), "aborted". ssh's own words are the cause. A command that ran and failed is
 * no rejection: its status is the answer.
 */
export interface MachineShell {
  /** Whether commands run without ssh. */
  isHere(machine: ShellMachine): Promise<boolean>;
  /** Runs it without input. */
  capture(
    machine: ShellMachine,
    command: Words,
    options?: AskedOptions & { readonly timeoutMs?: number },
  ): Promise<Captured>;
  /**
   * Runs it without input and hands on what it says, in order, as whole lines without their line feed (a line of more than
   * 64 KiB in parts). What is said waits while `line` has not resolved. Resolves with its status.
   */
  stream(
    machine: ShellMachine,
    command: Words,
    options: AskedOptions & { readonly line: (text: string, from: "stdout" | "stderr") => Promise<void> },
  ): Promise<number>;
  /**
   * Gives it this process's own terminal or pipes until it ends; undefined: a login. Resolves with its status. Unlike above, a
   * command of several words is joined with blanks and read by the machine's shell, as ssh(1) itself does it.
   */
  attach(
    machine: ShellMachine,
    command: readonly string[] | undefined,
    options?: { readonly signal?: AbortSignal | undefined; readonly forwardAgent?: boolean },
  ): Promise<number>;
}
