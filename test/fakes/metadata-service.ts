// What the tests of user-data sources share: small HTTP servers on loopback that speak as a provider does, a made-up root
// with firmware and files, and a clock on which a second is a few hundredths of one.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Server } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { performance } from "node:perf_hooks";
import type { TestContext } from "node:test";
import { setTimeout as sleepReal } from "node:timers/promises";
import type { Clock } from "../../agent/ports/clock.ts";

/** How much faster than real time the quick clock is: ten seconds are half a second. */
const haste = 20;

export const quickClock: Clock = {
  wallMs: () => 1_767_225_600_000 + performance.now() * haste,
  monotonicMs: () => performance.now() * haste,
  random: () => 0.5,
  async sleep(ms, signal) {
    try {
      await sleepReal(ms / haste, undefined, signal === undefined ? {} : { signal });
    } catch (error) {
      throw signal?.aborted === true ? (signal.reason as Error) : error;
    }
  },
};

/** A folder that stands for "/", removed after the test. */
export function rootWith(t: TestContext, files: Readonly<Record<string, string | Uint8Array>> = {}): string {
  const root = mkdtempSync(join(tmpdir(), "flotilla-root-"));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  for (const [path, content] of Object.entries({ "proc/cmdline": "quiet\n", ...files })) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
  }
  return root;
}

/** Files of the firmware: `{ sys_vendor: "Hetzner" }`. */
export function firmware(facts: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(facts).map(([name, fact]) => [`sys/class/dmi/id/${name}`, `${fact}\n`]));
}

export interface Service {
  /** `127.0.0.1:PORT`. */
  readonly place: string;
  /** `METHOD PATH` of each request, in order. */
  readonly asked: readonly string[];
  readonly server: Server;
  /** Connections that are open now. */
  connections(): Promise<number>;
}

/** A server that ends with the test, whatever is still open. */
export async function serve(
  t: TestContext,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<Service> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method ?? ""} ${request.url ?? ""}`);
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    place: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    server,
    connections: () =>
      new Promise((resolve, reject) => {
        server.getConnections((error, count) => (error === null ? resolve(count) : reject(error)));
      }),
  };
}

/** What stands at each path, without a question's query; everything else is 404. */
export type Tree = Readonly<Record<string, string | Uint8Array>>;

export interface TreeOptions {
  readonly headers?: Readonly<Record<string, string>>;
  /** A header that each question must have; without it 401. */
  readonly needs?: readonly [name: string, value: string];
}

export function treeOf(
  tree: Tree,
  { headers = {}, needs }: TreeOptions = {},
): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => {
    const path = (request.url ?? "").replace(/\?.*/, "");
    if (needs !== undefined && request.headers[needs[0].toLowerCase()] !== needs[1]) {
      response.writeHead(401, headers).end();
      return;
    }
    const content = Object.hasOwn(tree, path) && request.method === "GET" ? tree[path] : undefined;
    response.writeHead(content === undefined ? 404 : 200, headers).end(content);
  };
}
