// The shape of what a boot found and keeps for the next one. Given to bootstrap/.
import schema from "../../schemas/boot-found.json" with { type: "json" };
import type { Checked } from "../domain/problem.ts";
import type { InstanceMetadata } from "../domain/user-data.ts";
import { compileSchema } from "./schema.ts";

export interface BootFound {
  readonly machineId: string;
  /** A name; whether there is such a source is not checked. */
  readonly source: string;
  readonly where: string;
  readonly metadata: InstanceMetadata;
  /** In base64, not checked. */
  readonly userData: string;
}

/** Problems have the code "boot-kept". */
export const checkBootFound: (value: unknown) => Checked<BootFound> = compileSchema(schema, { code: "boot-kept" });
