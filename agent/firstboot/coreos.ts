// flannel, locksmith, updates and the OEM's name: settings of programs that CoreOS brought along and Flatcar still does.
// Where a program is not there, its settings are left out, and that is said.
import type { CloudConfig, Entry } from "../domain/user-data.ts";
import { type Draft, type Given, base, madeLines, shorten, tell, textFile } from "./draft.ts";
import { environmentFileLine, environmentLine } from "./escape.ts";

export const locksmith = "locksmithd.service";
export const flannel = "flanneld.service";
export const updateEngine = "update-engine.service";
/** Where the update settings lie, and what they begin as. */
export const updateFiles: readonly { readonly path: string; readonly base: string }[] = [
  { path: "/etc/flatcar/update.conf", base: "/usr/share/flatcar/update.conf" },
  { path: "/etc/coreos/update.conf", base: "/usr/share/coreos/update.conf" },
];

/** Ids of the steps after which a service has to start anew, by unit. */
export type Changes = Map<string, string[]>;

export function planCoreos(
  given: Given,
  { changes, draft }: { readonly changes: Changes; readonly draft: Draft },
): void {
  planFlannel(given, { changes, draft });
  planLocksmith(given, { changes, draft });
  planOem(given.config, draft);
  planUpdate(given, draft);
}

/** Whether the unit is there or the document brings it; says so when not. */
function isThere({ config, facts }: Given, unit: string, entries: readonly Entry[], draft: Draft): boolean {
  if (facts.units.has(unit) || config.units.some(({ name, content }) => name === unit && content !== undefined))
    return true;
  tell(draft, "warning", {
    code: "boot-service-missing",
    message: `Leaving out the settings for ${unit}: it is not on this machine`,
    hint: "They are for CoreOS and Flatcar",
    at: entries[0]?.at,
  });
  return false;
}

function planFlannel(given: Given, { changes, draft }: { changes: Changes; draft: Draft }): void {
  const entries = given.config.flannel;
  if (entries.length === 0 || !isThere(given, flannel, entries, draft)) return;
  const lines = filled(entries).map(({ key, value }) =>
    environmentFileLine(`FLANNELD_${key === "interface" ? "IFACE" : key.toUpperCase()}`, value),
  );
  const isSecret = entries.some((entry) => entry.isSecret);
  draft.steps.push({
    ...base("own flannel options", { stage: "files", at: entries[0]?.at }),
    kind: "file",
    file: textFile("/run/flannel/options.env", { lines, mode: isSecret ? 0o600 : 0o644, isSecret }),
  });
  changes.set(flannel, ["own flannel options"]);
}

const filled = (entries: readonly Entry[]): readonly Entry[] => entries.filter(({ value }) => value !== "");

function planLocksmith(given: Given, { changes, draft }: { changes: Changes; draft: Draft }): void {
  const entries = given.config.locksmith;
  if (entries.length === 0 || !isThere(given, locksmith, entries, draft)) return;
  const lines = filled(entries).map(({ key, value }) =>
    environmentLine(
      key.startsWith("window_") ? `REBOOT_${key.toUpperCase()}` : `LOCKSMITHD_${key.toUpperCase()}`,
      value,
    ),
  );
  const isSecret = entries.some((entry) => entry.isSecret);
  const id = `drop-in ${locksmith}.d/20-flotilla.conf`;
  draft.steps.push({
    ...base(id, { stage: "files", at: entries[0]?.at }),
    kind: "file",
    file: textFile(`/etc/systemd/system/${locksmith}.d/20-flotilla.conf`, {
      lines: [...madeLines, "[Service]", ...lines],
      mode: isSecret ? 0o600 : 0o644,
      isSecret,
    }),
  });
  changes.set(locksmith, [id]);
}

