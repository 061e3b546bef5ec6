// Rules between the options of [Etcd]: one way of discovery, and what that way needs. For settings/rules.ts only.
import { whyNotKept } from "../domain/kept-folder.ts";
import { Problem } from "../domain/problem.ts";
import { title, type Choice } from "./chosen.ts";

/** The options that each choose a way to the first members. */
const ways: readonly string[] = ["Etcd.Discovery", "Etcd.DiscoveryToken", "Etcd.DiscoverySRV", "Etcd.InitialCluster"];

/** Pairs of which neither is of use alone. */
export const etcdPairs: readonly (readonly [string, string])[] = [
  ["Etcd.DiscoveryToken", "Etcd.DiscoveryEndpoints"],
  ["Etcd.DiscoveryUsername", "Etcd.DiscoveryPassword"],
  ["Etcd.DiscoveryCertFile", "Etcd.DiscoveryKeyFile"],
  ["Etcd.PeerCertFile", "Etcd.PeerKeyFile"],
];

/** Conflicts within [Etcd], and what is missing in it. Nothing where nothing of it is set. */
export function etcdConflicts(chosen: Choice): readonly Problem[] {
  if (!chosen.hasSection("Etcd")) return [];
  const problems: Problem[] = [];
  const [first, ...others] = ways.flatMap((name) => chosen.chosen(name) ?? []);
  for (const other of others)
    problems.push(
      new Problem("setting-conflict", `Cannot use ${first?.origin.label ?? ""} together with ${other.origin.label}`, {
        hint: "Both say who the first members are; keep one of them",
        at: other.origin.at,
      }),
    );
  const data = chosen.chosen("Etcd.DataDirectory");
  const lost = data === undefined ? undefined : whyNotKept(chosen.text("Etcd.DataDirectory"));
  if (data !== undefined && lost !== undefined)
    problems.push(
      new Problem("setting-value", `Cannot accept ${data.origin.label}=${chosen.text("Etcd.DataDirectory")}`, {
        hint: lost,
        at: data.origin.at,
      }),
    );
  const isClient = chosen.text("Etcd.Role") === "client";
  const missing = (wants: string, hint: string): void => {
    const origin = (first ?? chosen.chosen("Etcd.Role") ?? chosen.chosen("Etcd.Name"))?.origin;
    problems.push(new Problem("setting-missing", `Cannot ${wants}`, { hint, at: origin?.at }));
  };
  if (isClient && first === undefined)
    missing("find an etcd as a client without a way to it", `Set one of ${ways.map(title).join("=, ")}=`);
  const listTells = chosen.has("Etcd.DiscoverySRV") || chosen.has("Etcd.InitialCluster");
  if (!isClient && !listTells && !chosen.has("Etcd.PeerURLs"))
    missing("be a member of etcd without [Etcd] PeerURLs=", "Set it to where the other members reach this machine");
  return problems;
}

/** What is set in [Etcd] and does nothing there, with why. */
export function etcdIdle(chosen: Choice): readonly { readonly names: readonly string[]; readonly hint: string }[] {
  const idle: { readonly names: readonly string[]; readonly hint: string }[] = [];
  const hasService = chosen.has("Etcd.Discovery") || chosen.has("Etcd.DiscoveryToken");
  const ofService = ["Username", "Password", "CAFile", "CertFile", "KeyFile"].map((key) => `Etcd.Discovery${key}`);
  if (!hasService) idle.push({ names: ofService, hint: "There is no [Etcd] Discovery= and no DiscoveryToken=" });
  else
    idle.push({
      names: ["Etcd.InitialClusterToken", "Etcd.InitialClusterState"],
      hint: "The discovery service's token stands in their place",
    });
  if (!chosen.has("Etcd.DiscoverySRV"))
    idle.push({ names: ["Etcd.DiscoverySRVName"], hint: "There is no [Etcd] DiscoverySRV=" });
  if (chosen.text("Etcd.Role") === "client")
    idle.push({ names: ["Etcd.ClientURLs"], hint: "A client serves no other clients" });
  return idle;
}
