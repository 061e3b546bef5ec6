// The gRPC connection to one etcd endpoint, without types or policy: calls and streams as etcd's proto files name them.
// Given to etcd-endpoint.ts. The one importer of etcd3 and cockatiel, both loaded at the first call; of etcd3 only the
// connection and the messages are used: its retries, watches, leases and elections lose writes, events and leadership.
import { isIP } from "node:net";
import type { ConnectionPool } from "etcd3/lib/connection-pool.js";
import { refused } from "./calls.ts";
import { CallFailed, callFailed, grpc } from "./etcd-errors.ts";

/** etcd punishes pings that come more often than every 5 s. */
const pingEveryMs = 10_000;
const pingTimeoutMs = 3_000;
/** Pauses between attempts to connect; gRPC's own would grow to two minutes. */
const firstReconnectMs = 200;
const longestReconnectMs = 2_000;

export type ServiceName = "KV" | "Lease" | "Watch" | "Auth" | "Cluster";

/** PEM. Without authorities Node's count; without the others there is no client certificate. */
export interface Credentials {
  readonly ca: Buffer | undefined;
  readonly cert: Buffer | undefined;
  readonly key: Buffer | undefined;
}

export interface Sent {
  readonly service: ServiceName;
  readonly method: string;
  readonly request: object;
  /** Of a login. */
  readonly token: string | undefined;
}

export interface EtcdStream {
  /** The next message; rejects with CallFailed when there is none. */
  readonly next: () => Promise<unknown>;
  readonly cancel: () => void;
}

export interface Channel {
  /** One unary call, until `deadlineMs` on the wall clock. Rejects with CallFailed. */
  call(sent: Sent, deadlineMs: number): Promise<unknown>;
  /** A stream in both directions, on which `request` has been sent. */
  open(sent: Sent): Promise<EtcdStream>;
  /** No call begins after it; streams that are open go on until they end. */
  close(): void;
}

type Metadata = Parameters<Parameters<ConnectionPool["withConnection"]>[1]>[0]["metadata"];

/** A gRPC service object, as far as it is used here: generated from etcd's proto files at run time, and so without types. */
interface Service {
  readonly [method: string]: (...args: readonly unknown[]) => unknown;
}

interface DuplexStream extends AsyncIterable<unknown> {
  write(message: object): void;
  cancel(): void;
  on(event: "error", listener: (error: Error) => void): void;
}

/** gRPC shares a connection among channels of equal options. */
let opened = 0;

/** Loads what takes a while, so that it is not taken from the time of the first call. */
export async function loadChannels(): Promise<void> {
  await Promise.all([import("etcd3/lib/connection-pool.js"), import("cockatiel")]);
}

/** Does not connect yet. Rejects with Problem "registry-refused" for credentials that are none. */
export async function openChannel(url: string, credentials: Credentials | undefined): Promise<Channel> {
  const [{ ConnectionPool }, { noop }] = await Promise.all([
    import("etcd3/lib/connection-pool.js"),
    import("cockatiel"),
  ]);
  const options: ConstructorParameters<typeof ConnectionPool>[0] = {
    hosts: [withPort(url)],
    ...(credentials === undefined
      ? {}
      : {
          credentials: {
            // that each may be undefined, etcd3's type does not say
            rootCertificate: credentials.ca as Buffer,
            privateKey: credentials.key as Buffer,
            certChain: credentials.cert as Buffer,
          },
        }),
    grpcOptions: {
      // the environment's proxy is there for git; gRPC would go through it to every place, http:// too
      "grpc.enable_http_proxy": 0,
      // no option of gRPC's: a new channel is a new connection
      "flotilla.channel": ++opened,
      "grpc.max_receive_message_length": -1,
      "grpc.keepalive_time_ms": pingEveryMs,
      "grpc.keepalive_timeout_ms": pingTimeoutMs,
      "grpc.initial_reconnect_backoff_ms": firstReconnectMs,
      "grpc.max_reconnect_backoff_ms": longestReconnectMs,
    },
    // no call is repeated behind the caller's back, and which endpoint is fit is decided elsewhere
    faultHandling: { global: noop, host: () => noop },
  };
  try {
    const pool = new ConnectionPool(options);
    if (url.startsWith("https:")) sendNoAddressAsName(pool);
    return new PoolChannel(pool);
  } catch (error) {
    throw refused("set up the connection to the registry", "Check its CA, certificate and key files", error);
  }
}

