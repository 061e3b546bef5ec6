// The file in which a discovery service keeps its tokens, written and read back. Given to api/, which keeps it on a disk.
import schema from "../../schemas/discovery-service.json" with { type: "json" };
import { type Checked, Problem, invalid } from "../domain/problem.ts";
import { canonicalJson } from "./canonical-json.ts";
import { compileSchema } from "./schema.ts";

/** As schemas/discovery-service.json says. */
export interface StoredService {
  readonly clusterId: string;
  readonly index: number;
  readonly tokens: readonly {
    readonly token: string;
    readonly size: number;
    readonly createdIndex: number;
    readonly createdAtMs: number;
    readonly formedAtMs?: number;
    readonly entries: readonly { readonly id: string; readonly value: string; readonly createdIndex: number }[];
  }[];
}

const checkShape = compileSchema<StoredService>(schema, { code: "discovery-store" });

export const encodeDiscoveryStore = (stored: StoredService): string => canonicalJson(stored);

/** Problems have the code "discovery-store". */
export function parseDiscoveryStore(text: string): Checked<StoredService> {
  try {
    return checkShape(JSON.parse(text));
  } catch (cause) {
    return invalid(new Problem("discovery-store", "Cannot read the tokens of the discovery service", { cause }));
  }
}
