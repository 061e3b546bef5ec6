// What the host itself is set to: time zone, locale, keyboard, time servers, trusted certificates. Each by the files that
// this distribution reads.
import type { SetupFacts, Step } from "../domain/first-boot.ts";
import type { Place } from "../domain/problem.ts";
import { type Draft, type Given, base, madeLines, tell, textFile } from "./draft.ts";
import { blockName } from "./names.ts";

export const zoneFolder = "/usr/share/zoneinfo";
export const localeFolder = "/usr/share/i18n/locales";

export function isDebian({ systems }: SetupFacts): boolean {
  return systems.some((system) => ["debian", "ubuntu"].includes(system));
}

export function planHostWords(given: Given, draft: Draft): void {
  planTimezone(given, draft);
  planLocale(given, draft);
  planKeyboard(given, draft);
  planTimeServers(given, draft);
  planCertificates(given, draft);
}

function planTimezone({ config: { timezone, packages }, facts }: Given, draft: Draft): void {
  if (timezone === undefined) return;
  const { value: zone, at } = timezone;
  const path = `${zoneFolder}/${zone}`;
  const hasZones = facts.paths.has(zoneFolder);
  if (!facts.paths.has(path) && !packages.some(({ value }) => value.startsWith("tzdata"))) {
    tell(draft, "error", {
      code: "boot-timezone",
      message: `Cannot set the time zone "${zone}": there is no ${path}`,
      hint: hasZones
        ? "Take a name such as Europe/Berlin or UTC"
        : "The image has no time zones; add tzdata to packages:",
      at,
    });
    return;
  }
  draft.steps.push({
    ...base("timezone", { stage: "files", at }),
    kind: "link",
    path: "/etc/localtime",
    target: `..${path}`,
  });
  if (isDebian(facts))
    draft.steps.push({
      ...base("timezone name", { stage: "files", at }),
      kind: "file",
      file: textFile("/etc/timezone", { lines: [zone] }),
    });
}

function planLocale({ config: { locale }, facts }: Given, draft: Draft): void {
  if (locale === undefined) return;
  const { value: name, at } = locale;
  const [language = "", charset] = name.split(".");
  const isBuiltIn = /^(C|POSIX)(\.|$)/.test(name);
  if (!isBuiltIn && isDebian(facts)) {
    if (!facts.programs.has("locale-gen")) {
      tell(draft, "warning", {
        code: "boot-locale",
        message: `Cannot make the locale "${name}": there is no locale-gen`,
        hint: "Add locales to packages:",
        at,
      });
    } else {
      const id = "block /etc/locale.gen";
      const full = charset === undefined ? `${name} ${charsetOf("UTF-8")}` : `${name} ${charsetOf(charset)}`;
      draft.steps.push(
        {
          ...base(id, { stage: "files", at }),
          kind: "block",
          path: "/etc/locale.gen",
          name: blockName,
          lines: [full],
        },
        {
          ...base("make locale", { stage: "files", at }),
          onlyAfter: [id],
          kind: "command",
          argv: ["locale-gen"],
          input: undefined,
          means: `make the locale ${name}`,
        },
      );
    }
  } else if (!isBuiltIn && facts.paths.has(localeFolder) && !facts.paths.has(`${localeFolder}/${language}`))
    tell(draft, "warning", {
      code: "boot-locale",
      message: `Cannot find the locale "${name}" on this machine`,
      hint: "Programs fall back to C; add the language's package to packages:",
      at,
    });
  draft.steps.push({
    ...base("locale", { stage: "files", at }),
    kind: "variables",
    path: isDebian(facts) ? "/etc/default/locale" : "/etc/locale.conf",
    base: undefined,
    values: { LANG: name },
  });
}

/** `utf8` is what `locale -a` prints; locale.gen wants `UTF-8`. */
function charsetOf(charset: string): string {
  return /^utf-?8(@|$)/i.test(charset) ? "UTF-8" : charset;
}

function planKeyboard({ config: { keyboard }, facts }: Given, draft: Draft): void {
  if (keyboard === undefined) return;
  const { layout, model, variant } = keyboard.value;
  const xkb = {
    XKBLAYOUT: layout,
    ...(model === "" ? {} : { XKBMODEL: model }),
    ...(variant === "" ? {} : { XKBVARIANT: variant }),
  };
  draft.steps.push({
    ...base("keyboard", { stage: "files", at: keyboard.at }),
    kind: "variables",
    path: isDebian(facts) ? "/etc/default/keyboard" : "/etc/vconsole.conf",
    base: undefined,
    values: isDebian(facts) ? xkb : { KEYMAP: variant === "" ? layout : `${layout}-${variant}`, ...xkb },
  });
}

export const chronyUnits: readonly string[] = ["chrony.service", "chronyd.service"];
export const timesyncd = "systemd-timesyncd.service";
export const chronySources = "/etc/chrony/sources.d";

/** What keeps this machine's time. */
export function timeUnit({ units }: SetupFacts): string | undefined {
  return [...chronyUnits, timesyncd].find((unit) => units.has(unit));
}

