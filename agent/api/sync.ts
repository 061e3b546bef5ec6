// POST /v2/sync: has the leader fetch now, and says what came of it.
import { type Resource, found } from "./resource.ts";

export const sync: Resource = {
  method: "POST",
  path: "/sync",
  gives: "what came of a fetch made now; takes no body",
  // The view bounds the wait itself, by what a fetch may take
  answer: async ({ view, signal }) => {
    const { outcome, commit, problems } = await view.sync(signal);
    return found({ outcome, problems, ...(commit === undefined ? {} : { commit }) });
  },
};
