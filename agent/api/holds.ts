// /v2/holds: operators' words on the repository's units, which are stronger than the repository's until they are lifted.
import type { Hold } from "../domain/submitted.ts";
import type { HoldReport } from "../domain/report.ts";
import { reportHolds } from "../report/report.ts";
import { apiBodies } from "../text/api-document.ts";
import { type Resource, found, wholePictureOf } from "./resource.ts";

export const holds: Resource = {
  method: "GET",
  path: "/holds",
  gives: "holds on the repository's units",
  answer: async (inquiry) => found({ holds: reportHolds(await wholePictureOf(inquiry, "what is held")) }),
};

export const placeHolds: Resource = {
  method: "POST",
  path: "/holds",
  gives: "holds on all units that the patterns name",
  takesBody: true,
  answer: async (inquiry) => {
    const { hands, by, signal } = inquiry;
    const { patterns, target = "loaded", why, forMs } = await inquiry.read(apiBodies.hold);
    const placed = await hands.hold({ patterns, target, why, forMs, by }, signal);
    return found({ holds: placed.map(describe) });
  },
};

export const liftHolds: Resource = {
  method: "DELETE",
  path: "/holds",
  gives: "the end of all holds that the patterns name, in the body or as unit=GLOB",
  query: ["unit"],
  takesBody: true,
  answer: async (inquiry) => {
    const { hands, by, signal } = inquiry;
    // A client that cannot send a body along with DELETE says it in the query
    const asked = inquiry.query("unit");
    const { patterns } = asked.length > 0 ? { patterns: asked } : await inquiry.read(apiBodies.resume);
    return found({ resumed: await hands.resume(patterns, by, signal) });
  },
};

/** What the registry has of it, and nothing that a newer version may have put beside it. */
function describe({ unit, target, by, why, atMs, untilMs }: Hold): HoldReport {
  return {
    unit,
    target,
    by,
    atMs,
    ...(why === undefined ? {} : { why }),
    ...(untilMs === undefined ? {} : { untilMs }),
  };
}
