// A git server for tests, on loopback: git's own http-backend behind a small HTTP server, with logins, TLS, and faults that
// can be switched on; and a proxy. Each ends with `close`, together with the children that it started.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import {
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
  createServer,
  request,
} from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, type Socket, connect } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** What goes wrong with the next requests: all of them, or only those of `on`. */
export type Fault = { readonly on?: "GET" | "POST" } & (
  | { readonly kind: "hang" }
  | { readonly kind: "status"; readonly status: number }
  | { readonly kind: "redirect"; readonly status: number; readonly to: string }
  /** The connection is destroyed after this many bytes of the answer's body. */
  | { readonly kind: "cut"; readonly afterBytes: number }
  /** Status 200 and a page for people. */
  | { readonly kind: "page" }
);

export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly authorization: string | undefined;
  readonly protocol: string | undefined;
  /** Of the answer's body. */
  sentBytes: number;
}

export interface GitServerOptions {
  /** For the repository; made when it is not there. */
  readonly directory: string;
  readonly login?: { readonly username: string; readonly password: string };
  readonly tls?: { readonly key: string; readonly cert: string };
  /** Has the server listen somewhere and says where; a free port of loopback unless set. */
  readonly listen?: (server: Server) => Promise<{ readonly host: string; readonly port: number }>;
}

export interface GitServer {
  /** Path of the bare repository: push here. */
  readonly repository: string;
  /** Fetch from here. */
  readonly url: string;
  readonly port: number;
  readonly seen: Seen[];
  fault: Fault | undefined;
  close(): Promise<void>;
}

export async function startGitServer(options: GitServerOptions): Promise<GitServer> {
  const { directory, tls } = options;
  const repository = join(directory, "units.git");
  await mkdir(directory, { recursive: true });
  await run("git", ["init", "--quiet", "--bare", "--initial-branch=main", repository]);
  await run("git", ["-C", repository, "config", "http.uploadpack", "true"]);

  const seen: Seen[] = [];
  const children = new Set<ChildProcess>();
  const listener: RequestListener = (incoming, response) => {
    const { method = "GET", url = "/", headers } = incoming;
    const entry: Seen = {
      method,
      url,
      authorization: headers.authorization,
      protocol: headers["git-protocol"] as string | undefined,
      sentBytes: 0,
    };
    seen.push(entry);
    const fault = server.fault?.on === undefined || server.fault.on === method ? server.fault : undefined;
    if (fault !== undefined && fault.kind !== "cut") {
      fail(fault, incoming, response);
      return;
    }
    const { login } = options;
    const wanted = login && `Basic ${Buffer.from(`${login.username}:${login.password}`).toString("base64")}`;
    if (wanted !== undefined && headers.authorization !== wanted) {
      response.writeHead(401, { "www-authenticate": 'Basic realm="units"' }).end("Login, please");
      return;
    }
    const cutAfter = fault?.kind === "cut" ? fault.afterBytes : Infinity;
    serve({ directory, incoming, response, children, entry, cutAfter });
  };
  const http: Server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
  const { host, port } = await (options.listen ?? listen)(http);
  const server: GitServer = {
    repository,
    url: `${tls === undefined ? "http" : "https"}://${host}:${port}/units.git`,
    port,
    seen,
    fault: undefined,
    close: async () => {
      for (const child of children) child.kill("SIGKILL");
      await stop(http);
    },
  };
  return server;
}

function fail(fault: Exclude<Fault, { kind: "cut" }>, incoming: IncomingMessage, response: ServerResponse): void {
  incoming.resume();
  switch (fault.kind) {
    case "hang":
      return; // until the client goes, or the server is closed
    case "status":
      response.writeHead(fault.status, { "content-type": "text/html" }).end("<p>Something for people</p>");
      return;
    case "redirect": {
      const to = new URL(fault.to);
      const from = new URL(incoming.url ?? "/", "http://127.0.0.1");
      const tail = /\/(info\/refs|git-upload-pack)$/.exec(from.pathname)?.[0] ?? "";
      const location = fault.to.endsWith("/login") ? fault.to : `${to.href.replace(/\/$/, "")}${tail}${from.search}`;
      response.writeHead(fault.status, { location }).end();
      return;
    }
    case "page":
      response.writeHead(200, { "content-type": "text/html" }).end("<h1>Welcome</h1>");
      return;
  }
}

