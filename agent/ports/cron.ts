// When a cron expression is next due.

export interface Cron {
  /** The first moment after `afterMs` (wall clock, ms), in ms. `schedule` was accepted by `checkSchedule` (adapters/cron.ts). */
  next(schedule: string, afterMs: number): number;
}
