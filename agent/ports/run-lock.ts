// That work which two processes would do over each other runs once at a time on a machine: a first boot, joining etcd.

export interface LockHolder {
  readonly pid: number;
  /** Wall ms. */
  readonly sinceMs: number;
}

export interface RunLock {
  /**
   * Takes it; resolves with the way to give it back. Rejects with a Problem while another process has it, of the code
   * that belongs to the work ("bootstrap-running", "discovery-running"), and with "bootstrap-lock" where it cannot be made. What a process leaves behind that ended without giving it back is taken over.
   */
  take(): Promise<() => Promise<void>>;
  /** Who has it and is alive. */
  holder(): Promise<LockHolder | undefined>;
}
