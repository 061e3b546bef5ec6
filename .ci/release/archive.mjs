// tar and ar archives, written byte by byte: the package needs no dpkg, no fakeroot and no root, and the same files give
// the same bytes.

/**
 * A ustar archive. Entries are { path, mode } with `content` (a file), `link` (a symbolic link) or neither (a folder);
 * all belong to root. `time`: seconds of the epoch. Paths have at most 100 bytes.
 */
export function tar(entries, time) {
  const blocks = entries.flatMap((entry) => {
    const content = entry.content ?? Buffer.alloc(0);
    return [tarHeader(entry, { size: content.length, time }), content, Buffer.alloc(padding(content.length, 512))];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

function tarHeader({ path, mode, content, link }, { size, time }) {
  const isFolder = content === undefined && link === undefined;
  const header = Buffer.alloc(512);
  const put = (text, at, room) => {
    if (Buffer.byteLength(text) > room) throw new Error(`Cannot put "${text}" into a tar archive: it is too long`);
    header.write(text, at);
  };
  const octal = (value, width) => value.toString(8).padStart(width - 1, "0");
  put(`./${path}${isFolder && path !== "" ? "/" : ""}`, 0, 100);
  put(octal(link === undefined ? mode : 0o777, 8), 100, 7);
  put(octal(0, 8), 108, 7);
  put(octal(0, 8), 116, 7);
  put(octal(size, 12), 124, 11);
  put(octal(time, 12), 136, 11);
  put("        ", 148, 8);
  put(isFolder ? "5" : link === undefined ? "0" : "2", 156, 1);
  put(link ?? "", 157, 100);
  put("ustar\0" + "00root", 257, 12);
  put("root", 297, 32);
  put(
    `${octal(
      header.reduce((sum, byte) => sum + byte, 0),
      7,
    )}\0 `,
    148,
    8,
  );
  return header;
}

/** An ar archive of { name, content }, as deb(5) wants it. */
export function ar(members, time) {
  const parts = members.flatMap(({ name, content }) => [
    Buffer.from(
      `${name.padEnd(16)}${String(time).padEnd(12)}${"0".padEnd(6)}${"0".padEnd(6)}${"100644".padEnd(8)}${String(content.length).padEnd(10)}\`\n`,
    ),
    content,
    Buffer.alloc(padding(content.length, 2), "\n"),
  ]);
  return Buffer.concat([Buffer.from("!<arch>\n"), ...parts]);
}

function padding(size, block) {
  return (block - (size % block)) % block;
}
