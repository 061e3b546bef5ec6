// That only one first boot runs at a time on a machine.

export interface LockHolder {
  readonly pid: number;
  /** Wall ms. */
  readonly sinceMs: number;
}

export interface RunLock {
  /**
   * Takes it; resolves with the way to give it back. Rejects with Problem "bootstrap-running" while another process has
   * it. What a process leaves behind that ended without giving it back is taken over.
   */
  take(): Promise<() => Promise<void>>;
  /** Who has it and is alive. */
  holder(): Promise<LockHolder | undefined>;
}