/** Insides of etcd3 and gRPC, as far as they are reached into here: neither has an option for it. */
interface PoolInsides {
  readonly hosts: readonly { readonly channelCredentials: CredentialsInsides }[];
}

interface CredentialsInsides {
  _createSecureConnector(...args: readonly unknown[]): {
    readonly connectionOptions?: { host?: string; servername?: string | undefined };
  };
}

/**
 * gRPC asks TLS for the server by its host, be it a name or an address, and an address is no server name (RFC 6066, 3): Node
 * warns of it on stderr. Left out, the certificate is checked against `host`, which is that address.
 */
function sendNoAddressAsName(pool: ConnectionPool): void {
  for (const { channelCredentials } of (pool as unknown as PoolInsides).hosts) {
    const create = channelCredentials._createSecureConnector.bind(channelCredentials);
    channelCredentials._createSecureConnector = (...args) => {
      const connector = create(...args);
      const { connectionOptions } = connector;
      const name = connectionOptions?.servername;
      if (connectionOptions !== undefined && name !== undefined && isIP(name) !== 0 && connectionOptions.host === name)
        connectionOptions.servername = undefined;
      return connector;
    };
  }
}

class PoolChannel implements Channel {
  readonly #pool: ConnectionPool;

  constructor(pool: ConnectionPool) {
    this.#pool = pool;
  }

  call({ service, method, request, token }: Sent, deadlineMs: number): Promise<unknown> {
    return this.#with({ service, token }, (stub, metadata) => {
      return new Promise((resolve, reject) => {
        const answer = (error: Error | null, response: unknown): void => {
          if (error === null) resolve(response);
          else reject(callFailed(error));
        };
        stub[method]?.(request, metadata, { deadline: deadlineMs }, answer);
      });
    });
  }

  open({ service, method, request, token }: Sent): Promise<EtcdStream> {
    return this.#with({ service, token }, async (stub, metadata) => {
      const stream = stub[method]?.(metadata) as DuplexStream;
      // Its errors are heard where it is read; those that come after must not end the process.
      stream.on("error", () => undefined);
      stream.write(request);
      const messages = stream[Symbol.asyncIterator]();
      return { next: () => nextOf(messages), cancel: () => stream.cancel() };
    });
  }

  close(): void {
    this.#pool.close();
  }

  async #with<T>(
    { service, token }: Pick<Sent, "service" | "token">,
    use: (stub: Service, metadata: Metadata) => Promise<T>,
  ): Promise<T> {
    try {
      return await this.#pool.withConnection(service, async ({ client, metadata }) => {
        if (token !== undefined) metadata.set("token", token);
        return use(client as unknown as Service, metadata);
      });
    } catch (error) {
      throw callFailed(error);
    }
  }
}

async function nextOf(messages: AsyncIterator<unknown>): Promise<unknown> {
  let next: IteratorResult<unknown>;
  try {
    next = await messages.next();
  } catch (error) {
    throw callFailed(error);
  }
  if (next.done === true) throw new CallFailed(grpc.unavailable, "The stream ended");
  return next.value;
}

/** gRPC takes port 443 where none is named, for http too. */
function withPort(url: string): string {
  const { protocol, hostname, port } = new URL(url);
  const usual = protocol === "https:" ? "443" : "80";
  return `${protocol}//${hostname}:${port === "" ? usual : port}`;
}
