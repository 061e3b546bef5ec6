// The lines that scripts written for fleetctl have most, typed as they stand there.
import { type Scenario, lastWords, service } from "./scenario.ts";

export const fleetctl: readonly Scenario[] = [
  {
    id: "fleetctl",
    what: "the lines that scripts have most",
    files: { "app@.service": service(`ExecStartPre=/bin/sh -c '${lastWords("app is ready")}'\n`) },
    says: `
      $ fleetctl list-machines --no-legend --fields=machine,metadata | cut -f2 | sort
      number=1
      number=2
      number=3
      $ fleetctl submit app@.service
      Unit app@.service inactive
      $ fleetctl start app@1.service app@2.service | sort
      Unit app@1.service launched on MACHINE
      Unit app@2.service launched on MACHINE
      $ fleetctl start --no-block app@1.service
      $ fleetctl list-units --no-legend --fields=unit,active,sub | grep ^app@ | xargs -n3
      app@1.service active running
      app@2.service active running
      $ fleetctl list-unit-files --fields=unit,dstate,state --no-legend | grep ^app@ | xargs -n3
      app@.service inactive inactive
      app@1.service launched launched
      app@2.service launched launched
      $ fleetctl status app@1.service | grep -c 'Active: active'
      1
      $ fleetctl journal --lines=20 app@1 | grep -c 'app is ready'
      1
      $ fleetctl ssh app@1.service echo $?
      0
      $ fleetctl cat app@1 | head -1
      [Service]
      $ fleetctl --endpoint=unix://$FLOTILLA_SOCKET stop app@1.service
      Unit app@1.service loaded on MACHINE
      [stderr] Successfully stopped units [app@1.service].
      $ fleetctl unload app@2.service
      Unit app@2.service inactive
      [stderr] Successfully unloaded units [app@2.service].
      $ fleetctl destroy app@1.service app@2.service app@.service app@3.service | sort
      Destroyed app@.service
      Destroyed app@1.service
      Destroyed app@2.service
      $ fleetctl list-unit-files | grep -c ^app@
      0
      [exit 1]
    `,
  },
  {
    id: "fleetctl",
    what: "waiting for a unit, and deploying anew",
    files: { "roll@.service": service() },
    says: `
      $ fleetctl start --block-attempts=10 roll@1
      Unit roll@1.service launched on MACHINE
      $ until fleetctl list-units | grep roll@1 | grep -q running; do sleep 1; done
      $ echo Environment=EDITION=2 >>roll@.service; fleetctl destroy roll@1 && fleetctl start roll@1
      Destroyed roll@1.service
      Unit roll@1.service launched on MACHINE
      $ fleetctl cat roll@1 | tail -1
      Environment=EDITION=2
      $ fleetctl start nosuch.service || echo failed with $?
      failed with 1
      [stderr] Error creating units: unable to find Unit(nosuch.service) in Registry or on filesystem
    `,
  },
];
