// Units of fleet's API v1: a unit is a name, an ordered list of options, what it is to do and where it is. Inner part of
// fleet.ts. A unit of the repository can be told what to do, which is a hold; its options are the repository's.
import type { ClusterPicture } from "../domain/cluster.ts";
import { fleetNameFault } from "../domain/fleet-names.ts";
import { type UnitName, byName, isTemplate, parseUnitName } from "../domain/names.ts";
import { Problem, describeProblem } from "../domain/problem.ts";
import { type TargetState, type Unit, targetStates } from "../domain/unit.ts";
import { fleetObjection } from "../desired/fleet-objections.ts";
import { reportUnitFile } from "../report/report.ts";
import {
  type OptionsText,
  type UnitOption,
  canonicalOfTexts,
  optionsOfTexts,
  textOfOptions,
} from "../text/unit-options.ts";
import { FleetFailure, done, json, unitUnknown, withoutEmpty } from "./fleet-answers.ts";
import { mustBeJson, readUnitBody } from "./fleet-body.ts";
import { pageAsked, pageOf } from "./fleet-pages.ts";
import type { FleetInquiry } from "./fleet-inquiry.ts";
import { orThrow } from "./problems.ts";
import { refused } from "./unit-files.ts";

/** GET /units: units and templates, in name order. */
export function listUnits({ picture, query }: FleetInquiry): Response {
  const { units, templates } = wantedIn(picture);
  const all = [...units.values(), ...templates.values()].sort((a, b) => byName(a.name, b.name));
  const { items, nextPageToken } = pageOf(all, { ...pageAsked(query), keyOf: ({ name }) => name });
  return json(withoutEmpty({ nextPageToken, units: items.map((unit) => entityOf(unit, picture)) }));
}

/** GET /units/NAME. */
export function getUnit({ picture }: FleetInquiry, name: string): Response {
  const unit = find(picture, name);
  if (unit === undefined) throw new FleetFailure(404, unitUnknown);
  return json(entityOf(unit, picture));
}

/**
 * PUT /units/NAME: creates, replaces, or says what the unit is to do. What is replaced keeps its place,
 * and what it is to do unless the body says otherwise; and everything is checked before anything is written.
 */
export async function putUnit(asked: FleetInquiry, inUrl: string): Promise<Response> {
  const { picture, request, hands, clock, by, signal } = asked;
  mustBeJson(request.headers);
  const body = await readUnitBody(request, { clock, signal });
  const name = nameOf(inUrl, body.name);
  const target = targetOf(body.desiredState);
  const unit = find(picture, name);
  // One that is there and cannot be read may be put right
  const isThere = unit !== undefined || wantedIn(picture).unknown.has(name);
  if (!isThere && body.options.length === 0) {
    throw new FleetFailure(409, "unit does not exist and options field empty");
  }
  if (isTemplate(name) && target !== undefined && target !== "inactive") {
    throw new FleetFailure(400, `cannot activate template "${name}"`);
  }
  if (body.options.length > 0) {
    const given = checkedText(name, body.options);
    if (unit === undefined || canonicalOf(unit) !== given.canonical) {
      await hands.submit({ name, text: given.text, target, replace: isThere, by }, signal).catch((error: unknown) => {
        throw refused(name, error);
      });
      return done(201);
    }
  }
  if (target === undefined) throw new FleetFailure(409, "must provide DesiredState to update existing unit");
  // A hold that says the same already keeps its reason and its end
  const isHeldThere = picture.holds.get(name)?.target === target;
  await hands.setTarget({ name, target, by, ...(isHeldThere ? { keepsHold: true } : { why: "fleet API" }) }, signal);
  return done(204);
}

/** DELETE /units/NAME. */
export async function deleteUnit({ picture, hands, by, signal }: FleetInquiry, inUrl: string): Promise<Response> {
  const name = parseUnitName(inUrl);
  const isThere = name.ok && (find(picture, inUrl) !== undefined || wantedIn(picture).unknown.has(name.value));
  if (!isThere) throw new FleetFailure(404, unitUnknown);
  await hands.destroy(name.value, by, signal);
  return done(204);
}

type Wanted = Pick<NonNullable<ClusterPicture["desired"]>, "units" | "templates" | "unknown">;

/** Problem "commit-missing" while the adopted commit is not at hand: unknown is not none. */
function wantedIn({ desired, revision }: ClusterPicture): Wanted {
  if (desired !== undefined) return desired;
  const what = revision.adopted === undefined ? "the cluster" : `commit ${revision.adopted.commit}`;
  throw new Problem("commit-missing", `Cannot read the units of ${what}`, {
    hint: "This agent has not got them yet; flotilla status says what keeps it from having them",
  });
}

function find(picture: ClusterPicture, name: string): Unit | undefined {
  const { units, templates } = wantedIn(picture);
  // Names come from outside; a name that is none is in neither map
  return units.get(name as UnitName) ?? templates.get(name as UnitName);
}

/** Keys in fleet's order. */
function entityOf(unit: Unit, picture: ClusterPicture): object {
  const report = orThrow(reportUnitFile(picture, unit.name));
  const options = orThrow(optionsOfTexts(textsOf(unit)));
  return withoutEmpty({
    currentState: report.state,
    desiredState: report.desired,
    machineID: report.machine?.id,
    name: unit.name,
    options: options.map(({ name, section, value }) => withoutEmpty({ name, section, value })),
  });
}

function textsOf({ text, dropIns }: Unit): readonly string[] {
  return [text, ...dropIns.map((dropIn) => dropIn.text)];
}

function canonicalOf(unit: Unit): string | undefined {
  const canonical = canonicalOfTexts(textsOf(unit));
  return canonical.ok ? canonical.value : undefined;
}

function nameOf(inUrl: string, inBody: string): UnitName {
  if (inBody !== "" && inBody !== inUrl) {
    const [url, body] = [inUrl, inBody].map((name) => JSON.stringify(name.slice(0, 300)));
    throw new FleetFailure(400, `name in URL ${url} differs from unit name in request body ${body}`);
  }
  const fault = fleetNameFault(inUrl);
  if (fault !== undefined) throw new FleetFailure(400, fault);
  return orThrow(parseUnitName(inUrl));
}

function targetOf(state: string): TargetState | undefined {
  const target = targetStates.find((each) => each === state);
  if (target !== undefined || state === "") return target;
  const given = JSON.stringify(state.slice(0, 64));
  throw new FleetFailure(400, `invalid desiredState ${given}: expect inactive, loaded, or launched`);
}

function checkedText(name: UnitName, options: readonly UnitOption[]): OptionsText {
  const given = textOfOptions(options, name);
  if (!given.ok) {
    const reasons = given.problems.map(({ code, message, hint }) =>
      describeProblem({ code, message, ...(hint === undefined ? {} : { hint }) }),
    );
    throw new FleetFailure(400, reasons.slice(0, 5).join("; "));
  }
  const objection = fleetObjection(name, given.value.parsed);
  if (objection !== undefined) throw new FleetFailure(400, objection);
  return given.value;
}
