// When a cron expression is next due.

export interface Cron {
  /** The first moment after `afterMs` (wall clock, ms), in ms. `schedule` was accepted by `check`. */
  next(schedule: string, afterMs: number): number;
}