function planOem({ oem }: CloudConfig, draft: Draft): void {
  const values = new Map(filled(oem).map(({ key, value }) => [key, value]));
  if (!values.has("id")) return;
  const lines = ["id", "name", "version_id", "home_url", "bug_report_url"].flatMap((key) => {
    const value = values.get(key);
    return value === undefined ? [] : [environmentFileLine(key.toUpperCase(), value)];
  });
  draft.steps.push({
    ...base("oem release", { stage: "files", at: oem[0]?.at }),
    kind: "file",
    file: textFile("/etc/oem-release", { lines }),
  });
}

function planUpdate({ config: { update }, facts }: Given, draft: Draft): void {
  const entries = filled(update);
  const [first] = entries;
  if (first === undefined) return;
  const file = updateFiles.find(({ path, base: from }) => facts.paths.has(path) || facts.paths.has(from));
  if (file === undefined) {
    tell(draft, "warning", {
      code: "boot-service-missing",
      message: "Leaving out coreos.update: this machine does not update itself as CoreOS does",
      hint: "Set up the distribution's own updates, such as unattended-upgrades or dnf-automatic",
      at: first.at,
    });
    return;
  }
  const values: Record<string, string> = {};
  for (const { key, value, at } of entries)
    if (key === "reboot_strategy") values["REBOOT_STRATEGY"] = strategy(value, { at, draft });
    else if (key === "group" || key === "server") values[key.toUpperCase()] = value;
  const id = "update settings";
  draft.steps.push({
    ...base(id, { stage: "files", at: first.at }),
    kind: "variables",
    path: file.path,
    base: file.base,
    values,
  });
  if (values["REBOOT_STRATEGY"] !== undefined && facts.units.has(locksmith))
    planStrategy(values["REBOOT_STRATEGY"], { id, draft });
  if ((values["GROUP"] !== undefined || values["SERVER"] !== undefined) && facts.units.has(updateEngine))
    draft.steps.push({
      ...base(`restart ${updateEngine}`, { stage: "units", at: first.at }),
      onlyAfter: [id],
      kind: "unit",
      unit: updateEngine,
      command: "restart",
    });
}

function strategy(value: string, { at, draft }: { at: Entry["at"]; draft: Draft }): string {
  if (value === "etcd-lock")
    tell(draft, "warning", {
      code: "boot-update-strategy",
      message: "Handing reboot_strategy etcd-lock on: locksmith needs etcd's old v2 API for it",
      hint: "With etcd 3.6 and later machines would not reboot; take reboot or off",
      at,
    });
  if (value !== "best-effort") return value;
  tell(draft, "warning", {
    code: "boot-update-strategy",
    message: `Taking reboot_strategy "reboot" for "${shorten(value)}", which locksmith has no more`,
    at,
  });
  return "reboot";
}

/** Off: locksmith is stopped and kept from starting, until the next boot says so again. */
function planStrategy(value: string, { id, draft }: { readonly id: string; readonly draft: Draft }): void {
  const path = `/run/systemd/system/${locksmith}`;
  if (value === "off")
    draft.steps.push(
      { ...base(`mask ${locksmith}`, { stage: "units" }), kind: "link", path, target: "/dev/null" },
      { ...base(`reload for ${locksmith}`, { stage: "units" }), onlyAfter: [`mask ${locksmith}`], kind: "reload" },
      {
        ...base(`stop ${locksmith}`, { stage: "units" }),
        onlyAfter: [`mask ${locksmith}`, id],
        kind: "unit",
        unit: locksmith,
        command: "stop",
      },
    );
  else
    draft.steps.push(
      { ...base(`unmask ${locksmith}`, { stage: "units" }), kind: "unmask", path },
      { ...base(`reload for ${locksmith}`, { stage: "units" }), onlyAfter: [`unmask ${locksmith}`], kind: "reload" },
      {
        ...base(`restart ${locksmith}`, { stage: "units" }),
        onlyAfter: [`unmask ${locksmith}`, id],
        kind: "unit",
        unit: locksmith,
        command: "restart",
      },
    );
}
