// Typed values -> CloudConfig, with the checks that ask more than one key. What is wrong is in the notes; what could be
// read is in the result all the same.
import type { CloudConfig } from "../domain/user-data.ts";
import { readGroups, readPasswords, readUsers } from "./accounts.ts";
import { readEntries, readSettings } from "./entries.ts";
import { readEtcd } from "./etcd.ts";
import { readFiles } from "./files.ts";
import { authorizedKeys } from "./keys.ts";
import type { Reader } from "./reader.ts";
import {
  readCaCerts,
  readCommands,
  readKeyboard,
  readManageEtcHosts,
  readMounts,
  readNtp,
  readPackages,
  readPhoneHome,
  readPowerState,
  readSshKeys,
  readSwap,
} from "./system.ts";
import { readUnits } from "./units.ts";
import { type MapValue, emptyMap } from "./values.ts";

export function buildConfig(reader: Reader, root: MapValue): CloudConfig {
  const coreos = reader.map(root, "coreos") ?? emptyMap(root.at);
  const isOn = (key: string, old?: string): boolean =>
    (reader.flag(root, key) ?? (old === undefined ? undefined : reader.flag(root, old))) === true;
  return {
    hostname: reader.text(root, "hostname"),
    fqdn: reader.text(root, "fqdn"),
    preferFqdn: isOn("prefer_fqdn_over_hostname"),
    preserveHostname: isOn("preserve_hostname"),
    manageEtcHosts: readManageEtcHosts(reader, root),
    sshAuthorizedKeys: authorizedKeys(reader.texts(root, "ssh_authorized_keys"), reader.notes),
    users: readUsers(reader, root),
    groups: readGroups(reader, root),
    writeFiles: readFiles(reader, root),
    bootCommands: readCommands(reader, root, "bootcmd"),
    runCommands: readCommands(reader, root, "runcmd"),
    timezone: reader.text(root, "timezone"),
    locale: readLocale(reader, root),
    keyboard: readKeyboard(reader, root),
    ntp: readNtp(reader, root),
    mounts: readMounts(reader, root),
    swap: readSwap(reader, root),
    caCerts: readCaCerts(reader, root),
    packages: readPackages(reader, root),
    packageUpdate: isOn("package_update", "apt_update"),
    packageUpgrade: isOn("package_upgrade", "apt_upgrade"),
    packageRebootIfRequired: isOn("package_reboot_if_required", "apt_reboot_if_required"),
    sshPasswordAuth: reader.placedFlag(root, "ssh_pwauth"),
    disableRoot: reader.placedFlag(root, "disable_root"),
    sshDeleteKeys: reader.placedFlag(root, "ssh_deletekeys"),
    sshKeyTypes: reader.texts(root, "ssh_genkeytypes").map(({ value }) => value),
    sshKeys: readSshKeys(reader, root),
    passwords: readPasswords(reader, root),
    powerState: readPowerState(reader, root),
    phoneHome: readPhoneHome(reader, root),
    finalMessage: reader.text(root, "final_message")?.value,
    units: readUnits(reader, coreos),
    etcd: readEtcd(reader, coreos),
    fleet: readEntries(reader, coreos, "fleet"),
    flannel: readEntries(reader, coreos, "flannel"),
    locksmith: readEntries(reader, coreos, "locksmith"),
    update: readEntries(reader, coreos, "update"),
    oem: readEntries(reader, coreos, "oem"),
    settings: readSettings(reader, root),
  };
}

/** `locale: false` is cloud-init's "leave it alone". */
function readLocale(reader: Reader, root: MapValue): CloudConfig["locale"] {
  const locale = reader.text(root, "locale");
  return locale?.value === "false" || locale?.value === "true" ? undefined : locale;
}
