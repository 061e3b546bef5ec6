// Layers, values and rules of the settings: what is taken, and that everything else refuses the whole with its place.
import assert from "node:assert/strict";
import { inspect } from "node:util";
import { suite, test } from "node:test";
import { Problem, invalid, valid } from "../../../agent/domain/problem.ts";
import type { SettingsText } from "../../../agent/domain/settings.ts";
import { problems, settings, settle, warnings, type Given } from "./build.ts";

const full = `# a machine of the cluster
[Machine]
Id=595989bb-cbb7-49ce-8726-722d6e157b4e
PublicIP=192.0.2.7
Hostname=one
Metadata=region=eu, disk=ssd
; another line adds to it
Metadata=expr=a=b
MayLead=no

[Git]
URL=https://git.example/units.git
Branch=live
Path=./deploy/units/
Schedule=*/5 * * * *
Jitter=500ms
Token=abc#def;ghi
Timeout=1min 30s

[Registry]
Endpoints=https://10.0.0.1:2379,https://10.0.0.2:2379
Endpoints=https://10.0.0.3:2379/
Prefix=/blue
Username=root
Password="quoted"
CAFile=/etc/ssl//ca.pem

[Systemd]
Concurrency=10

[Agent]
MachineLease=20
EngineLease=8s
StateDirectory=/srv/state
RunDirectory=/srv/run/
LogLevel=debug
LogFormat=json
`;

