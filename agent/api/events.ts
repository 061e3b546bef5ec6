// GET /v2/events: who did what, as long as the cluster remembers.
import { maxEvents } from "../domain/submitted.ts";
import { type Resource, found, wholePictureOf } from "./resource.ts";

export const events: Resource = {
  method: "GET",
  path: "/events",
  gives: `who did what, oldest first; the last ${maxEvents} are kept`,
  answer: async (inquiry) => {
    const { events } = await wholePictureOf(inquiry, "what happened in the cluster");
    return found({ events });
  },
};
