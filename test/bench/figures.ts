// What benchmarks hand back, and the few sums that all of them do.
import { cpus, loadavg } from "node:os";

export type Row = Readonly<Record<string, string | number>>;

/** Rows by the name of their benchmark. */
export type Results = Readonly<Record<string, readonly Row[]>>;

export interface BenchOptions {
  /** Machines and units of "scale". */
  readonly agents: number;
  readonly units: number;
  /** For what is drawn or counted and is no table. */
  readonly keep: (name: string, rows: readonly Row[]) => void;
}

export interface Benchmark {
  readonly name: string;
  readonly about: string;
  readonly run: (say: (text: string) => void, options: BenchOptions) => Promise<readonly Row[]>;
}

export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
  readonly runs: number;
}

export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)] ?? 0;
  return { median: round(median), least: round(sorted[0] ?? 0), most: round(sorted.at(-1) ?? 0), runs: sorted.length };
}

export function timed<T>(work: () => T): { readonly value: T; readonly ms: number } {
  const fromMs = performance.now();
  const value = work();
  return { value, ms: performance.now() - fromMs };
}

export function round(value: number): number {
  return Number(value.toFixed(3));
}

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}

export function megabytes(bytes: number): number {
  return Math.round(bytes / 1e6);
}

/** 30000 as "30,000". */
export function grouped(value: number): string {
  return value.toLocaleString("en-US");
}

/** Node's figures beside others' need this: what else the computer does. */
export function computer(): string {
  const load = loadavg()[0] ?? 0;
  return `${cpus().length} processors, load ${load.toFixed(1)}, Node ${process.version}`;
}

export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  { timeoutMs, everyMs = 20 }: { readonly timeoutMs: number; readonly everyMs?: number },
): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error(`Not seen within ${timeoutMs} ms: ${what}`);
    await pass(everyMs);
  }
}

export function pass(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
