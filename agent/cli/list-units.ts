// flotilla list-units: units on machines, with systemd's own states.
import { listings } from "../report/report.ts";
import type { Command } from "./command.ts";
import { fieldsHelp, listingOptions, runListing, unitFilters } from "./listing.ts";

const states = [
  "active",
  "failed",
  "activating",
  "deactivating",
  "inactive",
  "running",
  "exited",
  "pending",
  "lost",
  "problem",
];
/** systemd's other words of units of all types, of load, active and sub. */
const systemdStates = [
  ...["stub", "loaded", "not-found", "bad-setting", "error", "merged", "masked", "reloading", "maintenance"],
  ...[
    "refreshing",
    "dead",
    "condition",
    "start-pre",
    "start",
    "start-post",
    "reload",
    "reload-signal",
    "reload-notify",
  ],
  ...["stop", "stop-watchdog", "stop-sigterm", "stop-sigkill", "stop-post", "final-watchdog", "final-sigterm"],
  ...[
    "final-sigkill",
    "dead-before-auto-restart",
    "failed-before-auto-restart",
    "dead-resources-pinned",
    "auto-restart",
  ],
  ...[
    "auto-restart-queued",
    "cleaning",
    "start-chown",
    "listening",
    "stop-pre",
    "stop-pre-sigterm",
    "stop-pre-sigkill",
  ],
  ...["waiting", "elapsed", "mounting", "mounting-done", "mounted", "remounting", "remounting-sigterm"],
  ...["remounting-sigkill", "unmounting", "unmounting-sigterm", "unmounting-sigkill", "activating-done"],
  ...["deactivating-sigterm", "deactivating-sigkill"],
];
export const unitsFilters = unitFilters("systemd's active, sub or load state; pending, lost, problem", {
  usual: states,
  all: systemdStates,
});

export const listUnits: Command = {
  name: "list-units",
  summary: "List the units on the machines, with their state",
  args: [],
  options: listingOptions(listings.units, unitsFilters),
  more: `${fieldsHelp(listings.units)}

A unit that waits for a machine is not on one: list-unit-files shows it, and explain UNIT says why.`,
  examples: [
    ["list-units", "What runs where"],
    ["list-units --watch", "The same, kept up to date"],
    ["list-units --state failed,lost,problem", "What needs somebody"],
    ["list-units --unit 'web@*' --machine 59f61aeb", "Some units on one machine"],
    ["list-units --fields unit,machine,active,result,restarts --sort -restarts", "How the last runs went"],
  ],
  run: async (tools, given) => runListing(listings.units, { path: "/v2/units", filters: unitsFilters, tools, given }),
};
