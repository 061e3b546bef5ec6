// Bodies that fleet's API v1 takes, read as leniently as fleet reads them: unknown keys are passed over, a key's case does
// not matter, null is nothing. Inner part of fleet.ts.
import { type Checked, Problem, invalid, valid } from "../domain/problem.ts";
import type { UnitOption } from "../text/unit-options.ts";
import { type BodyOptions, readBody } from "./body.ts";
import { FleetFailure } from "./fleet-answers.ts";

/** A unit as a client sends it; "" for what it leaves out. */
export interface UnitBody {
  readonly name: string;
  readonly options: readonly UnitOption[];
  readonly desiredState: string;
}

/** One change of machine metadata as a client sends it, unchecked. */
export interface MetadataOperation {
  readonly op: string;
  readonly path: string;
  readonly value: string;
}

/** Exactly one Content-Type, and JSON: else 415. */
export function mustBeJson(headers: Headers): void {
  const given = headers.get("content-type");
  // Several headers of one name come as one, parted by commas
  const types = given === null ? [] : given.split(",");
  if (types.length !== 1) throw new FleetFailure(415, `expected 1 Content-Type, got ${types.length}`);
  const [type = ""] = (types[0] ?? "").split(";");
  if (type.trim().toLowerCase() === "application/json") return;
  throw new FleetFailure(415, "only acceptable Content-Type is application/json");
}

/** The unit in the body; else 400. */
export async function readUnitBody(request: Request, options: BodyOptions): Promise<UnitBody> {
  const read = await readJson(request, options);
  const unit = read.ok ? unitOf(read.value) : read;
  if (unit.ok) return unit.value;
  throw new FleetFailure(400, `unable to decode body: ${reasons(unit.problems)}`);
}

/** The changes in the body, in order; else 400. */
export async function readOperations(request: Request, options: BodyOptions): Promise<readonly MetadataOperation[]> {
  const read = await readJson(request, options);
  const operations = read.ok ? operationsOf(read.value) : read;
  if (operations.ok) return operations.value;
  throw new FleetFailure(400, reasons(operations.problems));
}

function unitOf(body: unknown): Checked<UnitBody> {
  const reader = new FieldReader(body, "the body");
  const name = reader.text("name");
  const desiredState = reader.text("desiredState");
  const options = reader.list("options").map((each, index) => {
    const option = new FieldReader(each, `options[${index}]`, reader.faults);
    return { section: option.text("section"), name: option.text("name"), value: option.text("value") };
  });
  return reader.result({ name, options, desiredState });
}

function operationsOf(body: unknown): Checked<readonly MetadataOperation[]> {
  if (!Array.isArray(body)) return fault("the body must be a list of operations");
  const faults: string[] = [];
  const operations = body.map((each: unknown, index) => {
    const operation = new FieldReader(each, `[${index}]`, faults);
    return { op: operation.text("op"), path: operation.text("path"), value: operation.nested("value") };
  });
  return faults.length === 0 ? valid(operations) : fault(...faults);
}

/** Faults that are told of one body. */
const maxFaults = 5;

/** Reads the fields of one object; what is wrong with them is gathered. */
class FieldReader {
  readonly faults: string[];
  readonly #what: string;
  readonly #fields: ReadonlyMap<string, unknown>;

  constructor(value: unknown, what: string, faults: string[] = []) {
    this.faults = faults;
    this.#what = what;
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    if (!isObject && value !== null) this.#complain(`${what} must be an object`);
    this.#fields = new Map(isObject ? Object.entries(value).map(([key, each]) => [key.toLowerCase(), each]) : []);
  }

  text(key: string): string {
    return this.#textOf(key, this.#field(key));
  }

  /** A text, or an object with that text as its `value`: fleet's program and its documentation differ. */
  nested(key: string): string {
    const value = this.#field(key);
    if (typeof value !== "object" || value === null) return this.#textOf(key, value);
    return new FieldReader(value, `${key} of ${this.#what}`, this.faults).text("value");
  }

  list(key: string): readonly unknown[] {
    const value = this.#field(key) ?? [];
    if (Array.isArray(value)) return value as readonly unknown[];
    this.#complain(`${key} of ${this.#what} must be a list`);
    return [];
  }

  result<T>(value: T): Checked<T> {
    return this.faults.length === 0 ? valid(value) : fault(...this.faults);
  }

  #field(key: string): unknown {
    return this.#fields.get(key.toLowerCase());
  }

  #textOf(key: string, value: unknown): string {
    if (typeof value === "string") return value;
    if (value !== undefined && value !== null) this.#complain(`${key} of ${this.#what} must be a text`);
    return "";
  }

  #complain(text: string): void {
    if (this.faults.length < maxFaults) this.faults.push(text);
  }
}

async function readJson(request: Request, options: BodyOptions): Promise<Checked<unknown>> {
  const bytes = await readBody(request, options);
  if (bytes.length === 0) return fault("EOF");
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    return invalid(new Problem("api-body-json", "it is not UTF-8", { cause }));
  }
  try {
    return valid(JSON.parse(text) as unknown);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    return invalid(new Problem("api-body-json", reason.slice(0, 200), { cause }));
  }
}

function fault<T>(...texts: readonly string[]): Checked<T> {
  return invalid(...texts.map((text) => new Problem("api-body", text)));
}

function reasons(problems: readonly Problem[]): string {
  return problems.map(({ message }) => message).join("; ");
}
