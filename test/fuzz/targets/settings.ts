// Settings: flotilla.conf, fleet.conf, the environment, flags, and secret files. No secret of them may stand in a problem.
import { checkSchedule } from "../../../agent/adapters/cron.ts";
import { Problem, explainError, invalid, valid } from "../../../agent/domain/problem.ts";
import { completeSettings, draftSettings } from "../../../agent/settings/settings.ts";
import { type Said, type Target, mustHold, reasons, textOf } from "../target.ts";

const secret = "xyzzy5ecret";

/** `--- NAME` begins a place where settings stand; without one it is all flotilla.conf. */
function placesIn(text: string): ReadonlyMap<string, string> {
  const places = new Map<string, string>();
  const parts = `--- conf\n${text}`.split(/^--- /m).slice(1);
  for (const part of parts) {
    const end = part.indexOf("\n");
    const name = end < 0 ? part : part.slice(0, end);
    places.set(name, `${places.get(name) ?? ""}${end < 0 ? "" : part.slice(end + 1)}`);
  }
  return places;
}

/** Lines `NAME=VALUE`; without a prototype, as the process's own environment is. */
function variablesIn(text: string | undefined): Readonly<Record<string, string>> {
  const variables = Object.create(null) as Record<string, string>;
  for (const line of (text ?? "").split("\n")) {
    const at = line.indexOf("=");
    if (at > 0) variables[line.slice(0, at)] = line.slice(at + 1);
  }
  return variables;
}

export const target: Target = {
  name: "settings",
  reads: "settings from files, environment and flags",
  maxBytes: 128 * 1024,
  readings: 2,
  words: [
    ...[
      "--- conf\n",
      "--- fleet\n",
      "--- environment\n",
      "--- flags\n",
      "--- secret\n",
      "[Agent]\n",
      "[Git]\n",
      "[Registry]\n",
    ],
    ...[
      "[Machine]\n",
      "[Etcd]\n",
      "[API]\n",
      "URL=https://git.example.org/u.git\n",
      "Branch=main\n",
      "Schedule=",
      "*/5 * * * *\n",
    ],
    ...[
      "Metadata=",
      "a=b,c=d",
      "Endpoints=",
      "http://10.0.0.1:2379",
      "PublicIP=",
      "Listen=0.0.0.0:4000\n",
      "TokenFile=/t\n",
      "Token=",
    ],
    ...[
      "Password=",
      "2min 30s",
      "500ms",
      "yes",
      "no",
      "FLOTILLA_GIT_URL=",
      "--git-url=",
      'etcd_servers=["http://a:4001"]\n',
    ],
    ...[
      'metadata="a=b"\n',
      "public_ip=",
      "verbosity=1\n",
      "https://u:p@h/x",
      "::1",
      "[::1]:80",
      "Discovery=https://d/t\n",
      "Scope=user\n",
    ],
    ...["InitialCluster=", "m1=http://10.0.0.1:2380", "Id=", "/run/x", "10min", "1", "1 1 1", ",", "="],
  ],
  run(input) {
    const places = placesIn(textOf(input));
    const plain = settle(places, "");
    // Two line ends end whatever the input has left open
    const own = `\n\n[Git]\nPassword=${secret}-a\n[API]\nToken=${secret}-b\nToken= ${secret} c\n`;
    const withOwn = settle(places, own, { FLOTILLA_REGISTRY_PASSWORD: `${secret}-d\u0007` });
    for (const problem of withOwn.problems)
      mustHold(!`${explainError(problem)} ${problem.hint ?? ""}`.includes(secret), `no secret in: ${problem.message}`);
    return plain;
  },
};

function settle(
  places: ReadonlyMap<string, string>,
  own: string,
  variables: Readonly<Record<string, string>> = {},
): Said {
  const file = (name: string, text: string | undefined) =>
    text === undefined ? undefined : { file: name, text, mode: 0o600 };
  const conf = places.get("conf") ?? "";
  const draft = draftSettings({
    conf: file("flotilla.conf", conf === "" && places.has("fleet") ? undefined : `${conf}${own}`),
    fleetConf: file("fleet.conf", places.get("fleet")),
    environment: { ...variablesIn(places.get("environment")), ...variables },
    flags: variablesIn(places.get("flags")),
  });
  const secretText = places.get("secret");
  const read = draft.secretFiles.map((path) => {
    const missing = invalid(new Problem("settings-file", `Cannot read ${path}`));
    return [path, secretText === undefined ? missing : valid({ file: path, text: secretText, mode: 0o600 })] as const;
  });
  const { settings, warnings } = completeSettings(draft, new Map(read), { checkSchedule });
  const problems = [...(settings.ok ? [] : reasons(settings.problems)), ...warnings];
  return { outcome: settings.ok ? "taken" : "refused", problems };
}