function planTimeServers({ config: { ntp }, facts }: Given, draft: Draft): void {
  if (ntp === undefined) return;
  const { at } = ntp;
  const { enabled, servers, pools } = ntp.value;
  const unit = timeUnit(facts);
  if (unit === undefined) {
    tell(draft, "warning", {
      code: "boot-ntp",
      message: "Cannot set time servers: there is neither chrony nor systemd-timesyncd",
      hint: "Add chrony or systemd-timesyncd to packages:",
      at,
    });
    return;
  }
  if (!enabled) {
    draft.steps.push(
      { ...base(`enable ${unit}`, { stage: "files", at }), kind: "enable", unit, runtime: false, enabled: false },
      { ...base(`stop ${unit}`, { stage: "units", at, frequency: "each-boot" }), kind: "unit", unit, command: "stop" },
    );
    return;
  }
  const id = timeServerFile({ servers, pools, unit, at, facts }, draft);
  draft.steps.push({
    ...base(`enable ${unit}`, { stage: "files", at }),
    kind: "enable",
    unit,
    runtime: false,
    enabled: true,
  });
  draft.steps.push({
    ...base(`restart ${unit}`, { stage: "units", at }),
    onlyAfter: [...id, `enable ${unit}`],
    kind: "unit",
    unit,
    command: "restart",
  });
  draft.watch.push(unit);
}

function timeServerFile(
  {
    servers,
    pools,
    unit,
    at,
    facts,
  }: {
    readonly servers: readonly string[];
    readonly pools: readonly string[];
    readonly unit: string;
    readonly at: Place;
    readonly facts: SetupFacts;
  },
  draft: Draft,
): readonly string[] {
  if (servers.length + pools.length === 0) return [];
  if (unit === timesyncd) {
    draft.steps.push({
      ...base("own time servers", { stage: "files", at }),
      kind: "file",
      file: textFile("/etc/systemd/timesyncd.conf.d/50-flotilla.conf", {
        lines: [...madeLines, "[Time]", `NTP=${[...servers, ...pools].join(" ")}`],
      }),
    });
    return ["own time servers"];
  }
  const lines = [...servers.map((server) => `server ${server} iburst`), ...pools.map((pool) => `pool ${pool} iburst`)];
  if (facts.paths.has(chronySources)) {
    draft.steps.push({
      ...base("own time servers", { stage: "files", at }),
      kind: "file",
      file: textFile(`${chronySources}/flotilla.sources`, { lines: [...madeLines, ...lines] }),
    });
    return ["own time servers"];
  }
  const path = facts.paths.has("/etc/chrony/chrony.conf") ? "/etc/chrony/chrony.conf" : "/etc/chrony.conf";
  draft.steps.push({
    ...base(`block ${path}`, { stage: "files", at }),
    kind: "block",
    path,
    name: blockName,
    lines,
  });
  return [`block ${path}`];
}

/** Where each family of distributions keeps trust anchors, and what reads them. */
const anchors: readonly { readonly program: string; readonly folder: string; readonly suffix: string }[] = [
  { program: "update-ca-trust", folder: "/etc/pki/ca-trust/source/anchors", suffix: "pem" },
  { program: "update-ca-certificates", folder: "/usr/local/share/ca-certificates", suffix: "crt" },
];
const flatcarAnchors = { program: "update-ca-certificates", folder: "/etc/ssl/certs", suffix: "pem" };

export function isFlatcar({ systems }: SetupFacts): boolean {
  return systems.some((system) => ["flatcar", "coreos"].includes(system));
}

function planCertificates({ config: { caCerts }, facts }: Given, draft: Draft): void {
  if (caCerts === undefined) return;
  const { at } = caCerts;
  const { removeDefaults, trusted } = caCerts.value;
  const store = anchorsOf(facts);
  if (store === undefined) {
    tell(draft, "error", {
      code: "boot-ca-certs",
      message: "Cannot trust certificates: there is neither update-ca-certificates nor update-ca-trust",
      hint: "Put ca-certificates into the image",
      at,
    });
    return;
  }
  const changed: string[] = [];
  if (removeDefaults && isDebian(facts)) {
    changed.push("remove default certificates");
    draft.steps.push({
      ...base("remove default certificates", { stage: "files", at, frequency: "once-per-instance" }),
      kind: "command",
      argv: ["/bin/sh", "-c", "sed -i -e 's/^[^#!]/!&/' /etc/ca-certificates.conf"],
      input: undefined,
      means: "take the system's own certificates out of what is trusted",
    });
  } else if (removeDefaults)
    tell(draft, "warning", {
      code: "boot-ca-certs",
      message: "Leaving the system's own certificates trusted: this distribution has no list to take them from",
      hint: "Take remove_defaults: out of the document",
      at,
    });
  for (const [index, text] of trusted.entries()) {
    const id = `own certificate ${index + 1}`;
    changed.push(id);
    draft.steps.push({
      ...base(id, { stage: "files", at }),
      kind: "file",
      file: textFile(`${store.folder}/flotilla-${index + 1}.${store.suffix}`, { lines: [text.trim()] }),
    });
  }
  if (changed.length === 0) return;
  const trust = trustStep(facts, changed);
  if (trust !== undefined) draft.steps.push({ ...trust, at });
}

function anchorsOf(facts: SetupFacts): (typeof anchors)[number] | undefined {
  return isFlatcar(facts) ? flatcarAnchors : anchors.find(({ program }) => facts.programs.has(program));
}

/** Undefined: nothing here reads them. */
export function trustStep(facts: SetupFacts, after: readonly string[]): Step | undefined {
  const store = anchorsOf(facts);
  if (store === undefined) return undefined;
  return {
    ...base("trust certificates", { stage: "files" }),
    onlyAfter: after,
    kind: "command",
    argv: [store.program],
    input: undefined,
    means: "trust the certificates",
  };
}
