// User-data for booted machines: the folder in which NoCloud looks, and a metadata service like those of the clouds, which
// answers from a table of paths and asks for a session token where it is told to (EC2, IMDSv2).
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { type IncomingHttpHeaders, type IncomingMessage, type ServerResponse, createServer } from "node:http";
import type { MachineFile } from "./machine.ts";
import { type Address, type Network, metadataAddress } from "./network.ts";

const tokenPath = "/latest/api/token";
const tokenHeader = "x-aws-ec2-metadata-token";
const ttlHeader = "x-aws-ec2-metadata-token-ttl-seconds";
/** As EC2 allows. */
const longestTtlSeconds = 21_600;

/** For a machine's `files`. `metaData` is YAML as NoCloud has it; one with an instance id alone unless set. */
export function noCloudSeed(seed: {
  readonly userData: string;
  readonly metaData?: string;
}): Readonly<Record<string, MachineFile>> {
  const folder = "/var/lib/cloud/seed/nocloud";
  return {
    [`${folder}/user-data`]: { text: seed.userData, mode: 0o600 },
    [`${folder}/meta-data`]: { text: seed.metaData ?? "instance-id: i-test\n", mode: 0o600 },
  };
}

/** What a path answers: text with status 200, or as it says. */
export type MetadataAnswer =
  string | { readonly status: number; readonly headers?: Readonly<Record<string, string>>; readonly body?: string };

export interface MetadataOptions {
  /** By path, with its query if it matters. */
  readonly paths: Readonly<Record<string, MetadataAnswer>>;
  /** Nothing without a token from PUT /latest/api/token: 401, as on EC2 with IMDSv2 required. */
  readonly needsToken?: boolean;
  /** Nothing without these headers: 403, as on GCE and Azure. */
  readonly needsHeaders?: Readonly<Record<string, string>>;
  /** 169.254.169.254:80 unless set. */
  readonly at?: Partial<Address>;
}

export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  /** Address of the machine that asked. */
  readonly from: string;
}

export interface MetadataServer {
  readonly address: Address;
  readonly seen: SeenRequest[];
  /** May be set anew while the server runs. */
  paths: Readonly<Record<string, MetadataAnswer>>;
  close(): Promise<void>;
}

export async function startMetadataServer(network: Network, options: MetadataOptions): Promise<MetadataServer> {
  const tokens = new Map<string, number>();
  const seen: SeenRequest[] = [];
  const http = createServer((incoming, response) => {
    const { method = "GET", url = "/", headers, socket } = incoming;
    seen.push({ method, url, headers, from: socket.remoteAddress ?? "" });
    incoming.resume();
    if (method === "PUT" && url === tokenPath) grantToken(incoming, response, tokens);
    else answer({ method, url, headers }, response);
  });

  function answer({ method, url, headers }: Omit<SeenRequest, "from">, response: ServerResponse): void {
    const token = headers[tokenHeader];
    const endMs = typeof token === "string" ? (tokens.get(token) ?? 0) : undefined;
    // A wrong token is refused also where none is needed.
    if (endMs === undefined ? options.needsToken === true : endMs < performance.now()) {
      response.writeHead(401).end();
      return;
    }
    const needed = Object.entries(options.needsHeaders ?? {});
    if (needed.some(([name, value]) => headers[name.toLowerCase()] !== value)) {
      response.writeHead(403).end();
      return;
    }
    const found = method !== "GET" ? 405 : Object.hasOwn(server.paths, url) ? server.paths[url] : undefined;
    if (found === undefined || typeof found === "number") response.writeHead(found ?? 404).end();
    else if (typeof found === "string") response.writeHead(200, { "content-type": "text/plain" }).end(found);
    else response.writeHead(found.status, found.headers ?? {}).end(found.body ?? "");
  }

  const address = await network.listen(http, { host: metadataAddress, port: 80, ...options.at });
  const server: MetadataServer = {
    address,
    seen,
    paths: options.paths,
    close: async () => {
      http.close();
      http.closeAllConnections();
      await once(http, "close");
    },
  };
  return server;
}

function grantToken(incoming: IncomingMessage, response: ServerResponse, tokens: Map<string, number>): void {
  const ttlSeconds = Number(incoming.headers[ttlHeader]);
  if (!Number.isInteger(ttlSeconds) || ttlSeconds < 1 || ttlSeconds > longestTtlSeconds) {
    response.writeHead(400).end();
    return;
  }
  // EC2 refuses those that come through a proxy.
  if (incoming.headers["x-forwarded-for"] !== undefined) {
    response.writeHead(403).end();
    return;
  }
  const token = randomBytes(32).toString("base64url");
  tokens.set(token, performance.now() + ttlSeconds * 1_000);
  response.writeHead(200, { [ttlHeader]: String(ttlSeconds) }).end(token);
}
