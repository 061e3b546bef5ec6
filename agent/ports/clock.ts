// Time, for loops and adapters. Nothing else in the house may ask for it.

export interface Clock {
  /** Wall clock, ms since 1970. For people to read; never for validity. */
  wallMs(): number;
  /** Monotonic ms from an arbitrary start. */
  monotonicMs(): number;
  /** Resolves after `ms`; rejects with the signal's reason when aborted, and leaves no timer behind. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** A number in [0, 1): jitter only, never a decision. */
  random(): number;
}
