// GET /v2/units/NAME/explanation and /v2/machines/ID/explanation: why a unit is where it is, or nowhere; what a machine takes.
import { parseMachineId, parseUnitName } from "../domain/names.ts";
import { machineReferences, reportMachineExplanation, reportUnitExplanation } from "../report/explanation.ts";
import { explainMachine, explainUnit } from "../schedule/explain.ts";
import { orThrow } from "./problems.ts";
import { type Resource, found, pictureOf } from "./resource.ts";

export const unitExplanation: Resource = {
  method: "GET",
  path: "/units/:name/explanation",
  gives: "where a unit is and why, or why nowhere and what would change it",
  answer: async (inquiry) => {
    const name = orThrow(parseUnitName(inquiry.name));
    const picture = await pictureOf(inquiry);
    const refer = machineReferences(picture);
    const placement = picture.placing === undefined ? undefined : explainUnit(picture.placing, { name, refer });
    return found(orThrow(reportUnitExplanation(picture, { name, placement })));
  },
};

export const machineExplanation: Resource = {
  method: "GET",
  path: "/machines/:name/explanation",
  gives: "what a machine takes and refuses, by its whole id",
  answer: async (inquiry) => {
    const id = orThrow(parseMachineId(inquiry.name));
    const picture = await pictureOf(inquiry);
    const placement = picture.placing === undefined ? undefined : explainMachine(picture.placing, { id });
    return found(orThrow(reportMachineExplanation(picture, { id, placement })));
  },
};
