// The life cycle by hand: every command for units that are known, unknown, or both (catalogue, part Q), and what goes with it
// (part T), typed and told. Where fleet had a defect, what stands here is ours.
import { type Scenario, lastWords, service, services } from "./scenario.ts";

export const commands: readonly Scenario[] = [
  {
    id: "F-410",
    what: "destroy: what is known goes; a name that is unknown is told",
    files: services(["d1.service", "d2.service", "d3.service", "d4.service", "d5.service"]),
    says: `
      $ flotilla submit d1.service d2.service d3.service d4.service d5 | sort
      Unit d1.service inactive
      Unit d2.service inactive
      Unit d3.service inactive
      Unit d4.service inactive
      Unit d5.service inactive
      $ flotilla destroy d1.service d2.service | sort
      Destroyed d1.service
      Destroyed d2.service
      $ flotilla destroy nosuch.service nor-this.service
      [stderr] flotilla: Cannot find unit "nosuch.service"
      [stderr] hint: flotilla list-unit-files shows every unit
      [stderr] flotilla: Cannot find unit "nor-this.service"
      [stderr] hint: flotilla list-unit-files shows every unit
      [exit 1]
      $ flotilla destroy d3.service nosuch.service d4.service | sort
      Destroyed d3.service
      Destroyed d4.service
      [stderr] flotilla: Cannot find unit "nosuch.service"
      [stderr] hint: flotilla list-unit-files shows every unit
      [exit 1]
      $ flotilla destroy
      [stderr] flotilla: Cannot tell which units to destroy
      [stderr] hint: Name at least one
      [exit 2]
      # As fleetctl, what is not there is no failure, for scripts that clean up
      $ fleetctl destroy nosuch.service
      [stderr] Units not found in registry
      $ fleetctl destroy d5 >one 2>&1 & fleetctl destroy d5 >other 2>&1; here=$?; wait $!; echo $? $here
      0 0
    `,
  },
  {
    id: "F-411",
    what: "load: one unknown name, and nothing is changed",
    files: services(["l1.service", "l2.service", "l3.service"]),
    says: `
      $ flotilla submit l1 l2 l3 | sort
      Unit l1.service inactive
      Unit l2.service inactive
      Unit l3.service inactive
      $ flotilla load --no-block l1 l2 | sort
      Triggered unit l1.service load
      Triggered unit l2.service load
      $ flotilla load --no-block l3 nosuch.service nosuch@1.service
      [stderr] flotilla: unable to find Unit(nosuch.service) in Registry or on filesystem
      [stderr] hint: There is no file "nosuch.service", and flotilla list-unit-files shows no such unit
      [stderr] flotilla: failed getting Unit(nosuch@1.service) from template: unable to find template Unit(nosuch@.service) in Registry or on filesystem
      [stderr] hint: There is no file "nosuch@.service"
      [exit 1]
      $ flotilla list-unit-files --unit 'l?.service' --fields unit,dstate
      UNIT		DSTATE
      l1.service	loaded
      l2.service	loaded
      l3.service	inactive
      $ flotilla load
      [stderr] flotilla: Cannot tell which units to load
      [stderr] hint: Name at least one
      [exit 2]
    `,
  },
  {
    id: "F-412",
    what: "start: one unknown name, and nothing is changed",
    files: services(["s1.service", "s2.service", "s3.service"]),
    says: `
      $ flotilla submit s1 s2 s3 | sort
      Unit s1.service inactive
      Unit s2.service inactive
      Unit s3.service inactive
      $ flotilla start --no-block s1 s2 | sort
      Triggered unit s1.service start
      Triggered unit s2.service start
      $ flotilla start --no-block s3 nosuch.service
      [stderr] flotilla: unable to find Unit(nosuch.service) in Registry or on filesystem
      [stderr] hint: There is no file "nosuch.service", and flotilla list-unit-files shows no such unit
      [exit 1]
      $ flotilla list-unit-files --unit 's?.service' --fields unit,dstate
      UNIT		DSTATE
      s1.service	launched
      s2.service	launched
      s3.service	inactive
      $ flotilla start
      [stderr] flotilla: Cannot tell which units to start
      [stderr] hint: Name at least one
      [exit 2]
    `,
  },
  {
    id: "F-413",
    what: "start: instances of a template that the cluster knows",
    files: { "sources/tpl@.service": service() },
    says: `
      $ flotilla submit sources/tpl@.service
      Unit tpl@.service inactive
      $ flotilla start tpl@1 tpl@100 tpl@1000 | sort
      Unit tpl@1.service launched on MACHINE
      Unit tpl@100.service launched on MACHINE
      Unit tpl@1000.service launched on MACHINE
      $ flotilla start tpl@7 tpl@7.service tpl@7
      Unit tpl@7.service launched on MACHINE
      $ flotilla start tpl@.service
      [stderr] flotilla: Cannot start "tpl@.service": a template is never run itself
      [stderr] hint: Name an instance of it: tpl@1.service
      [exit 1]
      $ flotilla list-unit-files --unit 'tpl*' --fields unit,dstate
      UNIT			DSTATE
      tpl@.service		inactive
      tpl@1.service		launched
      tpl@100.service		launched
      tpl@1000.service	launched
      tpl@7.service		launched
    `,
  },
  {
    id: "F-414",
    what: "stop: known, unknown, both, none",
    files: services(["st1.service", "st2.service", "st3.service"]),
    says: `
      $ flotilla start st1 st2 st3 | sort
      Unit st1.service launched on MACHINE
      Unit st2.service launched on MACHINE
      Unit st3.service launched on MACHINE
      $ flotilla stop --no-block st1
      Triggered unit st1.service stop
      $ flotilla stop --no-block st2 nosuch.service st3 | sort
      Triggered unit st2.service stop
      Triggered unit st3.service stop
      [stderr] flotilla: Cannot find unit "nosuch.service"
      [stderr] hint: flotilla list-unit-files shows every unit
      [exit 1]
      $ flotilla list-unit-files --unit 'st?.service' --fields unit,dstate
      UNIT		DSTATE
      st1.service	loaded
      st2.service	loaded
      st3.service	loaded
      $ flotilla stop
      [stderr] flotilla: Cannot tell which units to stop
      [stderr] hint: Name at least one
      [exit 2]
    `,
  },
  {
    id: "F-415",
    what: "unload: known, unknown, both, none",
    files: services(["u1.service", "u2.service", "u3.service"]),
    says: `
      $ flotilla load u1 u2 u3 | sort
      Unit u1.service loaded on MACHINE
      Unit u2.service loaded on MACHINE
      Unit u3.service loaded on MACHINE
      $ flotilla unload --no-block u1
      Triggered unit u1.service unload
      $ flotilla unload --no-block u2 nosuch.service u3 | sort
      Triggered unit u2.service unload
      Triggered unit u3.service unload
      [stderr] flotilla: Cannot find unit "nosuch.service"
      [stderr] hint: flotilla list-unit-files shows every unit
      [exit 1]
      $ flotilla list-unit-files --unit 'u?.service' --fields unit,dstate
      UNIT		DSTATE
      u1.service	inactive
      u2.service	inactive
      u3.service	inactive
      $ flotilla unload
      [stderr] flotilla: Cannot tell which units to unload
      [stderr] hint: Name at least one
      [exit 2]
    `,
  },
  {
    id: "F-416",
    what: "submit: known, unknown, both, the same thrice",
    files: services(["b1.service", "b2.service", "b3.service"]),
    says: `
      $ flotilla submit b1.service
      Unit b1.service inactive
      $ flotilla submit b1.service
      $ flotilla submit b2.service nosuch.service
      [stderr] flotilla: unable to find Unit(nosuch.service) in Registry or on filesystem
      [stderr] hint: There is no file "nosuch.service", and flotilla list-unit-files shows no such unit
      [exit 1]
      $ flotilla submit b3.service b3 ./b3.service
      Unit b3.service inactive
      $ flotilla submit
      [stderr] flotilla: Cannot tell which units to submit
      [stderr] hint: Name at least one
      [exit 2]
      # One argument that is wrong, and nothing was submitted
      $ flotilla list-unit-files --unit 'b?.service' --fields unit
      UNIT
      b1.service
      b3.service
    `,
  },
  {
    id: "F-417",
    what: "submit: instances of a template",
    files: { "sources/sub@.service": service() },
    says: `
      $ flotilla submit sources/sub@.service
      Unit sub@.service inactive
      $ flotilla submit sub@1 sub@2 | sort
      Unit sub@1.service inactive
      Unit sub@2.service inactive
      $ flotilla submit nosuch@1 sub@3
      [stderr] flotilla: failed getting Unit(nosuch@1) from template: unable to find template Unit(nosuch@.service) in Registry or on filesystem
      [stderr] hint: There is no file "nosuch@.service"
      [exit 1]
      $ flotilla submit sub@4 sub@4 sub@4
      Unit sub@4.service inactive
      $ flotilla list-unit-files --unit 'sub@*' --fields unit,state
      UNIT		STATE
      sub@.service	inactive
      sub@1.service	inactive
      sub@2.service	inactive
      sub@4.service	inactive
    `,
  },
  {
    id: "F-418",
    what: "restart: known, unknown, both, instances",
    files: { ...services(["r1.service", "r2.service", "r3.service"]), "sources/rt@.service": service() },
    says: `
      $ flotilla start r1.service r2.service | sort
      Unit r1.service launched on MACHINE
      Unit r2.service launched on MACHINE
      $ flotilla restart r1 r2 | sort
      Unit r1.service launched on MACHINE
      Unit r2.service launched on MACHINE
      $ flotilla restart r1 nosuch.service
      [stderr] flotilla: unable to find Unit(nosuch.service) in Registry or on filesystem
      [stderr] hint: There is no file "nosuch.service", and flotilla list-unit-files shows no such unit
      [exit 1]
      $ flotilla restart nosuch@1.service
      [stderr] flotilla: failed getting Unit(nosuch@1.service) from template: unable to find template Unit(nosuch@.service) in Registry or on filesystem
      [stderr] hint: There is no file "nosuch@.service"
      [exit 1]
      $ flotilla restart
      [stderr] flotilla: Cannot tell which units to restart
      [stderr] hint: Name at least one
      [exit 2]
      $ flotilla submit sources/rt@.service r3
      Unit rt@.service inactive
      Unit r3.service inactive
      $ flotilla restart rt@1 rt@2 | sort
      Unit rt@1.service launched on MACHINE
      Unit rt@2.service launched on MACHINE
      $ flotilla restart r3
      [stderr] flotilla: Unable to restart unit r3.service in state inactive
      [stderr] hint: flotilla start r3.service starts it
      [exit 1]
      $ flotilla load r3; flotilla restart r3
      Unit r3.service loaded on MACHINE
      Unit r3.service launched on MACHINE
    `,
  },
  {
    id: "F-419",
    what: "the life of one unit",
    files: {
      "hello.service": `[Unit]
Description=Hello loop

[Service]
ExecStart=/bin/sh -c 'while true; do echo Hello; sleep 1; done'
`,
    },
    says: `
      $ flotilla submit hello.service
      Unit hello.service inactive
      $ flotilla submit hello.service
      $ flotilla list-unit-files --unit hello.service
      UNIT		HASH	DSTATE		STATE		TARGET
      hello.service	6534573	inactive	inactive	-
      $ flotilla list-units --unit hello.service
      UNIT	MACHINE	ACTIVE	SUB
      $ flotilla status hello.service
      hello.service - Hello loop
           File: none: submitted by ann@HOST, SPAN ago
           Hash: 6534573
          Wants: inactive
        Machine: none: it wants to be inactive
      $ flotilla journal hello.service
      [stderr] flotilla: Unit hello.service does not appear to be running
      [stderr] hint: flotilla explain hello.service says why it is on no machine
      [exit 1]
      $ flotilla cat hello
      [Unit]
      Description=Hello loop

      [Service]
      ExecStart=/bin/sh -c 'while true; do echo Hello; sleep 1; done'
      $ flotilla load hello.service
      Unit hello.service loaded on MACHINE
      $ flotilla load hello.service
      $ flotilla list-units --no-legend --unit hello.service
      hello.service	MACHINE	inactive	dead
      $ flotilla start hello
      Unit hello.service launched on MACHINE
      $ flotilla start hello.service
      $ flotilla list-unit-files --no-legend --unit hello.service
      hello.service	6534573	launched	launched	MACHINE
      $ flotilla stop hello
      Unit hello.service loaded on MACHINE
      [stderr] Successfully stopped units [hello.service].
      $ flotilla stop hello
      [stderr] Unit hello.service is loaded already
      $ flotilla start hello
      Unit hello.service launched on MACHINE
      $ flotilla restart hello.service
      Unit hello.service launched on MACHINE
      $ flotilla unload hello
      Unit hello.service inactive
      [stderr] Successfully unloaded units [hello.service].
      $ flotilla list-units --unit hello.service
      UNIT	MACHINE	ACTIVE	SUB
      $ flotilla stop hello
      [stderr] flotilla: Unable to stop unit hello.service in state inactive
      [stderr] hint: flotilla load hello.service places it without starting it
      [exit 1]
      $ flotilla unload hello
      [stderr] Unit hello.service is inactive already
      $ flotilla start --no-block hello.service
      Triggered unit hello.service start
      $ flotilla destroy hello.service
      Destroyed hello.service
    `,
  },
  {
    id: "F-420",
    what: "instances of a template on disk alone; the template is not stored",
    files: { "disk@.service": service() },
    says: `
      $ flotilla start disk@1.service disk@2 | sort
      Unit disk@1.service launched on MACHINE
      Unit disk@2.service launched on MACHINE
      $ flotilla list-unit-files --unit 'disk@*' --fields unit,state
      UNIT		STATE
      disk@1.service	launched
      disk@2.service	launched
    `,
  },
  {
    id: "F-421",
    what: "a global unit is waited for on every machine",
    files: { "all.service": service("[X-Fleet]\nGlobal=true\n") },
    namesMachines: true,
    says: `
      $ flotilla start all.service
      Unit all.service launched on m1
      Unit all.service launched on m2
      Unit all.service launched on m3
      $ flotilla list-unit-files --no-legend --unit all.service --fields unit,dstate,state,target
      all.service	launched	-	global
      $ flotilla stop all.service
      Unit all.service loaded on m1
      Unit all.service loaded on m2
      Unit all.service loaded on m3
      [stderr] Successfully stopped units [all.service].
      $ flotilla unload all.service
      Unit all.service inactive
      [stderr] Successfully unloaded units [all.service].
      $ flotilla start --no-block all.service
      Triggered unit all.service start
    `,
  },
  {
    id: "F-422",
    what: "a unit that no machine takes: why, and no longer than asked",
    files: { "nowhere.service": service("[X-Fleet]\nMachineMetadata=disk=punched-cards\n") },
    says: `
      $ flotilla start --block-attempts=1 nowhere.service
      [stderr] Unit nowhere.service waits, no machine takes it: 3 machines: needs disk=punched-cards (metadata)
      [stderr] flotilla: Timed out waiting for unit nowhere.service to report state launched: no machine takes it: 3 machines: needs disk=punched-cards (metadata)
      [stderr] hint: The change stands: flotilla status nowhere.service
      [exit 1]
    `,
  },
  {
    id: "F-423",
    what: "what is so already is no news",
    files: services(["so.service"]),
    says: `
      $ flotilla start so.service
      Unit so.service launched on MACHINE
      $ flotilla start --no-block so.service
    `,
  },
  {
    id: "F-424",
    what: "a unit that takes longer than two seconds to start is waited for",
    files: {
      "slow.service": service("ExecStartPre=/bin/sleep 3\n"),
      "done.service": "[Service]\nType=oneshot\nExecStart=/bin/true\n",
    },
    says: `
      $ flotilla start slow.service
      Unit slow.service launched on MACHINE
      $ flotilla start done.service
      Unit done.service launched on MACHINE
    `,
  },
  {
    id: "F-425",
    what: "the cluster's text counts, and a warning says so",
    files: { "differs@.service": service() },
    says: `
      $ flotilla start differs@1
      Unit differs@1.service launched on MACHINE
      $ echo 'Environment=EDITION=2' >>differs@.service
      $ flotilla start differs@1
      [stderr] WARNING: Unit differs@1.service in registry differs from local template unit file differs@.service. Add --replace to override.
      $ flotilla cat differs@1
      [Service]
      ExecStart=/bin/sleep infinity
    `,
  },
  {
    id: "F-426",
    what: "replacing instances by their template on disk",
    files: { "new@.service": service() },
    says: `
      $ flotilla start new@1
      Unit new@1.service launched on MACHINE
      $ echo 'Environment=EDITION=2' >>new@.service
      $ flotilla start --replace new@1
      Unit new@1.service launched on MACHINE
      $ flotilla cat new@1
      [Service]
      ExecStart=/bin/sleep infinity
      Environment=EDITION=2
      $ flotilla submit --replace new@1
      Found same Unit(new@1.service) in Registry, nothing to do
    `,
  },
  {
    id: "F-427",
    what: "what each command may replace",
    files: services(["may.service"]),
    says: `
      $ flotilla load may.service
      Unit may.service loaded on MACHINE
      $ echo 'Environment=EDITION=2' >>may.service
      $ fleetctl submit --replace may.service
      [stderr] Warning: can not replace Unit(may.service) in state 'loaded', use the appropriate command
      $ flotilla submit --replace may.service
      [stderr] flotilla: Cannot submit unit "may.service" with a new text: it is loaded
      [stderr] hint: flotilla load --replace may.service puts the text in place and keeps it loaded
      [exit 1]
      $ flotilla load --replace may.service
      Unit may.service loaded on MACHINE
      $ flotilla start may
      Unit may.service launched on MACHINE
      $ echo 'Environment=EDITION=3' >>may.service
      $ flotilla load --replace may.service
      [stderr] flotilla: Cannot load unit "may.service" with a new text: it is launched
      [stderr] hint: flotilla start --replace may.service puts the text in place and keeps it launched
      [exit 1]
      $ flotilla cat may.service
      [Service]
      ExecStart=/bin/sleep infinity
      Environment=EDITION=2
      $ cd / && flotilla start --replace may.service
      [stderr] flotilla: Cannot replace unit "may.service": there is no file "may.service"
      [stderr] hint: --replace takes the text of a file, or of the template beside it
      [exit 1]
    `,
  },
  {
    id: "F-428",
    what: "no template, no file",
    says: `
      $ flotilla start nosuch@1.service
      [stderr] flotilla: failed getting Unit(nosuch@1.service) from template: unable to find template Unit(nosuch@.service) in Registry or on filesystem
      [stderr] hint: There is no file "nosuch@.service"
      [exit 1]
      $ flotilla start sub/nosuch.service
      [stderr] flotilla: unable to find Unit(nosuch.service) in Registry or on filesystem
      [stderr] hint: There is no file "sub/nosuch.service", and flotilla list-unit-files shows no such unit
      [exit 1]
      $ fleetctl start nosuch
      [stderr] Error creating units: unable to find Unit(nosuch.service) in Registry or on filesystem
      [exit 1]
    `,
  },
  {
    id: "F-429 F-487",
    what: "cat",
    files: { "cat.service": `# A remark of the author's\n${service()}` },
    says: `
      $ flotilla submit cat.service
      Unit cat.service inactive
      $ flotilla cat
      [stderr] flotilla: Cannot read the command line: missing required argument 'UNIT'
      [stderr] hint: flotilla --help, or flotilla COMMAND --help
      [exit 2]
      # The author's own text
      $ flotilla cat cat | cmp - cat.service && echo the same
      the same
    `,
  },
  {
    id: "F-430",
    what: "what is not there cannot be stopped nor destroyed",
    says: `
      $ flotilla stop nosuch
      [stderr] flotilla: Cannot find unit "nosuch.service"
      [stderr] hint: flotilla list-unit-files shows every unit
      [exit 1]
      $ flotilla destroy nosuch
      [stderr] flotilla: Cannot find unit "nosuch.service"
      [stderr] hint: flotilla list-unit-files shows every unit
      [exit 1]
      $ fleetctl stop nosuch
      [stderr] Units not found in registry
    `,
  },
  {
    id: "F-431",
    what: "unknown commands and options are mistakes",
    says: `
      $ flotilla strat hello
      [stderr] flotilla: Cannot read the command line: unknown command 'strat'
      [stderr] hint: Did you mean start?
      [exit 2]
      $ flotilla start --replcae hello
      [stderr] flotilla: Cannot read the command line: unknown option '--replcae'
      [stderr] hint: Did you mean --replace?
      [exit 2]
      $ fleetctl frobnicate
      [stderr] Cannot read the command line: unknown command 'frobnicate'
      [stderr] hint: fleetctl --help shows all commands
      [exit 2]
    `,
  },
  {
    id: "F-432",
    what: "shortened commands",
    says: `
      $ flotilla list-m --no-legend | wc -l
      3
      $ flotilla list-u
      [stderr] flotilla: Cannot tell which command "list-u" is
      [stderr] hint: Is it list-units or list-unit-files?
      [exit 2]
    `,
  },
  {
    id: "F-433",
    what: "version and help",
    says: `
      $ flotilla version | sed 's/[0-9.]*$/VERSION/'
      flotilla version VERSION
      $ flotilla | head -1
      Usage: flotilla [options] [command]
      $ fleetctl version | sed 's/[0-9.]*$/VERSION/'
      fleetctl version VERSION
    `,
  },
  {
    id: "F-434",
    what: "where the cluster is, in fleet's variable",
    says: `
      $ FLEETCTL_ENDPOINT=unix://$FLOTILLA_SOCKET FLOTILLA_SOCKET= flotilla list-machines --no-legend --fields machine
      MACHINE
      MACHINE
      MACHINE
      $ FLEETCTL_ENDPOINT=unix://$FLOTILLA_SOCKET FLOTILLA_SOCKET= fleetctl list-machines --no-legend --fields machine
      MACHINE
      MACHINE
      MACHINE
    `,
  },
  {
    id: "F-435",
    what: "endpoints that are none",
    says: `
      $ FLOTILLA_SOCKET= flotilla --endpoint unix://var/run/x list-units
      [stderr] flotilla: Cannot use endpoint "unix://var/run/x": unable to connect to host "var" with scheme "unix"
      [stderr] hint: Write three slashes: unix:///var/run/x
      [exit 2]
      $ FLOTILLA_SOCKET= flotilla --endpoint foo list-units
      [stderr] flotilla: Cannot use endpoint "foo": URL scheme undefined
      [stderr] hint: It is unix:///PATH or https://HOST:PORT
      [exit 2]
      $ flotilla --socket ./nobody.sock start hello
      [stderr] flotilla: Cannot reach the agent on "./nobody.sock": connect ENOENT ./nobody.sock
      [stderr] hint: Is the agent running? systemctl status flotilla; --socket PATH or FLOTILLA_SOCKET names another socket
      [exit 3]
      $ FLOTILLA_SOCKET= fleetctl --endpoint unix://var/run/x list-units
      [stderr] Unable to initialize client: unable to connect to host "var" with scheme "unix"
      [exit 1]
    `,
  },
  {
    id: "F-436",
    what: "what is typed for the other side stays whole",
    files: services(["far.service"]),
    says: `
      $ flotilla start far
      Unit far.service launched on MACHINE
      $ flotilla ssh far -- echo ghi
      ghi
      $ flotilla ssh far -- echo bar -- baz
      bar -- baz
      $ flotilla ssh --unit far -- echo --flagname
      --flagname
      $ fleetctl ssh far echo abc -- echo ghi
      abc -- echo ghi
      $ flotilla ssh far exit 7
      [exit 7]
    `,
  },
  {
    id: "F-481",
    what: "nine instances, submitted and destroyed, twice",
    files: { "nine@.service": service() },
    says: `
      $ flotilla submit nine@{1..9} | sort
      Unit nine@1.service inactive
      Unit nine@2.service inactive
      Unit nine@3.service inactive
      Unit nine@4.service inactive
      Unit nine@5.service inactive
      Unit nine@6.service inactive
      Unit nine@7.service inactive
      Unit nine@8.service inactive
      Unit nine@9.service inactive
      $ flotilla destroy 'nine@*' | sort | tail -1
      Destroyed nine@9.service
      $ flotilla list-unit-files --unit 'nine@*'
      UNIT	HASH	DSTATE	STATE	TARGET
      $ flotilla submit nine@{1..9} | wc -l
      9
    `,
  },
  {
    id: "F-482",
    what: "six instances, loaded and unloaded, twice",
    files: { "six@.service": service() },
    says: `
      $ flotilla load six@{1..6} | sort
      Unit six@1.service loaded on MACHINE
      Unit six@2.service loaded on MACHINE
      Unit six@3.service loaded on MACHINE
      Unit six@4.service loaded on MACHINE
      Unit six@5.service loaded on MACHINE
      Unit six@6.service loaded on MACHINE
      $ flotilla list-units --no-legend --fields unit,active --unit 'six@*'
      six@1.service	inactive
      six@2.service	inactive
      six@3.service	inactive
      six@4.service	inactive
      six@5.service	inactive
      six@6.service	inactive
      $ flotilla unload 'six@*' | wc -l
      6
      [stderr] Successfully unloaded units [six@1.service six@2.service six@3.service six@4.service six@5.service six@6.service].
      $ flotilla list-units --no-legend --unit 'six@*'
      $ flotilla load 'six@*' | wc -l
      6
    `,
  },
  {
    id: "F-483",
    what: "three instances, started and stopped, twice",
    files: { "three@.service": service() },
    says: `
      $ flotilla start three@{1..3} | sort
      Unit three@1.service launched on MACHINE
      Unit three@2.service launched on MACHINE
      Unit three@3.service launched on MACHINE
      $ flotilla stop three@{1..3} | wc -l
      3
      [stderr] Successfully stopped units [three@1.service three@2.service three@3.service].
      $ flotilla list-units --no-legend --fields unit,active,sub --unit 'three@*'
      three@1.service	inactive	dead
      three@2.service	inactive	dead
      three@3.service	inactive	dead
      $ flotilla start 'three@*' | wc -l
      3
      $ flotilla list-units --no-legend --fields unit,active,sub --unit 'three@*'
      three@1.service	active	running
      three@2.service	active	running
      three@3.service	active	running
    `,
  },
  {
    id: "F-484",
    what: "another text for what is submitted, loaded, started",
    files: { "a@.service": service(), "b@.service": service(), "c@.service": service() },
    says: `
      $ flotilla submit a@{1..3} | wc -l; flotilla load b@{1..3} | wc -l; flotilla start c@{1..3} | wc -l
      3
      3
      3
      $ for each in a b c; do echo 'Environment=EDITION=2' >>$each@.service; done
      $ flotilla submit --replace a@{1..3} | sort
      Unit a@1.service inactive
      Unit a@2.service inactive
      Unit a@3.service inactive
      $ flotilla load --replace b@{1..3} | sort
      Unit b@1.service loaded on MACHINE
      Unit b@2.service loaded on MACHINE
      Unit b@3.service loaded on MACHINE
      $ flotilla start --replace c@{1..3} | sort
      Unit c@1.service launched on MACHINE
      Unit c@2.service launched on MACHINE
      Unit c@3.service launched on MACHINE
      $ for each in a@1 b@2 c@3; do flotilla cat $each | tail -1; done
      Environment=EDITION=2
      Environment=EDITION=2
      Environment=EDITION=2
    `,
  },
  {
    id: "F-485",
    what: "restarting three; each once",
    files: { "again@.service": service("ExecStartPre=/bin/sh -c 'echo start >>%t/%n.starts'\n") },
    says: `
      $ flotilla start again@{1..3} | wc -l
      3
      $ flotilla restart 'again@*' | sort
      Unit again@1.service launched on MACHINE
      Unit again@2.service launched on MACHINE
      Unit again@3.service launched on MACHINE
      $ for each in 1 2 3; do flotilla ssh again@$each -- 'wc -l <$XDG_RUNTIME_DIR/again@'$each.service.starts; done
      2
      2
      2
    `,
  },
  {
    id: "F-486",
    what: "ssh, status, journal of a unit that runs",
    files: { "talk.service": "[Service]\nExecStart=/bin/sh -c 'echo Hello, I am talk; exec sleep infinity'\n" },
    says: `
      $ flotilla start talk.service
      Unit talk.service launched on MACHINE
      $ flotilla ssh talk.service echo foo
      foo
      $ flotilla status talk.service | grep -o 'Active: active (running)'
      Active: active (running)
      $ flotilla journal --output cat talk.service | grep -c 'I am talk'
      1
    `,
  },
  {
    id: "F-488",
    what: "status of a unit that is loaded",
    files: services(["lies.service"]),
    says: `
      $ flotilla load lies.service
      Unit lies.service loaded on MACHINE
      $ flotilla status lies.service | grep -o 'Loaded: loaded'
      Loaded: loaded
      [exit 3]
    `,
  },
  {
    id: "F-490",
    what: "the new text starts after the old one has ended",
    files: {
      "order.service": service(
        "ExecStartPre=/bin/sh -c 'echo old begins >>%t/order'\nExecStopPost=/bin/sh -c 'sleep 1; echo ended >>%t/order'\n",
      ),
    },
    says: `
      $ flotilla start order.service
      Unit order.service launched on MACHINE
      $ sed -i 's/old begins/new begins/' order.service
      $ flotilla start --replace order.service
      Unit order.service launched on MACHINE
      $ flotilla ssh order.service -- 'cat $XDG_RUNTIME_DIR/order'
      old begins
      ended
      new begins
    `,
  },
  {
    id: "F-565",
    what: "another text of units that run: each starts anew on its own machine",
    files: { "stay@.service": service() },
    says: `
      $ flotilla start stay@{1..4} | wc -l
      4
      $ flotilla list-units --unit 'stay@*' >before
      $ printf '[X-Fleet]\\nConflicts=nobody.service\\n' >>stay@.service
      $ flotilla start --replace stay@{1..4} | wc -l
      4
      $ flotilla list-units --unit 'stay@*' | diff before -
    `,
  },
  {
    id: "F-567",
    what: "status says why a unit is on no machine",
    files: {
      "first.service": service("[X-Fleet]\nMachineMetadata=number=2\n"),
      "second.service": service("[X-Fleet]\nMachineMetadata=number=2\nConflicts=first.service\n"),
    },
    namesMachines: true,
    says: `
      $ flotilla start first.service
      Unit first.service launched on m2
      $ flotilla start --no-block second.service
      Triggered unit second.service start
      $~ flotilla status second.service
      second.service
           File: none: submitted by ann@HOST, SPAN ago
           Hash: d85f0be
          Wants: launched
        Waiting: no machine takes it
                 2 machines: needs number=2 (metadata)
                 1 machine: conflicts with first.service (conflict)
    `,
  },
  {
    id: "by hand",
    what: "a unit that fails: on which machine, how, and what it said last",
    files: {
      "fails.service": `[Service]\nExecStart=/bin/sh -c '${lastWords("Cannot find the sea")}; exit 3'\n`,
      "vain.service": "[Service]\nExecStart=/bin/false\nRestart=always\nRestartSec=100ms\n",
    },
    says: `
      # What systemd says itself depends on its version
      $ flotilla start fails.service 2> >(grep -v systemd >&2)
      [stderr] flotilla: Cannot start unit "fails.service": it is failed (failed) on MACHINE, result exit-code
      [stderr] hint: flotilla status fails.service
      [stderr] Last lines of the log of fails.service on MACHINE:
      [stderr]   TIME HOST sh: Cannot find the sea
      [exit 1]
      $ flotilla start vain.service 2>&1 | grep -o '^flotilla: Cannot start unit "vain.service"'
      flotilla: Cannot start unit "vain.service"
      [exit 1]
    `,
  },
  {
    id: "by hand",
    what: "unit files that cannot be taken: file, line, value",
    files: {
      "bad.service": "[Service\nExecStart=/bin/true\n",
      "odd.service": service("[X-Fleet]\nMachineMetdata=region=eu\n"),
      "good.service": service(),
    },
    says: `
      $ flotilla start good.service bad.service odd.service
      [stderr] flotilla: bad.service:1: Cannot read the section header "[Service"
      [stderr] hint: The header has no end "]"
      [stderr] flotilla: odd.service:4: Cannot take the unknown option "MachineMetdata" of unit "odd.service"
      [stderr] hint: Did you mean MachineMetadata?
      [exit 1]
      $ flotilla submit 'sp ace.service'
      [stderr] flotilla: Cannot take "sp ace.service" as a unit name: it holds the character " "
      [stderr] hint: Letters, digits and : - _ . \\ @ are allowed; systemd-escape(1) writes others
      [exit 1]
      $ flotilla list-unit-files --no-legend --unit 'good.service'
    `,
  },
];
