// /v2/unit-files: what the cluster is to run, from the adopted commit and by hand. Of one its text too; submitting and
// destroying one, what it is to do, and restarting it.
import { type UnitName, parseUnitName } from "../domain/names.ts";
import { Problem } from "../domain/problem.ts";
import { reportUnitFile, reportUnitFiles } from "../report/report.ts";
import { selectUnitFiles } from "../report/select.ts";
import { apiBodies } from "../text/api-document.ts";
import { Refusal, isKnown, orThrow } from "./problems.ts";
import { type Inquiry, type Resource, found, pictureOf, selectionKeys, selectionOf } from "./resource.ts";

export const unitFiles: Resource = {
  method: "GET",
  path: "/unit-files",
  gives: "units and templates of the adopted commit, and those submitted by hand; narrowed as units are",
  query: selectionKeys,
  answer: async (inquiry) => {
    const all = orThrow(reportUnitFiles(await pictureOf(inquiry)));
    return found({ unitFiles: orThrow(selectUnitFiles(all, selectionOf(inquiry))) });
  },
};

export const unitFile: Resource = {
  method: "GET",
  path: "/unit-files/:name",
  gives: "one unit or template with its text and drop-ins",
  answer: async (inquiry) => {
    const name = nameOf(inquiry);
    return found(orThrow(reportUnitFile(await pictureOf(inquiry), name)));
  },
};

export const submitUnit: Resource = {
  method: "PUT",
  path: "/unit-files/:name",
  gives: "a unit or template submitted by hand",
  takesBody: true,
  answer: async (inquiry) => {
    const { hands, by, signal } = inquiry;
    const name = nameOf(inquiry);
    const { text, dropIns = [], target, replace = false } = await inquiry.read(apiBodies.submission);
    const asked = hands.submit({ name, text, dropIns, target, replace, by }, signal);
    const outcome = await asked.catch((error: unknown) => {
      throw refused(name, error);
    });
    return { status: outcome === "unchanged" ? 200 : 201, body: { outcome } };
  },
};

export const destroyUnit: Resource = {
  method: "DELETE",
  path: "/unit-files/:name",
  gives: "a submitted unit's end",
  answer: async (inquiry) => {
    await inquiry.hands.destroy(nameOf(inquiry), inquiry.by, inquiry.signal);
    return found({ outcome: "destroyed" });
  },
};

export const targetUnit: Resource = {
  method: "PUT",
  path: "/unit-files/:name/target",
  gives: "what a unit is to do: of a submitted one its own word, of the repository's a hold",
  takesBody: true,
  answer: async (inquiry) => {
    const { hands, by, signal } = inquiry;
    const name = nameOf(inquiry);
    const { outcome, before, target } = await hands.setTarget(
      { name, by, ...(await inquiry.read(apiBodies.target)) },
      signal,
    );
    return found({ outcome, before, target });
  },
};

export const restartUnit: Resource = {
  method: "POST",
  path: "/unit-files/:name/restart",
  gives: "a restart on every machine that runs the unit; takes no body",
  answer: async (inquiry) => ({
    status: 202,
    body: { id: await inquiry.hands.restart(nameOf(inquiry), inquiry.by, inquiry.signal) },
  }),
};

function nameOf({ name }: Inquiry): UnitName {
  return orThrow(parseUnitName(name));
}

/** What is wrong with a unit's text has codes of its own, as many as there are rules: all of them refuse it. */
export function refused(name: UnitName, error: unknown): unknown {
  const problems: readonly unknown[] = error instanceof AggregateError ? error.errors : [error];
  const own = problems.flatMap((each) =>
    each instanceof Problem && !isKnown(each) && !each.code.startsWith("registry-") ? [each] : [],
  );
  if (own.length === 0 || own.length < problems.length) return error;
  return new Refusal("unit-refused", `Cannot take unit "${name}"`, own);
}
