// What was chosen, by type, with the schema's defaults for what nobody chose. For the other files of settings/ only.
import type { Problem } from "../domain/problem.ts";
import { Secret } from "../domain/settings.ts";
import type { Choices, Chosen } from "./layers.ts";
import { findOption, type SectionName } from "./options.ts";

/** Reads one option by its name; a name that has neither a value nor a default throws, because the table is wrong then. */
export class Choice {
  readonly #choices: Choices;
  readonly #missing: ReadonlyMap<string, Problem>;

  /** `missing`: secrets that were set and cannot be had yet, by their option's name. */
  constructor(choices: Choices, missing: ReadonlyMap<string, Problem> = new Map()) {
    this.#choices = choices;
    this.#missing = missing;
  }

  chosen(name: string): Chosen | undefined {
    return this.#choices.get(name);
  }

  has(name: string): boolean {
    return this.#choices.has(name);
  }

  /** Whether anything of this section was set. */
  hasSection(section: SectionName): boolean {
    return [...this.#choices.keys()].some((name) => findOption(name)?.section === section);
  }

  #value(name: string): unknown {
    return this.#choices.get(name)?.value ?? findOption(name)?.schema.default;
  }

  optional(name: string): string | undefined {
    const value = this.#value(name);
    return typeof value === "string" ? value : undefined;
  }

  text(name: string): string {
    return this.optional(name) ?? missing(name);
  }

  number(name: string): number {
    const value = this.#value(name);
    return typeof value === "number" ? value : missing(name);
  }

  ms(name: string): number {
    return Math.round(this.number(name) * 1000);
  }

  flag(name: string): boolean {
    const value = this.#value(name);
    return typeof value === "boolean" ? value : missing(name);
  }

  list(name: string): readonly string[] {
    const value = this.#value(name);
    return Array.isArray(value) ? value.map(String) : missing(name);
  }

  map(name: string): Readonly<Record<string, string>> {
    const value = this.#value(name);
    return typeof value === "object" && value !== null
      ? Object.fromEntries(Object.entries(value).map(([key, item]) => [key, String(item)]))
      : missing(name);
  }

  secret(name: string): Secret | undefined {
    const missing = this.#missing.get(name);
    if (missing !== undefined) return new Secret(missing);
    const text = this.optional(name);
    return text === undefined ? undefined : new Secret(text);
  }
}

function missing(name: string): never {
  throw new Error(`schemas/settings.json has no usable default for ${name}`);
}

/** An option's name as its author writes it: `[Git] URL`. */
export function title(name: string): string {
  const [section = "", key = ""] = name.split(".");
  return `[${section}] ${key}`;
}
