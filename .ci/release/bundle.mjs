// agent/ and every package it uses -> one CommonJS file for the single executable, and one for its git worker.
import { readFileSync, readdirSync, readlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { build } from "esbuild";

/**
 * Writes flotilla.cjs, git-worker.js and example-units.json below `folder`; agent/adapters/packed.ts asks for the latter
 * two by these names.
 */
export async function bundle(folder, version) {
  const common = {
    absWorkingDir: process.cwd(),
    bundle: true,
    platform: "node",
    target: "node20",
    format: "cjs",
    minifySyntax: true,
    minifyWhitespace: true,
    define: { FLOTILLA_VERSION: JSON.stringify(version), "import.meta.url": "ownUrl" },
    banner: { js: 'const ownUrl = require("node:url").pathToFileURL(process.execPath).href;' },
    // dbus-next asks for these only to find a bus through X11, or to pass file descriptors: neither is done
    external: ["x11", "usocket"],
    plugins: [packedProto],
    legalComments: "none",
    logLevel: "warning",
    // import.meta.resolve is for a run from source, and not reached here
    logOverride: { "empty-import-meta": "silent" },
  };
  await build({ ...common, entryPoints: ["agent/main.ts"], outfile: join(folder, "flotilla.cjs") });
  await build({ ...common, entryPoints: ["agent/adapters/git/worker.ts"], outfile: join(folder, "git-worker.js") });
  writeFileSync(join(folder, "example-units.json"), JSON.stringify(treeOf("units/example")));
}

/** etcd3 reads rpc.proto from beside itself when it is loaded: what it would read is put in its place. */
const packedProto = {
  name: "packed-proto",
  setup({ onLoad, onEnd }) {
    let isReplaced = false;
    let isAsked = false;
    onLoad({ filter: /[\\/]etcd3[\\/]lib[\\/]connection-pool\.js$/ }, ({ path }) => {
      isAsked = true;
      const source = readFileSync(path, "utf8");
      const pattern = /\(0, proto_loader_1\.loadSync\)\(`\$\{__dirname\}\/\.\.\/proto\/rpc\.proto`, /;
      const contents = source.replace(pattern, () => `(0, proto_loader_1.fromJSON)(${protoOf(path)}, `);
      isReplaced = contents !== source;
      return { contents, loader: "js" };
    });
    onEnd(() =>
      isAsked && !isReplaced
        ? { errors: [{ text: "etcd3 loads its proto file in another way than this build knows: see packedProto" }] }
        : undefined,
    );
  },
};

/** The proto file and all that it imports, as JSON. */
function protoOf(connectionPool) {
  const ofEtcd3 = createRequire(connectionPool);
  const { Root } = createRequire(ofEtcd3.resolve("@grpc/proto-loader"))("protobufjs");
  const root = new Root();
  root.loadSync(join(connectionPool, "..", "..", "proto", "rpc.proto"), { keepCase: true });
  root.resolveAll();
  return JSON.stringify(root.toJSON());
}

/** path -> { text } or { link }, in order of names. */
function treeOf(folder) {
  const entries = readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
    .map((path) => [path.slice(folder.length + 1), contentOf(path)]);
  return Object.fromEntries(entries);
}

function contentOf(path) {
  try {
    return { link: readlinkSync(path) };
  } catch (error) {
    if (error.code !== "EINVAL") throw error; // it is no link
    return { text: readFileSync(path, "utf8") };
  }
}
