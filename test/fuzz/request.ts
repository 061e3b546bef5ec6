// A request as HTTP has it, from the bytes of an input: a line with method and path, headers, an empty line, the body. Given to
// the targets that begin behind the HTTP parser.

/** Undefined for what no server takes for a request. */
export function requestIn(input: Uint8Array): Request | undefined {
  const at = Buffer.from(input).indexOf("\n\n");
  const head = Buffer.from(input.subarray(0, at < 0 ? input.length : at)).toString("latin1");
  const body = at < 0 ? new Uint8Array() : input.subarray(at + 2);
  const [first = "", ...lines] = head.split("\n");
  const [method = "", path = ""] = first.split(" ");
  try {
    const headers = new Headers();
    for (const line of lines) {
      const colon = line.indexOf(":");
      if (colon > 0) headers.append(line.slice(0, colon).trim(), line.slice(colon + 1).trim());
    }
    const hasBody = body.length > 0 && !/^(get|head)$/i.test(method);
    return new Request(`http://localhost${path.startsWith("/") ? path : `/${path}`}`, {
      method,
      headers,
      ...(hasBody ? { body: new Uint8Array(body) } : {}),
    });
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}
