// The front door: what file, environment and flags say -> checked settings, or every problem of all of them.
// Given to wire and to commands. Pure: who calls it reads the files, first these and then the secret files it names.
import { invalid, valid, Problem, type Checked } from "../domain/problem.ts";
import type { Settings, SettingsText } from "../domain/settings.ts";
import schema from "../../schemas/settings.json" with { type: "json" };
import { compileSchema } from "../text/schema.ts";
import { buildSettings, defaultDirectories } from "./build.ts";
import { Choice } from "./chosen.ts";
import { confLayer } from "./conf.ts";
import { fleetConfLayer } from "./fleet-conf.ts";
import { stack, type Choices, type Chosen, type Layer, type Origin } from "./layers.ts";
import { findOption, options, type Kind } from "./options.ts";
import { acrossOptions, withoutEffect } from "./rules.ts";
import { maxSecretBytes, shorten, type Value } from "./values.ts";
import { environmentLayer, flagLayer } from "./words.ts";

export interface SettingsSources {
  /** flotilla.conf; undefined when there is none. */
  readonly conf: SettingsText | undefined;
  /** fleet.conf; counts only when there is no flotilla.conf. */
  readonly fleetConf: SettingsText | undefined;
  /** All of it: of others' variables only XDG_RUNTIME_DIR, XDG_STATE_HOME and HOME are looked at, with Scope=user. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** By name with dashes, as `settingFlags` gives them: `{"--git-url": "..."}`. */
  readonly flags: Readonly<Record<string, string | undefined>>;
}

/** What was set, before the secret files are read. */
export interface SettingsDraft {
  readonly choices: Choices;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Lines could not be read: nobody knows what is missing. */
  readonly isPartial: boolean;
  /** Absolute paths of the files to read, each once. */
  readonly secretFiles: readonly string[];
}

/** What others know better than this room. */
export interface SettingsChecks {
  /** Whether a schedule of the right shape is ever due. */
  readonly checkSchedule: (schedule: string) => Checked<string>;
  /** A secret file that cannot be used is no problem: its Secret is missing, and says why. */
  readonly secretsMayCome?: true;
}

/** Warnings are for the log; they stand also beside problems. */
export interface SettingsResult {
  readonly settings: Checked<Settings>;
  readonly warnings: readonly Problem[];
}

/** A setting as a flag of a command: every flag takes one value. */
export interface SettingFlag {
  /** `--git-url`. */
  readonly flag: string;
  /** `URL`, `PATH`, `TIME`, ...: the value's place in a help text. */
  readonly value: string;
  readonly description: string;
}

/** Flags of all settings that may be shown on a command line, in the order of the documents. */
export function settingFlags(): readonly SettingFlag[] {
  return options.flatMap(({ flag, kind, key, schema: { description } }) =>
    flag === undefined ? [] : [{ flag, value: key === "URL" ? "URL" : placeholders[kind], description }],
  );
}

const placeholders: Readonly<Record<Kind, string>> = {
  text: "TEXT",
  choice: "WORD",
  boolean: "YES|NO",
  count: "N",
  duration: "TIME",
  list: "LIST",
  map: "KEY=VALUE,...",
  path: "PATH",
  secret: "TEXT",
  "secret-file": "PATH",
};

/** First step: reads all sources. Nothing is lost when there are problems: `completeSettings` tells them all. */
export function draftSettings({ conf, fleetConf, environment, flags }: SettingsSources): SettingsDraft {
  const layers: Layer[] = [];
  if (conf !== undefined) layers.push(confLayer(conf));
  else if (fleetConf !== undefined) layers.push(fleetConfLayer(fleetConf));
  layers.push(environmentLayer(environment), flagLayer(flags));
  const { choices, problems } = stack(layers);
  const file = conf ?? fleetConf;
  const secretFiles = [...choices].flatMap(([name, { value }]) =>
    findOption(name)?.kind === "secret-file" && typeof value === "string" ? [value] : [],
  );
  const open = file === undefined ? [] : openFile(file, choices);
  const isCommanding = file !== undefined && choices.get(commandingSecret)?.origin.at?.file === file.file;
  return {
    choices,
    problems: isCommanding ? [...problems, ...open] : problems,
    warnings: [...layers.flatMap((layer) => layer.warnings), ...(isCommanding ? [] : open)],
    environment,
    isPartial: layers.some(({ isPartial }) => isPartial === true),
    secretFiles: [...new Set(secretFiles)],
  };
}

/** Who knows this secret commands the cluster: where others can read it, the agent does not start. */
const commandingSecret = "API.Token";

/** A secret in a file that others may read is no secret. */
function openFile({ file, mode }: SettingsText, choices: Choices): readonly Problem[] {
  const holds = [...choices].some(
    ([name, { origin }]) => origin.at?.file === file && findOption(name)?.kind === "secret",
  );
  return holds ? tooOpen(file, mode) : [];
}

