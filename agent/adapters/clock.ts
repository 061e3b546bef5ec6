// The real clock, for wire. The only place where the house asks for time, timers and chance.
import { performance } from "node:perf_hooks";
import type { Clock } from "../ports/clock.ts";

/** Longer timers than this fire at once in Node: longer sleeps are slept in pieces. */
const longestTimerMs = 2 ** 31 - 1;

export function createClock(): Clock {
  return {
    wallMs: () => Date.now(),
    monotonicMs: () => performance.now(),
    random: () => Math.random(),
    sleep: async (ms, signal) => {
      for (let left = ms; ; left -= longestTimerMs) {
        await sleepOnce(Math.max(0, Math.min(Math.ceil(left), longestTimerMs)), signal);
        if (left <= longestTimerMs) return;
      }
    },
  };
}

function sleepOnce(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    if (signal?.aborted === true) stop();
    else signal?.addEventListener("abort", stop, { once: true });
  });
}
