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
      Unit db.service loaded on MACHINE
      [stderr] Unit db.service is held at loaded for 2h (disk is replaced); the repository wants it launched: flotilla resume db.service
      [stderr] Successfully stopped units [db.service].
      $ flotilla list-units --unit db.service --unit idle.service
      UNIT		MACHINE			ACTIVE		SUB	HOLD
      db.service	MACHINE	inactive	dead	loaded by ann@HOST, for SPAN more: disk is replaced
      idle.service	MACHINE	active		running	-
      $ flotilla list-unit-files --unit db.service --unit idle.service
      UNIT		HASH	DSTATE		STATE		TARGET			HOLD
      db.service	8385c91	loaded		loaded		MACHINE	loaded by ann@HOST, for SPAN more: disk is replaced
      idle.service	8385c91	launched	launched	MACHINE	-
      $ flotilla list-holds
      UNIT		TARGET	DECLARED	BY	UNTIL			WHY
      db.service	loaded	launched	ann@HOST	TIME	disk is replaced
      $ flotilla status | grep -v Leader:
         Commit: COMMIT static/db.service static/idle.service templates/web@.service
                 Test <test@localhost>, branch main, SPAN ago
       Machines: 2 alive
          Units: 4 in the repository; on machines: 3 active, 1 inactive
          Holds: db.service: loaded by ann@HOST, SPAN ago, until TIME: disk is replaced (the repository says launched)
      $ flotilla status --no-ssh db
      db.service
           File: static/db.service
         Commit: COMMIT static/db.service static/idle.service templates/web@.service
           Hash: 8385c91
          Wants: loaded
           Hold: loaded by ann@HOST, SPAN ago, until TIME: disk is replaced (the repository says launched)

        Machine: MACHINE
          State: inactive (dead) since TIME; SPAN ago
         Result: success
       Restarts: 0
           Hash: 8385c91
         Commit: COMMIT
      $ flotilla restart db
      [stderr] flotilla: Unable to restart unit db.service: ann@HOST holds it at loaded (disk is replaced)
      [stderr] hint: flotilla start db.service lifts the hold and starts it
      [exit 1]
      $ flotilla unload db
      Unit db.service inactive
      [stderr] Unit db.service is held at inactive; the repository wants it launched: flotilla resume db.service
      [stderr] Successfully unloaded units [db.service].
      $ flotilla unload db
      [stderr] Unit db.service is inactive already
      $ flotilla list-holds
      UNIT		TARGET		DECLARED	BY	UNTIL	WHY
      db.service	inactive	launched	ann@HOST	-	-
      $ flotilla start db
      Unit db.service launched on MACHINE
      [stderr] The hold on unit db.service is lifted: it is launched again, as the repository wants it
      $ flotilla list-holds
      UNIT	TARGET	DECLARED	BY	UNTIL	WHY
      $ flotilla start db
      $ flotilla start --reason 'just so' --for 2h db
      [stderr] Unit db.service is launched as the repository wants it: there is nothing to hold
    `,
  },
  {
    id: "hold",
    what: "hold and resume, by pattern and for all",
    says: `
      $ flotilla hold 'web@*' --reason maintenance
      Unit web@1.service is held at loaded (maintenance)
      Unit web@2.service is held at loaded (maintenance)
      $~ flotilla list-units --no-legend --fields unit,active,hold --unit 'web@*'
      web@1.service	inactive	loaded by ann@HOST: maintenance
      web@2.service	inactive	loaded by ann@HOST: maintenance
      $ flotilla events --lines 1 web@2
      TIME  ann@HOST holds web@2.service at loaded (maintenance)
      $ flotilla hold --all --state inactive
      Unit db.service is held at inactive
      Unit idle.service is held at inactive
      Unit web@1.service is held at inactive
      Unit web@2.service is held at inactive
      $ flotilla resume web@1
      Resumed web@1.service
      $ flotilla resume web@1
      [stderr] flotilla: Cannot resume "web@1.service": there is no hold on it
      [stderr] hint: flotilla list-holds shows all holds
      [exit 1]
      $ flotilla resume --all
      Resumed db.service
      Resumed idle.service
      Resumed web@2.service
      $ flotilla resume --all
      Nothing is held
      $ flotilla hold nosuch
      [stderr] flotilla: Cannot find unit "nosuch.service"
      [stderr] hint: flotilla list-unit-files shows every unit
      [exit 1]
      $~ flotilla list-units --no-legend --fields unit,active
      db.service	active
      idle.service	active
      web@1.service	active
      web@2.service	active
    `,
  },
  {
    id: "hold",
    what: "a timed hold ends by itself",
    says: `
      $ flotilla stop --for 3s --reason 'a moment' idle
      Unit idle.service loaded on MACHINE
      [stderr] Unit idle.service is held at loaded for 3s (a moment); the repository wants it launched: flotilla resume idle.service
      [stderr] Successfully stopped units [idle.service].
      $~ flotilla list-units --no-legend --fields unit,active,hold --unit idle.service
      idle.service	active	-
      $ flotilla list-holds
      UNIT	TARGET	DECLARED	BY	UNTIL	WHY
      $ flotilla events --lines 2 idle.service
      TIME  ann@HOST holds idle.service at loaded (a moment)
      TIME  The hold of ann@HOST on idle.service has run out
    `,
  },
  {
    id: "F-416",
    what: "names of the repository are not taken by hand",
    files: services(["db.service", "other.service"], service("Environment=EDITION=2\n")),
    says: `
      $ flotilla submit db.service
      [stderr] flotilla: Cannot submit unit "db.service" from "db.service": the repository has it in static/db.service
      [stderr] hint: Change static/db.service there and commit, or use another name
      [exit 1]
      $ flotilla start --replace db.service
      [stderr] flotilla: Cannot start unit "db.service" from "db.service": the repository has it in static/db.service
      [stderr] hint: Change static/db.service there and commit, or use another name
      [exit 1]
      $ flotilla start db.service
      [stderr] flotilla: Cannot start unit "db.service" from "db.service": the repository has it in static/db.service
      [stderr] hint: Change static/db.service there and commit, or use another name
      [exit 1]
      $ flotilla start db
      [stderr] WARNING: Unit db.service in the repository differs from local unit file db.service. The repository's counts.
      $ flotilla destroy db.service
      [stderr] flotilla: Cannot destroy unit "db.service": the repository has it in static/db.service
      [stderr] hint: Remove static/db.service there and commit; flotilla unload db.service holds it meanwhile
      [exit 1]
      $ flotilla destroy web@1
      [stderr] flotilla: Cannot destroy unit "web@1.service": the repository has it in instances/web@1.service
      [stderr] hint: Remove instances/web@1.service there and commit; flotilla unload web@1.service holds it meanwhile
      [exit 1]
      $ flotilla start web@3
      Unit web@3.service launched on MACHINE
      $ flotilla list-unit-files --no-legend --fields unit,source,state --unit 'web@*'
      web@.service	git		inactive
      web@1.service	git		launched
      web@2.service	git		launched
      web@3.service	submitted	launched
      $ flotilla destroy web@3
      Destroyed web@3.service
      $ flotilla hold other.service
      [stderr] flotilla: Cannot find unit "other.service"
      [stderr] hint: flotilla list-unit-files shows every unit
      [exit 1]
      $ flotilla start other.service
      Unit other.service launched on MACHINE
      $ flotilla hold other.service
      [stderr] flotilla: Cannot hold unit "other.service": it was submitted by hand
      [stderr] hint: flotilla stop other.service and flotilla start other.service say what it is to do
      [exit 1]
      $ flotilla stop --reason 'just so' other.service
      [stderr] flotilla: Cannot use --reason with other.service: it is not in the repository
      [stderr] hint: It is for holds, and only units of the repository are held
      [exit 2]
      $ flotilla destroy other.service
      Destroyed other.service
    `,
  },
];
