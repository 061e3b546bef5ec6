// A log that remembers its events, for tests.
import type { Log, LogFields } from "../../agent/ports/log.ts";

export interface Logged {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly event: string;
  readonly error?: unknown;
  readonly fields: LogFields;
}

export class MemoryLog implements Log {
  readonly lines: Logged[];
  readonly #fields: LogFields;

  constructor(lines: Logged[] = [], fields: LogFields = {}) {
    this.lines = lines;
    this.#fields = fields;
  }

  debug(event: string, fields: LogFields = {}): void {
    this.#add({ level: "debug", event, fields });
  }

  info(event: string, fields: LogFields = {}): void {
    this.#add({ level: "info", event, fields });
  }

  warn(event: string, fields: LogFields = {}): void {
    this.#add({ level: "warn", event, fields });
  }

  error(event: string, error: unknown, fields: LogFields = {}): void {
    this.#add({ level: "error", event, error, fields });
  }

  with(fields: LogFields): Log {
    return new MemoryLog(this.lines, { ...this.#fields, ...fields });
  }

  /** Names of what was said at this level. */
  events(level: Logged["level"]): readonly string[] {
    return this.lines.filter((line) => line.level === level).map((line) => line.event);
  }

  #add(line: Logged): void {
    this.lines.push({ ...line, fields: { ...this.#fields, ...line.fields } });
  }
}
