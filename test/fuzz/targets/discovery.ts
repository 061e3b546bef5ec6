// Answers of discovery services, of etcd and of its peers, as they come from a socket, and what is judged from them. The first
// line says whom is asked; "=== " on a line of its own stands between the answers to several questions.
import { createV2Store } from "../../../agent/adapters/discovery/v2.ts";
import { createV3Store } from "../../../agent/adapters/discovery/v3.ts";
import { membersOverPeer } from "../../../agent/adapters/registry/etcd-peers.ts";
import { learnedEndpoints } from "../../../agent/adapters/registry/etcd-endpoints.ts";
import { courseFor, existingMember, usableClientUrls, verdictOf } from "../../../agent/discovery/discovery.ts";
import type { Problem } from "../../../agent/domain/problem.ts";
import { Secret } from "../../../agent/domain/settings.ts";
import type { DiscoveryStore } from "../../../agent/ports/discovery.ts";
import { answersIn, startRawServer } from "../raw-server.ts";
import { type Said, type Target, problemsOf, reasons } from "../target.ts";

const secret = "xyzzy5ecret";
const server = await startRawServer();
const { port } = server;

const noTls = { caFile: undefined, certFile: undefined, keyFile: undefined };
const self = { name: "m1", peerUrls: ["http://10.0.0.1:2380"] };
const never = new AbortController().signal;

const stores: Readonly<Record<string, () => DiscoveryStore>> = {
  v2: () => {
    const login = { username: "me", password: new Secret(secret) };
    const discovery = { kind: "v2" as const, url: `http://127.0.0.1:${port}/v2/keys/d/t`, tls: noTls, ...login };
    return createV2Store({ discovery, shown: "STORE", isLocal: true });
  },
  v3: () => {
    const login = { username: undefined, password: undefined };
    const endpoints = [`http://127.0.0.1:${port}`];
    const discovery = { kind: "v3" as const, endpoints, token: new Secret(secret), tls: noTls, ...login };
    return createV3Store({ discovery, shown: "STORE", isLocal: true });
  },
};

async function ask(whom: string, problems: Problem[]): Promise<string> {
  if (whom === "peers") {
    const cluster = await membersOverPeer([`http://127.0.0.1:${port}`], { timeoutMs: 2_000 });
    const clientUrls = usableClientUrls(cluster.members);
    learnedEndpoints(["http://10.0.0.1:2379"], cluster.members);
    courseFor("registered", cluster, self.peerUrls);
    const found = { how: "v2" as const, token: "t", size: 3, name: "m1", nowMs: 5 };
    existingMember(found, { cluster, self, clientUrls });
    return "members";
  }
  const store = (stores[whom] ?? stores["v2"])?.();
  if (store === undefined) return "nobody";
  const look = await store.look(never);
  const question = { self, role: "member", token: "t", shown: "STORE", isLocalStore: true } as const;
  for (const kind of ["v2", "v3"] as const) {
    const verdict = verdictOf({ ...question, kind, look });
    if (!verdict.ok) problems.push(...reasons(verdict.problems));
  }
  const registered = await store.register({ id: "1f", value: "m1=http://10.0.0.1:2380" }, never);
  if (registered.kind === "refused") problems.push(registered.problem);
  await store.changed({ revision: 1, mostMs: 20 }, never);
  return `${look.kind} ${registered.kind}`;
}

export const target: Target = {
  name: "discovery",
  reads: "answers of discovery services and of etcd",
  maxBytes: 300 * 1024,
  words: [
    ...[
      "v2\n",
      "v3\n",
      "peers\n",
      "=== \n",
      "HTTP/1.1 200 OK\r\n",
      "Content-Type: application/json\r\n",
      "X-Etcd-Index: 5\r\n",
      "\r\n\r\n",
    ],
    ...[
      "X-Etcd-Cluster-ID: 7e27652122e8b2ae\r\n",
      "Content-Length: 10\r\n",
      "Transfer-Encoding: chunked\r\n",
      "HTTP/1.1 404 Not Found\r\n",
    ],
    ...[
      '{"action":"get","node":{"value":"3"}}',
      '"nodes":[',
      '"errorCode":100',
      '"createdIndex":',
      '"modifiedIndex":',
      '"dir":true',
    ],
    ...[
      '"kvs":[{"key":"YQ==","value":"Mw=="}]',
      '"header":{"revision":"5"}',
      '[{"id":1,"peerURLs":["http://a:2380"],"name":"a"}]',
    ],
    ...[
      "m1=http://10.0.0.1:2380",
      "m2=https://[::1]:2380,https://b:1",
      "HTTP/1.1 301 Moved\r\nLocation: /\r\n\r\n",
      "<html>",
    ],
  ],
  async run(input): Promise<Said> {
    const asked = answersIn(input);
    server.answers = asked.answers;
    const problems: Problem[] = [];
    try {
      return { outcome: `${asked.whom.slice(0, 5)} ${await ask(asked.whom, problems)}`, problems };
    } catch (error) {
      return { outcome: "refused", problems: [...problems, ...problemsOf(error)] };
    }
  },
  close: () => server.close(),
};
