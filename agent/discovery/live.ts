// A live cluster's answer and how this machine comes to it -> what this machine is in that cluster. The one rule behind it:
// a machine without data never begins anew in a cluster that has formed. For discovery.ts only.
import type { LiveCluster, LiveMember } from "../domain/discovery.ts";
import { reachOf, shareUrl } from "./members.ts";

/** What a live cluster says of a machine with these peer URLs. */
export type Standing =
  /** No member has come up yet: peers that know the list, and nothing more. */
  | { readonly kind: "forming" }
  /** It is on the first list and has never come up. */
  | { readonly kind: "expected"; readonly member: LiveMember }
  /** An operator has taken it in, and it has never come up. */
  | { readonly kind: "added"; readonly member: LiveMember }
  /** It was up once. */
  | { readonly kind: "started"; readonly member: LiveMember }
  | { readonly kind: "unknown" }
  /** Nobody answered. */
  | { readonly kind: "silent" };

/**
 * How a machine without etcd data comes to ask.
 * `listed`: by a list of its settings or DNS, for the first time.
 * `registered`: its entry is in the token, and nothing on its disk says that it put it there.
 * `noted`: its entry is in the token, and its disk says that it put it there and that nothing has been decided since.
 * `surplus`: the token has all its members without it.
 * `decided`: its record says that it is a new member; `formed`: and that it has been in touch with the cluster.
 * `rejoining`: its record says that it is a member of a cluster that stood before.
 */
export type Coming = "listed" | "registered" | "noted" | "surplus" | "decided" | "formed" | "rejoining";

/**
 * `new`, `existing`: start etcd so. `replace`: take the member that lost its data out of the cluster and in again.
 * `client`: use the cluster, run no etcd. `wait`: nothing can be said yet.
 */
export type Course = "new" | "existing" | "replace" | "client" | "wait";

const courses: Readonly<Record<Coming, Readonly<Record<Standing["kind"], Course>>>> = {
  listed: {
    ...{ forming: "new", expected: "new", added: "existing", started: "replace", unknown: "wait", silent: "new" },
  },
  registered: {
    ...{
      forming: "new",
      expected: "replace",
      added: "existing",
      started: "replace",
      unknown: "client",
      silent: "wait",
    },
  },
  noted: {
    ...{ forming: "new", expected: "new", added: "existing", started: "replace", unknown: "client", silent: "new" },
  },
  surplus: {
    ...{
      forming: "wait",
      expected: "existing",
      added: "existing",
      started: "replace",
      unknown: "client",
      silent: "wait",
    },
  },
  decided: {
    ...{ forming: "new", expected: "new", added: "existing", started: "replace", unknown: "wait", silent: "new" },
  },
  formed: {
    ...{ forming: "wait", expected: "replace", added: "existing", started: "replace", unknown: "wait", silent: "wait" },
  },
  rejoining: {
    ...{ forming: "existing", expected: "existing", added: "existing", started: "replace", unknown: "wait" },
    silent: "existing",
  },
};

export function courseOf(coming: Coming, standing: Standing): Course {
  return courses[coming][standing.kind];
}

export function standingOf(cluster: LiveCluster | undefined, peerUrls: readonly string[]): Standing {
  if (cluster === undefined) return { kind: "silent" };
  const member = cluster.members.find((each) => shareUrl(each.peerUrls, peerUrls));
  const isUp = ({ clientUrls }: LiveMember): boolean => clientUrls.length > 0;
  if (member !== undefined && isUp(member)) return { kind: "started", member };
  if (!cluster.members.some(isUp)) return { kind: "forming" };
  if (member === undefined) return { kind: "unknown" };
  return { kind: member.name === "" ? "added" : "expected", member };
}

/**
 * Client URLs of the members that are up, each once: of one scheme, that of the first, and none that leads each machine to
 * itself, unless its peer URL does so as well.
 */
export function clientUrlsOf(members: readonly LiveMember[]): readonly string[] {
  const urls = members.flatMap(({ peerUrls, clientUrls }) => {
    const isLocal = peerUrls.every((url) => reachOf(url) === "loopback");
    return clientUrls
      .filter((url) => /^https?:/.test(url) && URL.canParse(url))
      .filter((url) => reachOf(url) === "others" || (isLocal && reachOf(url) === "loopback"))
      .map((url) => new URL(url).origin);
  });
  const scheme = urls[0]?.replace(/:.*/, "://") ?? "";
  return [...new Set(urls.filter((url) => url.startsWith(scheme)))];
}