function tooOpen(file: string, mode: number): readonly Problem[] {
  if ((mode & 0o077) === 0) return [];
  const digits = (mode & 0o777).toString(8).padStart(4, "0");
  return [
    new Problem("secret-file-mode", `Cannot keep the secret in ${file} to its owner: its mode is ${digits}`, {
      hint: `Run: chmod 600 ${file}`,
      at: { file },
    }),
  ];
}

/**
 * Second step: the settings, or all problems at once (codes "setting-value", "setting-unknown", "setting-conflict",
 * "setting-missing", those of the unit file parser, and those of the secret files).
 * `secrets` holds what came of reading each of `draft.secretFiles`.
 */
export function completeSettings(
  draft: SettingsDraft,
  secrets: ReadonlyMap<string, Checked<SettingsText>>,
  { checkSchedule, secretsMayCome }: SettingsChecks,
): SettingsResult {
  const missing = new Map<string, Problem>();
  const warnings = [...draft.warnings];
  const problems = [...draft.problems];
  const choices = new Map(draft.choices);
  for (const [name, chosen] of draft.choices) {
    const option = findOption(name);
    if (option?.kind !== "secret-file" || option.insteadOf === undefined || typeof chosen.value !== "string") continue;
    const read = readSecret({ path: chosen.value, origin: chosen.origin }, secrets.get(chosen.value));
    const [first] = read.ok ? [] : read.problems;
    if (first !== undefined && secretsMayCome === true) {
      missing.set(option.insteadOf, first);
      choices.set(option.insteadOf, { value: "", origin: chosen.origin });
    } else if (!read.ok) problems.push(...read.problems);
    else {
      const open = tooOpen(read.value.file, read.value.mode);
      (option.insteadOf === commandingSecret ? problems : warnings).push(...open);
      choices.set(option.insteadOf, { value: read.value.text, origin: chosen.origin });
    }
  }
  const chosen = new Choice(choices, missing);
  const directories = defaultDirectories(chosen, draft.environment);
  problems.push(...neverDue(chosen.chosen("Git.Schedule"), checkSchedule));
  problems.push(...directories.problems);
  // Of what one option asks of another nothing is known: the other may stand in a line that could not be read
  if (!draft.isPartial) {
    problems.push(...acrossOptions(chosen));
    warnings.push(...withoutEffect(chosen));
  }
  if (problems.length === 0) problems.push(...againstSchema(choices));
  if (problems.length > 0) return { settings: invalid(...problems), warnings };
  const settings = buildSettings(chosen, directories);
  const socketBytes = new TextEncoder().encode(settings.apiSocket).length;
  if (socketBytes > maxSocketBytes)
    return {
      settings: invalid(
        new Problem("setting-value", `Cannot accept a socket path of ${socketBytes} bytes: ${settings.apiSocket}`, {
          hint: `Set [Agent] Socket= to a path of at most ${maxSocketBytes} bytes`,
        }),
      ),
      warnings,
    };
  return { settings: valid(settings), warnings };
}

function neverDue(chosen: Chosen | undefined, checkSchedule: SettingsChecks["checkSchedule"]): readonly Problem[] {
  if (typeof chosen?.value !== "string") return [];
  const { label, at } = chosen.origin;
  const checked = checkSchedule(chosen.value);
  if (checked.ok) return [];
  const message = `Cannot accept ${label}=${shorten(chosen.value)}`;
  return checked.problems.map(({ hint, cause }) => new Problem("setting-value", message, { hint, cause, at }));
}

/** A unix socket's path has room for 108 bytes with its end (unix(7)). */
const maxSocketBytes = 107;

function readSecret(
  { path, origin }: { readonly path: string; readonly origin: Origin },
  found: Checked<SettingsText> | undefined,
): Checked<SettingsText> {
  if (found === undefined) throw new Error(`Nothing was read for ${path}`);
  if (!found.ok)
    return invalid(
      ...found.problems.map(
        (cause) =>
          new Problem("setting-value", `Cannot take the secret of ${origin.label} from ${path}`, {
            hint: cause.hint,
            at: origin.at,
            cause,
          }),
      ),
    );
  const text = found.value.text.replace(/\r?\n$/, "");
  if (text !== "" && !/\p{Cc}/u.test(text) && text.length <= maxSecretBytes) return valid({ ...found.value, text });
  return invalid(
    new Problem("setting-value", `Cannot take the secret of ${origin.label} from ${path}`, {
      hint: `The file must hold exactly one line of at most ${maxSecretBytes} bytes`,
      at: origin.at,
    }),
  );
}

const checkShape = compileSchema<unknown>(schema, { code: "setting-value" });

/** The merged settings as data of schemas/settings.json; a secret's text stays out of it. */
function againstSchema(choices: Choices): readonly Problem[] {
  const data: Record<string, Record<string, Value>> = {};
  for (const { name, section, key, kind } of options) {
    const chosen = choices.get(name);
    if (chosen !== undefined) (data[section] ??= {})[key] = kind === "secret" ? "(secret)" : chosen.value;
  }
  const checked = checkShape(data);
  return checked.ok ? [] : checked.problems;
}
