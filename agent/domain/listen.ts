// Where a TCP server listens: an address of this machine and a port, as people write it, and who can reach it there.

/** `host` is an IP address without brackets; "::" is every address of the machine. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/**
 * `10.0.0.2:8080`, `[::1]:8080`, `localhost:8080` (which is 127.0.0.1), `:8080` or `*:8080` (every address). Undefined for
 * anything else: a name may mean another address tomorrow, and then nobody can tell who reaches it.
 */
export function parseListenAddress(text: string): ListenAddress | undefined {
  const [, six, rest = "", digits = ""] =
    /^(?:\[([0-9a-fA-F:.]{2,45})\]|([0-9.]{7,15}|localhost|\*?)):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (port < 1 || port > 65_535) return undefined;
  if (six !== undefined) {
    const url = `http://[${six}]/`;
    return URL.canParse(url) ? { host: new URL(url).hostname.slice(1, -1), port } : undefined;
  }
  if (rest === "" || rest === "*") return { host: "::", port };
  if (rest === "localhost") return { host: "127.0.0.1", port };
  const isAddress =
    /^(\d{1,3}\.){3}\d{1,3}$/.test(rest) &&
    rest.split(".").every((each) => /^(0|[1-9]\d*)$/.test(each) && Number(each) <= 255);
  return isAddress ? { host: rest, port } : undefined;
}

/** `10.0.0.2:8080`, `[::1]:8080`. */
export function showAddress({ host, port }: ListenAddress): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** Whether only this machine's own programs reach this IP address: 127.0.0.0/8, ::1, and the former within IPv6. */
export function isLoopback(host: string): boolean {
  return (
    host === "::1" ||
    /^(::ffff:)?127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/i.test(host) ||
    /^::ffff:7f[0-9a-f]{2}:[0-9a-f]{1,4}$/i.test(host)
  );
}