/** One request as CGI (git-http-backend(1)). */
function serve(task: {
  directory: string;
  incoming: IncomingMessage;
  response: ServerResponse;
  children: Set<ChildProcess>;
  entry: Seen;
  cutAfter: number;
}): void {
  const { directory, incoming, response, children, entry, cutAfter } = task;
  const url = new URL(incoming.url ?? "/", "http://127.0.0.1");
  const { headers } = incoming;
  const child = spawn("git", ["http-backend"], {
    env: {
      PATH: process.env["PATH"],
      GIT_PROJECT_ROOT: directory,
      GIT_HTTP_EXPORT_ALL: "1",
      GIT_PROTOCOL: headers["git-protocol"] as string | undefined,
      PATH_INFO: decodeURIComponent(url.pathname),
      QUERY_STRING: url.search.slice(1),
      REQUEST_METHOD: incoming.method,
      CONTENT_TYPE: headers["content-type"],
      CONTENT_LENGTH: headers["content-length"],
      HTTP_CONTENT_ENCODING: headers["content-encoding"],
      REMOTE_ADDR: "127.0.0.1",
    },
    stdio: ["pipe", "pipe", "ignore"],
  });
  children.add(child);
  child.once("close", () => children.delete(child));
  child.stdin.on("error", () => undefined); // it may answer without reading all
  incoming.pipe(child.stdin);
  response.once("close", () => child.kill("SIGKILL"));

  let head: Buffer | undefined = Buffer.alloc(0);
  const send = (body: Buffer) => {
    const room = cutAfter - entry.sentBytes;
    entry.sentBytes += Math.min(room, body.length);
    if (body.length < room) response.write(body);
    else response.write(body.subarray(0, room), () => response.destroy());
  };
  child.stdout.on("data", (chunk: Buffer) => {
    if (head === undefined) {
      send(chunk);
      return;
    }
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf("\r\n\r\n");
    if (end < 0) return;
    const fields = head
      .toString("latin1", 0, end)
      .split("\r\n")
      .map((line) => /^([^:]+): *(.*)$/.exec(line))
      .flatMap((match) => (match?.[1] === undefined ? [] : [[match[1], match[2] ?? ""] as const]));
    const status = fields.find(([name]) => name.toLowerCase() === "status")?.[1];
    response.writeHead(
      status === undefined ? 200 : Number.parseInt(status, 10),
      Object.fromEntries(fields.filter(([name]) => name.toLowerCase() !== "status")),
    );
    const rest = head.subarray(end + 4);
    head = undefined;
    if (rest.length > 0) send(rest);
  });
  child.stdout.once("end", () => response.end());
}

export interface Proxy {
  readonly url: string;
  /** `CONNECT host:port` or `GET http://host:port/...`. */
  readonly seen: string[];
  close(): Promise<void>;
}

/** Forwards plain HTTP by absolute address and everything else by CONNECT, to whatever it is asked for. */
export async function startProxy({ login }: { login?: string } = {}): Promise<Proxy> {
  const seen: string[] = [];
  const wanted = login && `Basic ${Buffer.from(login).toString("base64")}`;
  const sockets = new Set<Socket>();
  const http = createServer((incoming, response) => {
    seen.push(`${incoming.method ?? ""} ${incoming.url ?? ""}`);
    if (wanted !== undefined && incoming.headers["proxy-authorization"] !== wanted) {
      response.writeHead(407).end();
      return;
    }
    const { method, headers } = incoming;
    const onward = request(incoming.url ?? "", { method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on("error", () => response.writeHead(502).end());
    incoming.pipe(onward);
  });
  http.on("connect", (incoming: IncomingMessage, client: Socket) => {
    seen.push(`CONNECT ${incoming.url ?? ""}`);
    sockets.add(client);
    client.on("error", () => undefined);
    if (wanted !== undefined && incoming.headers["proxy-authorization"] !== wanted) {
      client.end("HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n");
      return;
    }
    const [host, port] = (incoming.url ?? "").split(":");
    const onward = connect(Number(port), host, () => {
      client.write("HTTP/1.1 200 Connection established\r\n\r\n");
      onward.pipe(client);
      client.pipe(onward);
    });
    sockets.add(onward);
    onward.on("error", () => client.destroy());
    client.on("close", () => onward.destroy());
  });
  const { port } = await listen(http);
  return {
    url: `http://${login === undefined ? "" : `${login}@`}127.0.0.1:${port}`,
    seen,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await stop(http);
    },
  };
}

/** A CA of the test's own and a certificate for 127.0.0.1 signed by it. */
export async function makeCertificates(directory: string): Promise<{ caFile: string; key: string; cert: string }> {
  await mkdir(directory, { recursive: true });
  const at = (name: string) => join(directory, name);
  const openssl = async (...args: string[]) => await run("openssl", args, { cwd: directory });
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  await openssl("req", "-x509", ...newKey, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=Test CA");
  await openssl("req", ...newKey, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=127.0.0.1");
  await writeFile(at("names"), "subjectAltName=IP:127.0.0.1\n");
  const signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", "1", "-days", "2", "-extfile", "names"];
  await openssl("x509", "-req", "-in", "server.csr", ...signed, "-out", "server.pem");
  return {
    caFile: at("ca.pem"),
    key: await readFile(at("server.key"), "utf8"),
    cert: await readFile(at("server.pem"), "utf8"),
  };
}

async function listen(server: Server): Promise<{ host: string; port: number }> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  return { host: "127.0.0.1", port: (server.address() as AddressInfo).port };
}

async function stop(server: Server): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve));
  server.closeAllConnections();
  await closed;
}
