// Where units that people start come to run (catalogue, part U): on three machines that differ in `number=1` to `number=3`.
import { type Scenario, service, services } from "./scenario.ts";

function fleet(options: string): string {
  return service(`[X-Fleet]\n${options}`);
}

export const placement: readonly Scenario[] = [
  {
    id: "F-500",
    what: "each pong goes where its ping is",
    files: {
      ...services(["ping.0.service", "ping.1.service", "ping.2.service"]),
      ...Object.fromEntries([0, 1, 2].map((n) => [`pong.${n}.service`, fleet(`MachineOf=ping.${n}.service\n`)])),
    },
    says: `
      $ flotilla start --no-block {ping,pong}.{0..2}.service | wc -l
      6
      $~ flotilla list-units --no-legend --fields active --unit 'p[io]ng.?.service' | sort | uniq -c | xargs
      6 active
      $ flotilla list-units --no-legend --fields machine,unit --unit 'p[io]ng.?.service' | sed 's/p[io]ng/pair/' | sort | uniq -c | awk '{ print $1, $3 }' | sort
      2 pair.0.service
      2 pair.1.service
      2 pair.2.service
    `,
  },
  {
    id: "F-502",
    what: "five in conflict on three machines: three run",
    files: services(
      [0, 1, 2, 3, 4].map((n) => `conflict.${n}.service`),
      fleet("Conflicts=conflict.*.service\n"),
    ),
    says: `
      $ flotilla start --no-block conflict.{0..4}.service | wc -l
      5
      $~ flotilla list-units --no-legend --fields active,machine --unit 'conflict.?.service' | sort | uniq -c | xargs -n3
      1 active m1
      1 active m2
      1 active m3
      $ flotilla list-unit-files --no-legend --unit 'conflict.?.service' | wc -l
      5
    `,
    namesMachines: true,
  },
  {
    id: "F-503 F-504",
    what: "a unit waits for the one that forbids it, and runs when that one is gone",
    files: {
      "shy.service": fleet("MachineMetadata=number=1\n"),
      "grim.service": fleet("MachineMetadata=number=1\nConflicts=shy.service\n"),
    },
    says: `
      $ flotilla start grim
      Unit grim.service launched on MACHINE
      $ flotilla start --timeout 1s shy
      [stderr] Unit shy.service waits, no machine takes it: 2 machines: needs number=1 (metadata); 1 machine: conflicts with grim.service (conflict)
      [stderr] flotilla: Timed out waiting for unit shy.service to report state launched: no machine takes it: 2 machines: needs number=1 (metadata); 1 machine: conflicts with grim.service (conflict)
      [stderr] hint: The change stands: flotilla status shy.service
      [exit 1]
      $ flotilla destroy grim
      Destroyed grim.service
      $~ flotilla list-units --no-legend --fields unit,active --unit shy.service
      shy.service	active
    `,
  },
  {
    id: "F-505",
    what: "conflicts with several patterns, on one line or on several",
    files: {
      "many.0.service": fleet("Conflicts=many.2.service many.1.service many.0.service\n"),
      "many.1.service": fleet("Conflicts=many.2.service many.1.service many.0.service\n"),
      "many.2.service": fleet("Conflicts=many.2.service\nConflicts=many.1.service\nConflicts=many.0.service\n"),
    },
    namesMachines: true,
    says: `
      $ flotilla start many.{0..2}.service | sed 's/many.*launched/one/' | sort
      Unit one on m1
      Unit one on m2
      Unit one on m3
    `,
  },
  {
    id: "F-506",
    what: "a unit that replaces another moves it away",
    files: {
      "old.service": fleet('MachineMetadata="number=1" "number=2"\n'),
      "kick@.service": fleet("MachineMetadata=number=%i\nReplaces=old.service\n"),
    },
    says: `
      $ flotilla start old | wc -l
      1
      $ flotilla list-units --no-legend --full --fields machine --unit old.service | cut -d/ -f1 >home
      $ flotilla list-machines --no-legend --full --fields machine,metadata | grep -f home | grep -o '.$' >number
      $ flotilla start kick@$(cat number) | wc -l
      1
      $ flotilla list-units --no-legend --full --fields machine --unit 'kick@*' | grep -cf home
      1
      $~ flotilla list-units --no-legend --full --fields active,machine --unit old.service | grep -vf home | cut -f1
      active
    `,
  },
  {
    id: "F-507",
    what: "two units that replace each other: both run, and stay",
    files: {
      "round.0.service": fleet("Replaces=round.1.service\n"),
      "round.1.service": fleet("Replaces=round.0.service\n"),
    },
    says: `
      $ flotilla start round.0; flotilla start round.1
      Unit round.0.service launched on MACHINE
      Unit round.1.service launched on MACHINE
    `,
  },
  {
    id: "F-508",
    what: "a unit for each machine, by its id",
    files: { "pin@.service": fleet("MachineID=%i\n") },
    namesMachines: true,
    says: `
      $ flotilla list-machines --no-legend --full --fields machine >ids
      $ flotilla start $(sed 's/.*/pin@&/' ids) | sed 's/Unit pin@//' | sort
      m1.service launched on m1
      m2.service launched on m2
      m3.service launched on m3
    `,
  },
  {
    id: "F-509 F-510",
    what: "a global unit: on every machine, and restarted on every one",
    files: {
      "every.service": fleet("Global=true\n").replace(
        "[Service]",
        "[Service]\nExecStartPre=/bin/sh -c 'echo start >>%t/every'",
      ),
    },
    namesMachines: true,
    says: `
      $ flotilla start every.service
      Unit every.service launched on m1
      Unit every.service launched on m2
      Unit every.service launched on m3
      $ flotilla status every.service | grep -c 'Active: active (running)'
      3
      $ flotilla restart every.service
      Unit every.service launched on m1
      Unit every.service launched on m2
      Unit every.service launched on m3
      $ for each in $(flotilla list-machines --no-legend --full --fields machine); do flotilla ssh $each -- 'wc -l <$XDG_RUNTIME_DIR/every'; done
      2
      2
      2
    `,
  },
  {
    id: "F-511",
    what: "a global unit in conflict with one that is everywhere runs nowhere, and that is said",
    files: services(["only.0.service", "only.1.service"], fleet("Global=true\nConflicts=only.*.service\n")),
    namesMachines: true,
    says: `
      $ flotilla start only.0
      Unit only.0.service launched on m1
      Unit only.0.service launched on m2
      Unit only.0.service launched on m3
      $ flotilla start only.1
      [stderr] flotilla: Cannot start unit "only.1.service": no machine takes it: 3 machines: conflicts with only.0.service (conflict)
      [stderr] hint: flotilla explain only.1.service says what would change that
      [exit 1]
      $ flotilla list-units --no-legend --fields unit,machine,active --unit 'only.?.service'
      only.0.service	m1	active
      only.0.service	m2	active
      only.0.service	m3	active
    `,
  },
  {
    id: "F-512 F-513",
    what: "the instance's name as metadata; a name that no machine has",
    files: { "metadata@.service": fleet("MachineMetadata=number=%i\n") },
    namesMachines: true,
    says: `
      $ flotilla submit metadata@.service
      Unit metadata@.service inactive
      $ flotilla start metadata@3 metadata@2 metadata@1 | sort
      Unit metadata@1.service launched on m1
      Unit metadata@2.service launched on m2
      Unit metadata@3.service launched on m3
      $ flotilla start --block-attempts=1 metadata@invalid.service
      [stderr] Unit metadata@invalid.service waits, no machine takes it: 3 machines: needs number=invalid (metadata)
      [stderr] flotilla: Timed out waiting for unit metadata@invalid.service to report state launched: no machine takes it: 3 machines: needs number=invalid (metadata)
      [stderr] hint: The change stands: flotilla status metadata@invalid.service
      [exit 1]
    `,
  },
];