suite("settings", () => {
  test("without any source everything has its default", () => {
    const all = settings({});
    assert.deepEqual(all, {
      machine: { id: undefined, hostname: undefined, publicIp: "", metadata: {}, mayLead: true },
      git: undefined,
      registry: {
        endpoints: [],
        prefix: "/flotilla/",
        username: undefined,
        password: undefined,
        caFile: undefined,
        certFile: undefined,
        keyFile: undefined,
        requestTimeoutMs: 2000,
      },
      etcd: undefined,
      systemd: { scope: "system", address: undefined, unitDirectory: undefined, concurrency: 64 },
      api: { group: undefined, listen: [], tls: undefined, token: undefined },
      machineLeaseMs: 10_000,
      engineLeaseMs: 5000,
      stateDirectory: "/var/lib/flotilla",
      runDirectory: "/run/flotilla",
      apiSocket: "/run/flotilla/flotilla.sock",
      allowSubmit: true,
      rebalancePerMinute: 0,
      lossBrakePercent: 50,
      logLevel: "info",
      logFormat: "text",
    });
  });

  test("a whole file", () => {
    const all = settings({ conf: full });
    assert.deepEqual(all.machine, {
      id: "595989bbcbb749ce8726722d6e157b4e",
      hostname: "one",
      publicIp: "192.0.2.7",
      metadata: { region: "eu", disk: "ssd", expr: "a=b" },
      mayLead: false,
    });
    assert.equal(all.git?.token?.reveal(), "abc#def;ghi");
    assert.deepEqual(
      { ...all.git, token: undefined },
      {
        url: "https://git.example/units.git",
        branch: "live",
        path: "deploy/units",
        schedule: "*/5 * * * *",
        jitterMs: 500,
        username: undefined,
        token: undefined,
        password: undefined,
        caFile: undefined,
        sshKeyFile: undefined,
        knownHostsFile: undefined,
        timeoutMs: 90_000,
      },
    );
    assert.equal(all.registry.password?.reveal(), '"quoted"');
    assert.deepEqual(all.registry.endpoints, [
      "https://10.0.0.1:2379",
      "https://10.0.0.2:2379",
      "https://10.0.0.3:2379",
    ]);
    assert.equal(all.registry.prefix, "/blue/");
    assert.equal(all.registry.caFile, "/etc/ssl/ca.pem");
    assert.equal(all.systemd.concurrency, 10);
    assert.deepEqual([all.machineLeaseMs, all.engineLeaseMs], [20_000, 8000]);
    assert.deepEqual([all.runDirectory, all.apiSocket], ["/srv/run", "/srv/run/flotilla.sock"]);
    assert.deepEqual([all.logLevel, all.logFormat], ["debug", "json"]);
  });

  const layers: readonly (Given & { readonly name: string; readonly branch: string })[] = [
    { name: "file", conf: "[Git]\nBranch=a\n", branch: "a" },
    { name: "a later line wins", conf: "[Git]\nBranch=a\nBranch=b\n", branch: "b" },
    { name: "an empty value takes the default", conf: "[Git]\nBranch=a\nBranch=\n", branch: "main" },
    { name: "environment over file", conf: "[Git]\nBranch=a", environment: { FLOTILLA_GIT_BRANCH: "b" }, branch: "b" },
    {
      name: "empty environment resets the file",
      conf: "[Git]\nBranch=a",
      environment: { FLOTILLA_GIT_BRANCH: "" },
      branch: "main",
    },
    {
      name: "flag over both",
      conf: "[Git]\nBranch=a",
      environment: { FLOTILLA_GIT_BRANCH: "b" },
      flags: { "--git-branch": "c" },
      branch: "c",
    },
  ];
  for (const { name, branch, ...given } of layers)
    test(`layers: ${name}`, () => {
      const conf = `[Git]\nURL=/srv/units.git\n${given.conf ?? ""}`;
      assert.equal(settings({ ...given, conf }).git?.branch, branch);
    });

  test("a list of a stronger layer takes the place of the weaker one's", () => {
    const given = { conf: "[Registry]\nEndpoints=http://a:1,http://b:1\n" };
    const environment = { FLOTILLA_REGISTRY_ENDPOINTS: "http://c:1" };
    assert.deepEqual(settings({ ...given, environment }).registry.endpoints, ["http://c:1"]);
  });

  test("addresses of the machine in the environment are no settings", () => {
    const environment = { FLOTILLA_PRIVATE_IPV4: "10.0.0.1", FLOTILLA_PUBLIC_IPV6: "2001:db8::1" };
    assert.equal(settings({ conf: "[Machine]\nHostname=a\n", environment }).machine.hostname, "a");
  });

  test("an empty line takes a list back", () => {
    const conf = "[Machine]\nMetadata=a=1\nMetadata=\nMetadata=b=2\n";
    assert.deepEqual(settings({ conf }).machine.metadata, { b: "2" });
  });

  test("flotilla.conf hides fleet.conf", () => {
    assert.equal(settings({ conf: "[Machine]\nHostname=x", fleetConf: "public_ip=1.2.3.4" }).machine.publicIp, "");
  });

  const refused: readonly (Given & { readonly name: string; readonly says: readonly string[] })[] = [
    {
      name: "unknown key",
      conf: "[Git]\nBrnach=main\n",
      says: ["flotilla.conf:2: Cannot understand [Git] Brnach= (Did you mean Branch=)"],
    },
    {
      name: "key of another section",
      conf: "[Git]\nMetadata=a=b\n",
      says: ["flotilla.conf:2: Cannot understand [Git] Metadata= (Metadata= belongs into [Machine])"],
    },
    {
      name: "unknown section, once",
      conf: "[Daemon]\nURL=x\nBranch=y\n",
      says: [
        "flotilla.conf:2: Cannot understand section [Daemon] (There are [Machine] [Git] [Registry] [Etcd] [Systemd] [API] [Agent])",
      ],
    },
    {
      name: "misspelled section",
      conf: "[Regstry]\nPrefix=/x\n",
      says: ["flotilla.conf:2: Cannot understand section [Regstry] (Did you mean [Registry])"],
    },
    {
      name: "unknown variable",
      environment: { FLOTILLA_GIT_URI: "/srv/x" },
      says: ["environment: Cannot understand FLOTILLA_GIT_URI (Did you mean FLOTILLA_GIT_URL)"],
    },
    {
      name: "unknown flag",
      flags: { "--git-barnch": "x" },
      says: ["command line: Cannot understand --git-barnch (Did you mean --git-branch)"],
    },
    {
      name: "a line that is none is not shown",
      conf: "[Git]\nURL=/srv/x\nToken hunter2\n",
      says: [
        "flotilla.conf:3: Cannot read this line of the settings (A line is a comment (# or ;), a [Section] or Name=Value)",
      ],
    },
    {
      name: "all problems of all layers",
      conf: "[Machine]\nMayLead=maybe\n[Agent]\nMachineLease=1s\n",
      environment: { FLOTILLA_SYSTEMD_CONCURRENCY: "0" },
      flags: { "--log-level": "loud" },
      says: [
        "flotilla.conf:2: Cannot accept [Machine] MayLead=maybe (It must be yes or no)",
        "flotilla.conf:4: Cannot accept [Agent] MachineLease=1s (It must be a time span such as 30s or 2min from 2s to 1h)",
        "environment: Cannot accept FLOTILLA_SYSTEMD_CONCURRENCY=0 (It must be a whole number from 1 to 1000)",
        "command line: Cannot accept --log-level=loud (It must be debug, info, warn or error)",
      ],
    },
    {
      name: "a bad value is refused also where a stronger layer hides it",
      conf: "[Agent]\nLogLevel=loud\n",
      flags: { "--log-level": "info" },
      says: ["flotilla.conf:2: Cannot accept [Agent] LogLevel=loud (It must be debug, info, warn or error)"],
    },
    {
      name: "one metadata key, two values in two lines",
      conf: "[Machine]\nMetadata=a=1\nMetadata=a=2\n",
      says: [
        'flotilla.conf:3: Cannot accept [Machine] Metadata=a=2 (It must be one value for each key, and "a" is "1" in a line before)',
      ],
    },
    {
      name: "quotes that systemd's files do not need",
      conf: '[Git]\nURL="/srv/units.git"\n',
      says: [
        'flotilla.conf:2: Cannot accept [Git] URL="/srv/units.git" (It must be https://, http://, ssh://, file://, user@host:path or an absolute path, and it is written without quotes)',
      ],
    },
    {
      name: "a line that cannot be read hides nothing, and nothing is said of what may stand in it",
      conf: "[Registry]\nUsername root\nPassword=x\nEndpoints=ftp://a\n[Gti\nURL=a\n[Machine]\nMayLead=perhaps\n",
      says: [
        "flotilla.conf:2: Cannot read this line of the settings (A line is a comment (# or ;), a [Section] or Name=Value)",
        "flotilla.conf:4: Cannot accept [Registry] Endpoints=ftp://a (It must be URLs such as https://10.0.0.1:2379, all https or all http)",
        'flotilla.conf:5: Cannot read the section header "[Gti" (The header has no end "]")',
        "flotilla.conf:8: Cannot accept [Machine] MayLead=perhaps (It must be yes or no)",
      ],
    },
    {
      name: "a schedule of the right shape that is never due",
      conf: "[Git]\nSchedule=99 * * * *\nURL=/srv/units.git\nJitter=-\n",
      says: [
        "flotilla.conf:4: Cannot accept [Git] Jitter=- (It must be a time span such as 30s or 2min from 0s to 1h)",
        "flotilla.conf:2: Cannot accept [Git] Schedule=99 * * * *: Field value (99) is out of range (Write it as in crontab(5), for example */30 * * * * * for every 30 seconds)",
      ],
    },
    {
      name: "password in the repository's URL",
      conf: "[Git]\nURL=https://me:hunter2@git.example/u.git\n",
      says: [
        "flotilla.conf:2: Cannot accept [Git] URL=https://(secret)@git.example/u.git (It must be a URL without user, password or token in it: those belong into Username=, Password= or Token= beside it)",
      ],
    },
    {
      name: "password in a URL as scp has them",
      conf: "[Git]\nURL=deploy:hunter2@git.example:u.git\n",
      says: [
        "flotilla.conf:2: Cannot accept [Git] URL=(secret)@git.example:u.git (It must be a URL without user, password or token in it: those belong into Username=, Password= or Token= beside it)",
      ],
    },
    {
      name: "a blank in the password of a URL",
      conf: "[Git]\nURL=https://me:hunter 2@git.example/u.git\n",
      says: [
        "flotilla.conf:2: Cannot accept [Git] URL=https://(secret)@git.example/u.git (It must be a URL without user, password or token in it: those belong into Username=, Password= or Token= beside it)",
      ],
    },
    {
      name: "what moves a cursor is not printed",
      conf: "[Git]\nURL=\u001b[2Jx\n[X\u202ey]\na=b\n",
      says: [
        "flotilla.conf:2: Cannot accept [Git] URL=?[2Jx (It must be https://, http://, ssh://, file://, user@host:path or an absolute path)",
        "flotilla.conf:4: Cannot understand section [X?y] (There are [Machine] [Git] [Registry] [Etcd] [Systemd] [API] [Agent])",
      ],
    },
    {
      name: "password in an endpoint",
      flags: { "--registry-endpoints": "http://root:hunter2@a:2379" },
      says: [
        "command line: Cannot accept --registry-endpoints=http://(secret)@a:2379 (It must be URLs without a password: that belongs into Username= and Password= beside it)",
      ],
    },
    {
      name: "http and https mixed over two lines",
      conf: "[Registry]\nEndpoints=http://a:2379\nEndpoints=https://b:2379\n",
      says: [
        "flotilla.conf:3: Cannot accept [Registry] Endpoints=https://b:2379 (It must be URLs such as https://10.0.0.1:2379, all https or all http)",
      ],
    },
    {
      name: "certificate without key",
      conf: "[Registry]\nEndpoints=https://a:1\nCertFile=/c.pem\n",
      says: ["flotilla.conf:3: Cannot use [Registry] CertFile alone (Set [Registry] KeyFile= too)"],
    },
    {
      name: "token and password",
      conf: "[Git]\nURL=https://a/b\nUsername=me\nToken=x\nPassword=y\n",
      says: ["flotilla.conf:4: Cannot use [Git] Token together with [Git] Password (Keep the token or the password)"],
    },
    {
      name: "token and its file in one layer",
      conf: "[Git]\nURL=https://a/b\nTokenFile=/t\nToken=x\n",
      secrets: { "/t": valid({ file: "/t", text: "x\n", mode: 0o600 }) },
      says: [
        "flotilla.conf:3: Cannot use [Git] TokenFile together with [Git] Token (Both say the same thing; keep one of them)",
      ],
    },
    {
      name: "a request that may outlast the lease",
      conf: "[Registry]\nRequestTimeout=4s\n[Agent]\nEngineLease=5s\n",
      says: [
        "flotilla.conf:2: Cannot renew a lease of 5s when a request may take 4s (Set [Registry] RequestTimeout= to at most half of [Agent] EngineLease=)",
      ],
    },
    {
      name: "a user's agent without a place for its files",
      conf: "[Systemd]\nScope=user\n",
      environment: { HOME: "/home/me" },
      says: [
        "Cannot tell where [Agent] RunDirectory= is without XDG_RUNTIME_DIR (Set [Agent] RunDirectory= or XDG_RUNTIME_DIR)",
      ],
    },
    {
      name: "a socket path that is too long because its folder is",
      conf: `[Agent]\nRunDirectory=/${"x".repeat(100)}\n`,
      says: [
        `Cannot accept a socket path of 115 bytes: /${"x".repeat(100)}/flotilla.sock (Set [Agent] Socket= to a path of at most 107 bytes)`,
      ],
    },
  ];
  for (const { name, says, ...given } of refused)
    test(`refused: ${name}`, () => assert.deepEqual(problems(given), says));

  const values: readonly { readonly set: string; readonly good: readonly string[]; readonly bad: readonly string[] }[] =
    [
      {
        set: "[Git]\nURL",
        good: [
          "https://git.example/u.git",
          "http://127.0.0.1:8080/u.git",
          "ssh://git@git.example:2222/u.git",
          "ssh://git.example/u.git",
          "git@git.example:team/u.git",
          "git.example:u.git",
          "git@[2001:db8::1]:u.git",
          "/srv/git/u.git",
          "file:///srv/git/u.git",
        ],
        bad: [
          "units.git",
          "./u.git",
          "ftp://git.example/u.git",
          "https://",
          "https://git.example",
          "https://tok@git.example/u.git",
          "https://git.example/u.git?token=x",
          "https://git.example/u.git#main",
          "ssh://git:pw@git.example/u.git",
          "ssh://-oProxyCommand=id/x",
          "-oProxyCommand=id:x",
          "git@-evil:x",
          "ext::sh -c id",
          "file://host/x",
          "/srv/../etc",
          "a b:c",
        ],
      },
      {
        set: "[Git]\nBranch",
        good: ["main", "release/1.2", "v1"],
        bad: ["a b", "a..b", "-x", "a~1", "x.lock", "a/", "@{u}", "@", ".hidden", "a//b", "a:b", "refs\\x"],
      },
      { set: "[Git]\nPath", good: ["units", "a/b/", "/a"], bad: ["../x", "a/../../b", ".git", "a\\b"] },
      {
        set: "[Git]\nSchedule",
        good: ["*/30 * * * * *", "0 4 * * 1-5", "@hourly", "5,10 * * JAN *"],
        bad: ["soon", "* * *", "* * * * * * *", "$(id) * * * *"],
      },
      {
        set: "[Git]\nTimeout",
        good: ["30", "2min", "1h", "1m30s", "0.5min"],
        bad: ["0", "2h", "-1", "abc", "5 parsecs", "infinity", `${"1".repeat(60)}!`, "1.5.5", "s"],
      },
      { set: "[Git]\nJitter", good: ["0", "500ms", "2 s"], bad: ["1d"] },
      {
        set: "[Machine]\nId",
        good: ["595989bbcbb749ce8726722d6e157b4e", "595989BB-CBB7-49CE-8726-722D6E157B4E"],
        bad: ["pingpong", "595989bb", "595989bbcbb749ce8726722d6e157b4g"],
      },
      { set: "[Machine]\nHostname", good: ["a", "one.example"], bad: ["-a", "a_b", "a.", "x".repeat(254)] },
      {
        set: "[Machine]\nPublicIP",
        good: ["10.0.0.1", "2001:db8::3"],
        bad: ["10.0.0.256", "10.0.1", "010.0.0.1", "::g", "host", "1:2"],
      },
      {
        set: "[Machine]\nMetadata",
        good: ["a=b", "a=b,c=d", " a = b , ", "role=x y"],
        bad: ["a", "=b", "a=", "a=b,c", "a b=c", "__proto__=x", "a=1,a=2", `a=${"x".repeat(257)}`],
      },
      { set: "[Machine]\nMayLead", good: ["yes", "TRUE", "1", "off"], bad: ["2", "ja", "yess"] },
      {
        set: "[Registry]\nPrefix",
        good: ["/", "/a", "/a/b/", "/a-b_c.d/"],
        bad: ["a/", "/a//b/", "/a b/", "/../", "/a/./b"],
      },
      {
        set: "[Registry]\nEndpoints",
        good: ["http://127.0.0.1:2379", "https://[::1]:2379,https://b:2379"],
        bad: ["127.0.0.1:2379", "ftp://a:1", "http://a:1/path", "http://a:1,https://b:1", "http://a:1?x"],
      },
      { set: "[Systemd]\nScope", good: ["system"], bad: ["System", "root"] },
      {
        set: "[Systemd]\nAddress",
        good: ["unix:path=/run/systemd/private"],
        bad: ["tcp:host=a", "unix:path=x", "unix:path=/a;unix:path=/b"],
      },
      { set: "[Systemd]\nConcurrency", good: ["1", "1000"], bad: ["0", "1001", "1.5", "-1", "0x10", "ten"] },
      { set: "[Agent]\nStateDirectory", good: ["/srv/x", "/"], bad: ["srv", "/srv/../x", "~/x"] },
      { set: "[Agent]\nEngineLease", good: ["4", "1h"], bad: ["1", "500ms", "3601"] },
      { set: "[Agent]\nLossBrake", good: ["1%", "50%", "100%"], bad: ["0%", "50", "0.5", "101%", "050%", "-1%"] },
      { set: "[Agent]\nLogFormat", good: ["json"], bad: ["xml"] },
    ];
  for (const { set, good, bad } of values) {
    const base = set.startsWith("[Git]") && !set.endsWith("URL") ? "[Git]\nURL=/srv/u.git\n" : "";
    for (const value of good)
      test(`${set.replace("\n", " ")}=${value.slice(0, 40)} is taken`, () =>
        assert.deepEqual(problems({ conf: `${base}${set}=${value}\n` }), []));
    for (const value of bad)
      test(`${set.replace("\n", " ")}=${value.slice(0, 40)} is refused`, () =>
        assert.match(problems({ conf: `${base}${set}=${value}\n` }).join("\n"), /Cannot accept/));
  }

  test("a percentage is a whole number of a hundred", () => {
    assert.equal(settings({ conf: "[Agent]\nLossBrake=7%\n" }).lossBrakePercent, 7);
  });

  test("a stronger layer's Token= takes the place of the file's TokenFile=", () => {
    const given = { conf: "[Git]\nURL=https://a/b\nTokenFile=/t\n", environment: { FLOTILLA_GIT_TOKEN: "env" } };
    assert.equal(settings(given).git?.token?.reveal(), "env");
  });

  test("secret files: read, one trailing line end taken away", () => {
    const secrets = { "/t": valid({ file: "/t", text: "s3cret \n", mode: 0o600 }) };
    const given = { conf: "[Git]\nURL=https://a/b\nTokenFile=/t\n", secrets };
    assert.equal(settings(given).git?.token?.reveal(), "s3cret ");
    assert.deepEqual(warnings(given), []);
  });

  test("secret files: unreadable, empty, of two lines", () => {
    const conf = "[Git]\nURL=https://a/b\nTokenFile=/t\n";
    const said = (secret: Parameters<typeof settle>[0]["secrets"]) => problems({ conf, secrets: secret ?? {} });
    assert.deepEqual(said({ "/t": invalid(new Problem("settings-read", "Cannot read /t", { hint: "Create it" })) }), [
      "flotilla.conf:3: Cannot take the secret of [Git] TokenFile from /t: Cannot read /t (Create it)",
    ]);
    for (const text of ["", "\n", "a\nb\n"])
      assert.deepEqual(said({ "/t": valid({ file: "/t", text, mode: 0o600 }) }), [
        "flotilla.conf:3: Cannot take the secret of [Git] TokenFile from /t (The file must hold exactly one line of at most 4096 bytes)",
      ]);
  });

  test("secret files that may come later: missing, with what says why; what needs them is in order", () => {
    const conf =
      "[API]\nListen=0.0.0.0:1\nTokenFile=/t\n[Registry]\nEndpoints=http://a:1\nUsername=u\nPasswordFile=/t\n";
    const secrets = { "/t": invalid<SettingsText>(new Problem("settings-read", "Cannot read /t")) };
    assert.equal(problems({ conf, secrets }).length, 3);
    const { api, registry } = settings({ conf, secrets, secretsMayCome: true });
    for (const secret of [api.token, registry.password]) {
      assert.ok(secret?.missing !== undefined);
      assert.throws(() => secret.reveal(), /Cannot take the secret of/);
      secret.arrive("here");
      assert.deepEqual([secret.reveal(), secret.missing], ["here", undefined]);
    }
  });

  test("files that hold secrets and are open to others are warned of", () => {
    const secrets = { "/t": valid({ file: "/t", text: "x", mode: 0o644 }) };
    assert.deepEqual(warnings({ conf: "[Git]\nURL=https://a/b\nTokenFile=/t\n", secrets, mode: 0o644 }), [
      "/t: Cannot keep the secret in /t to its owner: its mode is 0644 (Run: chmod 600 /t)",
    ]);
    assert.deepEqual(warnings({ conf: "[Git]\nURL=https://a/b\nToken=x\n", mode: 0o640 }), [
      "flotilla.conf: Cannot keep the secret in flotilla.conf to its owner: its mode is 0640 (Run: chmod 600 flotilla.conf)",
    ]);
  });

  const idle: readonly (Given & { readonly name: string; readonly says: readonly RegExp[] })[] = [
    { name: "nothing set", says: [/Cannot take units from git: no repository is set .*run what people submit alone/] },
    {
      name: "neither git nor a hand",
      conf: "[Agent]\nAllowSubmit=no\n",
      says: [/Cannot take any new unit: no repository is set, and AllowSubmit=no/],
    },
    {
      name: "git without URL",
      conf: "[Git]\nBranch=x\n",
      says: [/^flotilla.conf:2: .*\[Git\] Branch; it has no effect/, /no repository is set/],
    },
    { name: "ssh key with https", conf: "[Git]\nURL=https://a/b\nSSHKeyFile=/k\n", says: [/not reached by ssh/] },
    { name: "token with ssh", conf: "[Git]\nURL=a:b\nToken=x\n", says: [/not reached by https or http/] },
    { name: "token over http", conf: "[Git]\nURL=http://a/b\nToken=x\n", says: [/sends it in the clear/] },
    {
      name: "CA with http endpoints",
      conf: "[Git]\nURL=/a\n[Registry]\nEndpoints=http://a:1\nCAFile=/c\n",
      says: [/endpoints are http/],
    },
    {
      name: "registry user without endpoints",
      conf: "[Git]\nURL=/a\n[Registry]\nUsername=a\nPassword=b\n",
      says: [/\[Registry\] Username; it has no effect/, /\[Registry\] Password; it has no effect/],
    },
  ];
  for (const { name, says, ...given } of idle)
    test(`warned: ${name}`, () => {
      const said = warnings(given);
      assert.equal(said.length, says.length, said.join("\n"));
      for (const [index, pattern] of says.entries()) assert.match(said[index] ?? "", pattern);
    });

  test("a user's agent keeps its files with the user's other files", () => {
    const environment = { HOME: "/home/me", XDG_RUNTIME_DIR: "/run/user/1000" };
    const all = settings({ conf: "[Systemd]\nScope=user\n", environment });
    assert.deepEqual(
      [all.systemd.scope, all.stateDirectory, all.runDirectory, all.apiSocket],
      ["user", "/home/me/.local/state/flotilla", "/run/user/1000/flotilla", "/run/user/1000/flotilla/flotilla.sock"],
    );
  });

  test("no secret gets out: neither by printing settings nor by any problem or warning", () => {
    const conf =
      "[Git]\nURL=https://u:hunter2@a/b\nToken=hunter2\n[Registry]\nPassword=hunter2\nEndpoints=http://x:hunter2@h:1\nhunter2\n";
    const environment = { FLOTILLA_GIT_PASSWORD: "hunter2\u0001", FLOTILLA_REGISTRY_PASSWORD: "hunter2" };
    const refusedAll = settle({ conf, environment, mode: 0o644 });
    assert.equal(refusedAll.settings.ok, false);
    assert.doesNotMatch(inspect(refusedAll, { depth: 10 }), /hunter2/);
    const good = settings({ conf: "[Git]\nURL=https://a/b\nToken=hunter2\n" });
    assert.doesNotMatch(inspect(good, { depth: 10, showHidden: true }) + JSON.stringify(good), /hunter2/);
  });
});
