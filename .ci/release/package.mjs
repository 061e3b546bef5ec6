// The Debian package: the executable, what systemd and shells need, and the files that people look at. It is written here
// whole, by archive.mjs; dpkg is not needed.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, readlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { ar, tar } from "./archive.mjs";

/** By architecture as Node calls it. */
const debianNames = { x64: "amd64", arm64: "arm64" };
const maintainer = "The flotilla authors <flotilla@localhost>";

export function packageName(version, arch) {
  return `flotilla_${version}_${debianNames[arch]}.deb`;
}

/**
 * Writes the package to `output`. `texts` are the manual page and the completions, `runtime` is what the executable is made
 * of, `time` the seconds of the epoch that stand in it.
 */
export function makePackage({ executable, texts, runtime, version, arch, time, output }) {
  const file = (path, content, mode = 0o644) => ({ path, mode, content: Buffer.from(content) });
  const copies = (from, to) => treeOf(from).map((entry) => ({ ...entry, path: join(to, entry.path) }));
  const packed = (content) => gzipSync(content, { level: 9 });
  const data = withFolders([
    file("usr/bin/flotilla", readFileSync(executable), 0o755),
    // Beside the PATH, so that a fleetctl that is there stays what it is
    { path: "usr/lib/flotilla/bin/fleetctl", mode: 0o777, link: "../../../bin/flotilla" },
    ...copies("units/system", "usr/lib/systemd/system"),
    file("usr/lib/systemd/system-preset/50-flotilla.preset", readFileSync(".ci/release/debian/preset")),
    ...copies("schemas", "usr/share/flotilla/schemas"),
    ...copies("units/example", "usr/share/flotilla/units/example"),
    ...copies("cloud-config", "usr/share/flotilla/cloud-config"),
    file("usr/share/man/man1/flotilla.1.gz", packed(texts.manual)),
    file("usr/share/bash-completion/completions/flotilla", texts.bash),
    file("usr/share/zsh/vendor-completions/_flotilla", texts.zsh),
    file("usr/share/fish/vendor_completions.d/flotilla.fish", texts.fish),
    ...copies("docs", "usr/share/doc/flotilla"),
    file("usr/share/doc/flotilla/copyright", copyright(runtime)),
    file("usr/share/doc/flotilla/changelog.gz", packed(readFileSync("CHANGELOG.md"))),
  ]);
  const sums = data
    .filter(({ content }) => content !== undefined)
    .map(({ path, content }) => `${createHash("md5").update(content).digest("hex")}  ${path}\n`);
  const installedBytes = data.reduce((sum, { content }) => sum + (content?.length ?? 0), 0);
  const control = [
    { path: "", mode: 0o755 },
    file("control", controlText({ version, arch, installedKiB: Math.ceil(installedBytes / 1024) })),
    file("md5sums", sums.join("")),
    ...["postinst", "prerm", "postrm"].map((name) => file(name, readFileSync(join(".ci/release/debian", name)), 0o755)),
  ];
  const members = [
    { name: "debian-binary", content: Buffer.from("2.0\n") },
    { name: "control.tar.gz", content: packed(tar(control, time)) },
    { name: "data.tar.gz", content: gzipSync(tar(data, time), { level: 6 }) },
  ];
  writeFileSync(output, ar(members, time));
}

/** The libraries are those that Node itself is linked with; 247 is the systemd of Debian 11. */
function controlText({ version, arch, installedKiB }) {
  return `Package: flotilla
Version: ${version}
Architecture: ${debianNames[arch]}
Maintainer: ${maintainer}
Installed-Size: ${installedKiB}
Depends: systemd (>= 247), libc6 (>= 2.28), libgcc-s1, libstdc++6 (>= 6)
Recommends: etcd-server, openssh-client
Section: admin
Priority: optional
Description: units from git on a group of systemd machines, placed through etcd
 flotilla runs services on a group of Linux machines with nothing but systemd,
 etcd and git. One of the machines leads: it pulls a repository of unit files
 and decides which machine runs which unit. Each machine gives its share to its
 own systemd. To deploy is to commit; to scale out is to add a symlink.
 .
 This package holds one executable, its units, the JSON Schemas of its files,
 example units, example user-data and the documents.
`;
}

/** Our licence, and Node's own text with those of everything that it holds. */
function copyright({ version, licence }) {
  const node = licence === undefined ? "See the licence of Node.js.\n" : readFileSync(licence, "utf8");
  return `flotilla is licensed under the Apache License, version 2.0; on Debian systems its text is in
/usr/share/common-licenses/Apache-2.0.

The executable holds Node.js ${version} and these packages:

${bundled()
  .map(({ name, version: each, license }) => `  ${name} ${each}: ${license}`)
  .join("\n")}

----------------------------------------------------------------------------
Node.js ${version}
----------------------------------------------------------------------------

${node}`;
}

/** What package-lock.json installs for a run, without what only building and testing needs. */
function bundled() {
  const { packages } = JSON.parse(readFileSync("package-lock.json", "utf8"));
  return Object.entries(packages)
    .filter(([path, { dev, link }]) => path.startsWith("node_modules/") && !dev && !link)
    .map(([path, { version, license }]) => ({
      name: path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length),
      version,
      license: license ?? "see the package",
    }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Files and links below a folder, in order of names; modes do not follow the checkout's umask. */
function treeOf(folder, below = "") {
  return readdirSync(join(folder, below), { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(below, entry.name);
      if (entry.isDirectory()) return treeOf(folder, path);
      if (entry.isSymbolicLink()) return [{ path, mode: 0o777, link: readlinkSync(join(folder, path)) }];
      return [{ path, mode: 0o644, content: readFileSync(join(folder, path)) }];
    });
}

/** Each folder before what it holds. */
function withFolders(entries) {
  const all = new Map();
  for (const entry of entries) {
    const above = [];
    for (let folder = dirname(entry.path); folder !== "."; folder = dirname(folder)) above.unshift(folder);
    for (const folder of ["", ...above]) all.set(folder, { path: folder, mode: 0o755 });
    all.set(entry.path, entry);
  }
  return [...all.values()];
}
