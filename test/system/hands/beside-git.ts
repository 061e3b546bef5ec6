// What people do to units of the repository, and to names that it takes over: on a cluster whose repository has db.service,
// web@1.service, web@2.service and idle.service.
import { type Scenario, service, services } from "./scenario.ts";

export const repository: Readonly<Record<string, string>> = {
  "static/db.service": service(),
  "static/idle.service": service(),
  "templates/web@.service": service(),
  "instances/web@1.service": "-> ../templates/web@.service",
  "instances/web@2.service": "-> ../templates/web@.service",
};

/** One after the other: the second half of each takes back what the first did. */
export const besideGit: readonly Scenario[] = [
  {
    id: "hold",
    what: "stop holds a unit of the repository: who, why and until when stands in every listing",
    says: `
      $ flotilla stop --for 2h --reason 'disk is replaced' db
      $ flotilla stop db
      $ flotilla list-units --unit db.service --unit idle.service
      $ flotilla list-unit-files --unit db.service --unit idle.service
      $ flotilla list-holds
      $ flotilla status
      $ flotilla status --no-ssh db
      $ flotilla restart db
      $ flotilla unload db
      $ flotilla list-holds
      $ flotilla start db
      $ flotilla list-holds
      $ flotilla start db
      $ flotilla start --reason 'just so' --for 2h db
    `,
  },
  {
    id: "hold",
    what: "hold and resume, by pattern and for all",
    says: `
      $ flotilla hold 'web@*' --reason maintenance
      $~ flotilla list-units --no-legend --fields unit,active,hold --unit 'web@*'
      $ flotilla hold --all --state inactive
      $ flotilla resume web@1
      $ flotilla resume web@1
      $ flotilla resume --all
      $ flotilla resume --all
      $ flotilla hold nosuch
      $~ flotilla list-units --no-legend --fields unit,active
    `,
  },
  {
    id: "hold",
    what: "a timed hold ends by itself",
    says: `
      $ flotilla stop --for 3s --reason 'a moment' idle
      $~ flotilla list-units --no-legend --fields unit,active,hold --unit idle.service
      $ flotilla list-holds
      $ flotilla events --unit idle.service | sed 's/UTC  *//'
    `,
  },
  {
    id: "F-416",
    what: "names of the repository are not taken by hand",
    files: services(["db.service", "other.service"], service("Environment=EDITION=2\n")),
    says: `
      $ flotilla submit db.service
      $ flotilla start --replace db.service
      $ flotilla start db.service
      $ flotilla start db
      $ flotilla destroy db.service
      $ flotilla destroy web@1
      $ flotilla start web@3
      $ flotilla list-unit-files --no-legend --fields unit,source,state --unit 'web@*'
      $ flotilla destroy web@3
      $ flotilla hold other.service
      $ flotilla start other.service
      $ flotilla hold other.service
      $ flotilla stop --reason 'just so' other.service
      $ flotilla destroy other.service
    `,
  },
];
