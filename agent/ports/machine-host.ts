// Machines for the playground and for tests: each is a systemd of its own on this one computer, with nothing of the
// host's but its files, which it cannot change. One adapter; where it cannot work it says what is missing.

export interface PrivateMachine {
  /** The machine's first process, whose death is the machine's. */
  readonly pid: number;
  /** `unix:path=` address of the machine's systemd, for processes outside it. */
  readonly systemdAddress: string;
  /** Its systemd's runtime unit folder. */
  readonly unitDirectory: string;
  /** Resolves when the machine is gone and everything that it had outside its own folder is cleared away. */
  readonly exited: Promise<void>;
  /** As if its power were cut: every process of it ends at once. Resolves with `exited`. */
  kill(): Promise<void>;
  /** Orderly: its units are stopped first, for at most ten seconds, then as `kill`. */
  stop(): Promise<void>;
}

export interface MachineHost {
  /**
   * A running machine, its systemd ready to take calls. `directory` is the machine's own: absolute, made when missing,
   * left in place afterwards, and the only place where it can write; all processes of the machine end when this process
   * does, however it ends. Rejects with Problem "machine-host" (no systemd here, or no right to a namespace or a control
   * group: the hint says how to get it), "machine-start" (it did not come up in time), "disk-write", "aborted".
   */
  startMachine(options: MachineOptions): Promise<PrivateMachine>;
}

export interface MachineOptions {
  readonly directory: string;
  /** For people, and part of the names of what is made for it: letters, digits, "-". */
  readonly name: string;
  readonly signal?: AbortSignal;
}
