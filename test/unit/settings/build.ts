// Small builders for the tests of settings: what was written, and the settings or problems that come of it.
import assert from "node:assert/strict";
import { checkSchedule } from "../../../agent/adapters/cron.ts";
import { describeProblem, toRecord, type Checked } from "../../../agent/domain/problem.ts";
import type { Settings, SettingsText } from "../../../agent/domain/settings.ts";
import { completeSettings, draftSettings, type SettingsResult } from "../../../agent/settings/settings.ts";

export interface Given {
  readonly conf?: string;
  readonly fleetConf?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly flags?: Readonly<Record<string, string>>;
  readonly secrets?: Readonly<Record<string, Checked<SettingsText>>>;
  readonly mode?: number;
  readonly secretsMayCome?: true;
}

export function settle({
  conf,
  fleetConf,
  environment = {},
  flags = {},
  secrets = {},
  mode = 0o600,
  secretsMayCome,
}: Given): SettingsResult {
  const file = (name: string, text: string | undefined): SettingsText | undefined =>
    text === undefined ? undefined : { file: name, text, mode };
  const draft = draftSettings({
    conf: file("flotilla.conf", conf),
    fleetConf: file("fleet.conf", fleetConf),
    environment,
    flags,
  });
  return completeSettings(draft, new Map(Object.entries(secrets)), {
    checkSchedule,
    ...(secretsMayCome === true ? { secretsMayCome } : {}),
  });
}

export function settings(given: Given): Settings {
  const { settings: checked } = settle(given);
  if (!checked.ok) assert.fail(checked.problems.map((each) => describeProblem(toRecord(each))).join("\n"));
  return checked.value;
}

/** Each problem as one line; empty when the settings are right. */
export function problems(given: Given): readonly string[] {
  const { settings: checked } = settle(given);
  return checked.ok ? [] : checked.problems.map((each) => describeProblem(toRecord(each)));
}

export function warnings(given: Given): readonly string[] {
  return settle(given).warnings.map((each) => describeProblem(toRecord(each)));
}
