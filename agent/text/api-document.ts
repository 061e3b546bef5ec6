// The API's description (OpenAPI 3.1), which the API answers with, and the checks of the bodies that it takes: both from
// schemas/openapi.json. Given to api/.
import document from "../../schemas/openapi.json" with { type: "json" };
import type { Checked } from "../domain/problem.ts";
import type { TargetState } from "../domain/unit.ts";
import { compileSchema } from "./schema.ts";

/** The whole document, to be sent as it is. */
export const apiDocument: object = document;

export interface SubmissionBody {
  readonly text: string;
  readonly dropIns?: readonly { readonly name: string; readonly text: string }[];
  readonly target?: TargetState;
  readonly replace?: boolean;
}

export interface TargetBody {
  readonly target: TargetState;
  readonly why?: string;
  readonly forMs?: number;
}

export interface HoldBody {
  readonly patterns: readonly string[];
  readonly target?: TargetState;
  readonly why?: string;
  readonly forMs?: number;
}

export interface ResumeBody {
  readonly patterns: readonly string[];
}

export interface DrainBody {
  readonly withinMs?: number;
}

export interface MachineBody {
  readonly metadata: Readonly<Record<string, string | null>>;
}

/** Each names every problem of a body that is not so: code "api-body". */
export const apiBodies = {
  submission: shapeOf<SubmissionBody>("SubmissionBody"),
  target: shapeOf<TargetBody>("TargetBody"),
  hold: shapeOf<HoldBody>("HoldBody"),
  machine: shapeOf<MachineBody>("MachineBody"),
  drain: shapeOf<DrainBody>("DrainBody"),
  resume: shapeOf<ResumeBody>("ResumeBody"),
} as const;

function shapeOf<T>(name: keyof typeof document.components.schemas): (body: unknown) => Checked<T> {
  return compileSchema<T>(
    { $schema: document.jsonSchemaDialect, ...document.components.schemas[name] },
    { code: "api-body" },
  );
}
