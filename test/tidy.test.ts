// The rules of the house, checked on the source itself: which room may import what, who may touch the world, and that
// files, schemas and documents hang together. Each finding names file, line and rule; CONTRIBUTING.md explains them.
import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const root = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "");

/** What a room may import besides its own files. `doors`: the front doors of the pure rooms, and the doors listed below. */
const rooms: Readonly<Record<string, readonly string[]>> = {
  domain: [],
  text: ["domain"],
  settings: ["domain", "text"],
  desired: ["domain", "text"],
  schedule: ["domain", "text"],
  reconcile: ["domain", "text"],
  report: ["domain", "text"],
  userdata: ["domain", "text"],
  firstboot: ["domain", "text"],
  discovery: ["domain", "text"],
  plan: ["domain", "text"],
  ports: ["domain"],
  adapters: ["domain", "text", "ports"],
  loops: ["domain", "ports", "doors"],
  api: ["domain", "ports", "doors"],
  cli: ["domain", "ports", "doors"],
  playground: ["domain", "ports", "doors"],
  bootstrap: ["domain", "ports", "doors"],
  // agent/wire*.ts and agent/main.ts, which stand in no room
  wire: ["domain", "ports", "doors", "adapters", "loops", "api", "cli", "playground", "bootstrap"],
  main: ["domain", "cli", "wire"],
};
const pureRooms: readonly string[] = [
  ...["settings", "desired", "schedule", "reconcile", "report"],
  ...["userdata", "firstboot", "discovery", "plan"],
];

/** Doors beside the front doors, each with its reason. */
const sideDoors: Readonly<Record<string, string>> = {
  "schedule/manifests.ts": "what is written to machines follows from decisions, but is asked for at another moment",
  "schedule/explain.ts":
    "why a unit is where it is is asked by people, for one unit or machine, and never by the engine",
  "report/explanation.ts": "an explanation is asked for and told by one command, and no listing needs it",
  "discovery/service.ts": "the service that machines ask; joining, behind the front door, is their half",
  "text/discovery-store.ts": "the tokens of a discovery service are kept on disk by the API that serves them",
  "text/boot-found.ts": "what a boot found is read back by the next one, when no source answers",
  "text/boot-result.ts": "the result of a boot is written by the run and read by whoever asks how it stands",
  "report/boot.ts": "a boot is reported where there is no cluster, and without loading what reports one",
  "text/glob.ts": "patterns that people type choose among names where these are known",
  "report/select.ts": "what narrows a listing is asked of the API alone; commands pass it on",
  "text/api-document.ts": "the API answers with its own description, and checks bodies by it",
  "text/unit-options.ts": "fleet's API carries units as lists of options, in and out",
  "desired/fleet-objections.ts": "fleet's words are for those who ask as fleet's clients do",
  "text/suggest.ts": "what was typed is compared with what there is, where commands are read",
  "firstboot/record.ts": "what a boot remembers is made when the plan has been carried out, step by step",
  "firstboot/show.ts": "a plan is printed by commands that make none",
  "text/width.ts": "what commands draw and print is to fit a terminal and not to command it",
  "text/time.ts": "commands tell spans and moments in the words of the reports",
  "report/hands.ts": "changes made by hand are answered and told by commands that no listing needs",
  "report/maintenance.ts": "a drain is answered and told as the listings show it, also where none is made",
  "report/journal.ts": "what machines say is asked for and told by the few commands that go to machines",
  "report/state.ts": "the state of a cluster is exported for programs that plan, and shown in no listing",
  "plan/show.ts": "a plan is put into words by the command that prints it, in one of several forms",
  "text/exported-state.ts": "a state that was exported is read back by the command that plans from it",
  "report/verdict.ts": "whether a change has come about is judged while a command waits for it",
  "text/values.ts": "registry values are written and read by the loops that carry them",
};

/** Each outside library, its one importer, and why it is there. */
const packages: Readonly<Record<string, { readonly importer: string; readonly why: string }>> = {
  "@hono/node-server": { importer: "adapters/api-server.ts", why: "serves the API on a unix socket" },
  ajv: { importer: "text/schema.ts", why: "JSON Schemas as checks" },
  commander: { importer: "cli/args.ts", why: "arguments, help and suggestions" },
  cockatiel: { importer: "adapters/registry/etcd-channel.ts", why: "etcd3's own policies, to switch its retries off" },
  cron: { importer: "adapters/cron.ts", why: "when a cron expression is next due" },
  "dbus-next": { importer: "adapters/systemd/peer.ts", why: "D-Bus messages and their marshalling" },
  etcd3: { importer: "adapters/registry/etcd-channel.ts", why: "etcd's v3 API" },
  "fast-xml-parser": { importer: "adapters/sources/xml.ts", why: "documents that hypervisors hand over" },
  hono: { importer: "api/api.ts", why: "routes of the API" },
  ini: { importer: "settings/fleet-conf.ts", why: "the text of a fleet.conf" },
  "isomorphic-git": { importer: "adapters/git/store.ts", why: "git objects and packs, without git" },
  "js-yaml": { importer: "text/yaml.ts", why: "YAML with the place of everything in it" },
  pino: { importer: "adapters/log.ts", why: "log lines" },
  "postal-mime": { importer: "text/mime.ts", why: "MIME multipart user-data" },
  undici: { importer: "adapters/git/http.ts", why: "HTTP with proxies and certificates of one's own" },
};

/** Rooms that may reach the world: clocks, chance, the process, files, sockets, children. */
const worldly: readonly string[] = ["adapters", "main"];
/** Node's own modules that are pure, and where. */
const pureModules: Readonly<Record<string, readonly string[]>> = {
  "node:crypto": ["text"],
  "node:zlib": ["userdata"],
};
const worldNames: ReadonlySet<string> = new Set([
  "Date",
  "process",
  "fetch",
  "performance",
  "crypto",
  "console",
  "setTimeout",
  "setInterval",
  "setImmediate",
  "Worker",
  "WebSocket",
  "EventSource",
]);
const worldMembers: ReadonlySet<string> = new Set(["Math.random", "AbortSignal.timeout", "globalThis.process"]);

/** What may stand at the top, besides names that begin with a dot. */
const topLevel: readonly string[] = [
  "CHANGELOG.md",
  "CONTRIBUTING.md",
  "LICENSE",
  "README.md",
  "agent",
  "cloud-config",
  "docs",
  "eslint.config.js",
  "package-lock.json",
  "package.json",
  "schemas",
  "test",
  "tsconfig.json",
  "units",
];
/** Made by commands and never committed. */
const made: ReadonlySet<string> = new Set(["node_modules", "dist"]);

interface Source {
  /** From the top: `agent/text/hash.ts`. */
  readonly path: string;
  readonly text: string;
  readonly tree: ts.SourceFile;
}

function filesBelow(folder: string, pattern: RegExp): readonly string[] {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && pattern.test(entry.name))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .sort();
}

function readSource(path: string): Source {
  const text = readFileSync(join(root, path), "utf8");
  return { path, text, tree: ts.createSourceFile(path, text, ts.ScriptTarget.ES2022, true) };
}

const agentSources = filesBelow("agent", /\.ts$/).map(readSource);
const sources = [...agentSources, ...filesBelow("test", /\.ts$/).map(readSource)];
const documents = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", ...filesBelow("docs", /\.md$/)];

function finding({ path, tree }: Source, { node, rule }: { readonly node: ts.Node; readonly rule: string }): string {
  return `${path}:${tree.getLineAndCharacterOfPosition(node.getStart(tree)).line + 1}: ${rule}`;
}

function visit(node: ts.Node, see: (node: ts.Node) => void): void {
  see(node);
  node.forEachChild((child) => visit(child, see));
}

/** All findings of one rule over nodes. `rule` says what is wrong with a node, or nothing. */
function findings(
  among: readonly Source[],
  rule: (node: ts.Node, source: Source) => string | undefined,
): readonly string[] {
  const found: string[] = [];
  for (const source of among)
    visit(source.tree, (node) => {
      const wrong = rule(node, source);
      if (wrong !== undefined) found.push(finding(source, { node, rule: wrong }));
    });
  return found;
}

/** The module that a node imports: import, export from, import() and import types. */
function importedBy(node: ts.Node): string | undefined {
  const literal =
    ts.isImportDeclaration(node) || ts.isExportDeclaration(node)
      ? node.moduleSpecifier
      : ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)
        ? node.argument.literal
        : ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword
          ? node.arguments[0]
          : undefined;
  return literal !== undefined && ts.isStringLiteralLike(literal) ? literal.text : undefined;
}

/** `adapters` for agent/adapters/git/git.ts; `wire` and `main` for the files that stand in no room. */
function roomOf(path: string): string {
  const [top = "", ...below] = path.split("/").slice(1);
  return below.length > 0 ? top : /^wire(-[a-z-]+)?\.ts$/.test(top) ? "wire" : top.replace(/\.ts$/, "");
}

function packageOf(specifier: string): string {
  return specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
}

/** Why a file of agent/ may not import another one; undefined when it may. */
function wrongImport(from: string, to: string): string | undefined {
  if (to.startsWith("schemas/"))
    return ["text", "settings", "userdata", "firstboot"].includes(roomOf(from))
      ? undefined
      : "only text/, settings/, userdata/ and firstboot/ read schemas";
  if (!to.startsWith("agent/")) return `agent/ imports nothing of ${to}`;
  const [here, there] = [roomOf(from), roomOf(to)];
  if (here === there) return undefined;
  const allowed = rooms[here] ?? [];
  const inside = to.slice("agent/".length);
  const isDoor = (pureRooms.includes(there) && inside === `${there}/${there}.ts`) || Object.hasOwn(sideDoors, inside);
  if (allowed.includes(there) || (isDoor && allowed.includes("doors"))) return undefined;
  return pureRooms.includes(there) && allowed.includes("doors")
    ? `${here} may enter ${there} by its front door only, not ${inside}`
    : `${here} may not import ${there}`;
}

/** Rule: rooms import only what the table allows. */
function strayImport(node: ts.Node, { path }: Source): string | undefined {
  const specifier = importedBy(node);
  if (specifier?.startsWith(".") !== true) return undefined;
  return wrongImport(path, relative(root, resolve(root, dirname(path), specifier)));
}

/** Rule: only adapters and main touch the world. */
function worldlyUse(node: ts.Node, { path }: Source): string | undefined {
  const room = roomOf(path);
  if (worldly.includes(room)) return undefined;
  const specifier = importedBy(node);
  if (specifier?.startsWith("node:") === true)
    return pureModules[specifier]?.includes(room) === true ? undefined : `${room} may not import ${specifier}`;
  if (ts.isPropertyAccessExpression(node) && worldMembers.has(node.getText()))
    return `${room} may not use ${node.getText()}`;
  if (!ts.isIdentifier(node) || !worldNames.has(node.text)) return undefined;
  return isReference(node) ? `${room} may not use ${node.text}` : undefined;
}

/** Rule: a rule that is switched off says why, behind " -- ". */
function switchedOff({ path, text }: Source): readonly string[] {
  const off = /(eslint-disable|@ts-(ignore|expect-error|nocheck)|prettier-ignore)(.*)/;
  return comments(text).flatMap(({ line, comment }) => {
    const [, directive, , rest = ""] = off.exec(comment) ?? [];
    return directive === undefined || / -- \S{2,}.*\S/.test(rest)
      ? []
      : [`${path}:${line}: ${directive} without " -- reason"`];
  });
}

function nothing(found: readonly string[]): void {
  assert.equal(found.length, 0, `\n${found.join("\n")}\n`);
}

suite("tidy", () => {
  test("every file of agent/ stands in a room", () => {
    nothing(
      agentSources
        .filter(({ path }) => !Object.hasOwn(rooms, roomOf(path)))
        .map(({ path }) => `${path}:1: there is no room "${roomOf(path)}"`),
    );
  });

  test("rooms import only what the table allows", () => {
    nothing(findings(agentSources, strayImport));
  });

  test("relative imports end in .ts or .json and lead to a file", () => {
    nothing(
      findings(sources, (node, { path }) => {
        const specifier = importedBy(node);
        if (specifier?.startsWith(".") !== true) return undefined;
        if (!/\.(ts|json)$/.test(specifier)) return `"${specifier}" does not end in .ts`;
        return existsSync(resolve(root, dirname(path), specifier)) ? undefined : `there is no "${specifier}"`;
      }),
    );
  });

  test("nothing is exported again from elsewhere", () => {
    nothing(
      findings(agentSources, (node) =>
        ts.isExportDeclaration(node) && node.moduleSpecifier !== undefined
          ? "import it where it is used, from where it is written"
          : undefined,
      ),
    );
  });

  test("every outside library has one importer, a reason, and a line in package.json", () => {
    const { dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
      readonly dependencies: Readonly<Record<string, string>>;
    };
    const importers = new Map<string, Set<string>>();
    nothing(
      findings(agentSources, (node, { path }) => {
        const specifier = importedBy(node);
        if (specifier === undefined || /^(\.|node:)/.test(specifier)) return undefined;
        const name = packageOf(specifier);
        const entry = Object.hasOwn(packages, name) ? packages[name] : undefined;
        if (entry === undefined) return `${name} is no library of this house`;
        if (!Object.hasOwn(dependencies, name)) return `${name} is not in package.json`;
        if (path.endsWith(".d.ts")) return undefined; // types that a library lacks
        importers.set(name, (importers.get(name) ?? new Set()).add(path));
        return path === `agent/${entry.importer}` ? undefined : `only agent/${entry.importer} may import ${name}`;
      }),
    );
    nothing(
      Object.keys(dependencies)
        .filter((name) => !importers.has(name))
        .map((name) => `package.json: nobody imports ${name}`),
    );
  });

  test("only adapters and main touch the world", () => {
    nothing(findings(agentSources, worldlyUse));
  });

  test("nothing is any", () => {
    nothing(findings(sources, (node) => (node.kind === ts.SyntaxKind.AnyKeyword ? "say what it is" : undefined)));
  });

  test("the chance of property tests comes from test/property.ts", () => {
    nothing(
      findings(sources, (node, { path }) => {
        if (importedBy(node) === "fast-check") return path === "test/property.ts" ? undefined : "import it from there";
        if (!ts.isPropertyAssignment(node) || node.name.getText() !== "numRuns") return undefined;
        return node.initializer.getText().startsWith("tries(") ? undefined : "say tries(...)";
      }),
    );
  });

  test("a rule that is switched off says why", () => {
    nothing(sources.flatMap(switchedOff));
  });

  test("a file opens by saying what it gives", () => {
    // a unit test's name and cases say it already
    nothing(
      sources
        .filter(({ path }) => !/^test\/unit\/.*\.test\.ts$/.test(path))
        .filter(({ text }) => !/^(#!.*\n)?\/\/ \S.{20,}/.test(text))
        .map(({ path }) => `${path}:1: it opens with no comment of a line or more`),
    );
  });

  test("no file names the machine that it was written on", () => {
    // a checkout directly below one of these cannot be told from honest mentions of them
    const common = ["/", "/home", "/opt", "/root", "/srv", "/tmp", "/usr/local/src", "/usr/src", "/var/tmp"];
    const parent = dirname(root);
    const own = common.includes(parent) ? `${root}/` : `${parent}/`;
    const texts = [...filesBelow("agent", /./), ...filesBelow("test", /./), ...filesBelow("units", /./)];
    const all = [...texts, ...filesBelow("schemas", /./), ...filesBelow("cloud-config", /./), ...documents];
    nothing(
      all.flatMap((path) =>
        readFileSync(join(root, path), "utf8")
          .split("\n")
          .flatMap((line, index) =>
            line.includes(own) || /\/(home|Users)\/(?!me\b|you\b|core\b)[a-z][a-z0-9_-]+\//.test(line)
              ? [`${path}:${index + 1}: a path of one developer's machine`]
              : [],
          ),
      ),
    );
  });

  test("every schema is used by the program", () => {
    const used = new Set<string>();
    findings(agentSources, (node, { path }) => {
      const specifier = importedBy(node);
      if (specifier?.startsWith(".") === true) used.add(relative(root, resolve(root, dirname(path), specifier)));
      return undefined;
    });
    nothing(
      filesBelow("schemas", /./)
        .filter((path) => !used.has(path))
        .map((path) => `${path}:1: no file of agent/ imports it`),
    );
  });

  test("the doors and importers of the tables exist", () => {
    const named = [...Object.keys(sideDoors), ...Object.values(packages).map(({ importer }) => importer)];
    nothing(
      named
        .filter((path) => !existsSync(join(root, "agent", path)))
        .map((path) => `agent/${path}: there is no such file`),
    );
  });

  test("the top level holds what the layout names", () => {
    const here = readdirSync(root).filter((name) => !name.startsWith(".") && !made.has(name) && !name.endsWith(".log"));
    nothing(here.filter((name) => !topLevel.includes(name)).map((name) => `${name}: not in the layout`));
    nothing(topLevel.filter((name) => !here.includes(name)).map((name) => `${name}: is missing`));
  });

  test("every link of the documents leads to a file and a heading", () => {
    nothing(documents.flatMap((path) => brokenLinks(path)));
  });
});

suite("tidy: the rules find what they are for", () => {
  const sourceOf = (path: string, text: string): Source => ({
    path,
    text,
    tree: ts.createSourceFile(path, text, ts.ScriptTarget.ES2022, true),
  });
  const among = (path: string, text: string): readonly string[] => {
    const source = [sourceOf(path, text)];
    return [...findings(source, strayImport), ...findings(source, worldlyUse), ...source.flatMap(switchedOff)];
  };

  const bad: readonly (readonly [path: string, text: string, finding: string])[] = [
    ["agent/schedule/a.ts", '\nimport { x } from "../reconcile/reconcile.ts";', "2: schedule may not import reconcile"],
    ["agent/schedule/a.ts", 'import type { X } from "../ports/log.ts";', "1: schedule may not import ports"],
    ["agent/domain/a.ts", 'export type X = import("../text/hash.ts").Y;', "1: domain may not import text"],
    ["agent/loops/a.ts", 'await import("../adapters/log.ts");', "1: loops may not import adapters"],
    [
      "agent/cli/a.ts",
      'import { x } from "../report/lines.ts";',
      "1: cli may enter report by its front door only, not report/lines.ts",
    ],
    [
      "agent/text/a.ts",
      'import { x } from "../../test/tidy.test.ts";',
      "1: agent/ imports nothing of test/tidy.test.ts",
    ],
    [
      "agent/loops/a.ts",
      'import s from "../../schemas/leader.json";',
      "1: only text/, settings/, userdata/ and firstboot/ read schemas",
    ],
    ["agent/loops/a.ts", 'import { readFile } from "node:fs/promises";', "1: loops may not import node:fs/promises"],
    ["agent/desired/a.ts", 'import { createHash } from "node:crypto";', "1: desired may not import node:crypto"],
    ["agent/schedule/a.ts", "const now = Date.now();", "1: schedule may not use Date"],
    ["agent/report/a.ts", "const now = new Date();", "1: report may not use Date"],
    ["agent/loops/a.ts", "setTimeout(f, 1);", "1: loops may not use setTimeout"],
    ["agent/loops/a.ts", "AbortSignal.timeout(5);", "1: loops may not use AbortSignal.timeout"],
    ["agent/schedule/a.ts", "const x = { random: Math.random };", "1: schedule may not use Math.random"],
    ["agent/wire.ts", "const { env } = process;", "1: wire may not use process"],
    ["agent/cli/a.ts", "const all = { process };", "1: cli may not use process"],
    ["agent/main.ts", "// eslint-disable-next-line eqeqeq\nf();", '1: eslint-disable without " -- reason"'],
  ];
  for (const [path, text, expected] of bad)
    test(`${path}: ${text.trim()}`, () => assert.deepEqual(among(path, text), [`${path}:${expected}`]));

  const good: readonly (readonly [path: string, text: string])[] = [
    ["agent/loops/a.ts", 'import { schedule } from "../schedule/schedule.ts";'],
    ["agent/loops/a.ts", 'import { keys } from "../text/values.ts";'],
    ["agent/text/a.ts", 'import { createHash } from "node:crypto";'],
    ["agent/adapters/git/a.ts", 'import { open } from "node:fs/promises"; const now = Date.now();'],
    ["agent/main.ts", "process.exitCode = 1;"],
    ["agent/cli/a.ts", "const word = unit.process; type T = { process: number };"],
    ["agent/text/a.ts", 'const hint = "// eslint-disable is a word here, and so is Date";'],
    ["agent/text/a.ts", "// eslint-disable-next-line no-control-regex -- escapes are what it looks for\nf();"],
  ];
  for (const [path, text] of good) test(`${path}: ${text} is fine`, () => assert.deepEqual(among(path, text), []));

  test("links and headings", () => {
    assert.deepEqual([...anchorsOf("# One, two & `three`\n```\n# not this\n```\n")], ["one-two--three"]);
    assert.equal(withoutCode("a `[x](y)` [b](c)\n```\n[d](e)\n```\n"), "a  [b](c)\n\n\n\n");
  });
});

/** Whether an identifier is a use of a global name: no member, no key, no declaration and no import of that name. */
function isReference(node: ts.Identifier): boolean {
  const { parent } = node;
  if (ts.isPropertyAccessExpression(parent)) return parent.expression === node;
  if (ts.isQualifiedName(parent)) return parent.left === node;
  if (ts.isShorthandPropertyAssignment(parent)) return true;
  const named = parent as { readonly name?: ts.Node; readonly propertyName?: ts.Node };
  return named.name !== node && named.propertyName !== node;
}

/** Comments with their lines: what looks like one within a string is none. */
function comments(text: string): readonly { readonly line: number; readonly comment: string }[] {
  const scanner = ts.createScanner(ts.ScriptTarget.ES2022, false, ts.LanguageVariant.Standard, text);
  const found: { line: number; comment: string }[] = [];
  for (let token = scanner.scan(); token !== ts.SyntaxKind.EndOfFileToken; token = scanner.scan())
    if (token === ts.SyntaxKind.SingleLineCommentTrivia || token === ts.SyntaxKind.MultiLineCommentTrivia)
      found.push({ line: text.slice(0, scanner.getTokenStart()).split("\n").length, comment: scanner.getTokenText() });
  return found;
}

function withoutCode(markdown: string): string {
  return markdown.replace(/^(```|~~~)[\s\S]*?^\1/gm, (block) => block.replace(/[^\n]/g, "")).replace(/`[^`\n]*`/g, "");
}

/** Anchors as GitHub and GitLab make them of headings. */
function anchorsOf(markdown: string): ReadonlySet<string> {
  const headings = markdown.replace(/^(```|~~~)[\s\S]*?^\1/gm, "").matchAll(/^#{1,6} +(.+)$/gm);
  return new Set(
    Array.from(headings, ([, heading = ""]) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N}_ -]/gu, "")
        .replaceAll(" ", "-"),
    ),
  );
}

function brokenLinks(path: string): readonly string[] {
  const markdown = readFileSync(join(root, path), "utf8");
  return withoutCode(markdown)
    .split("\n")
    .flatMap((line, index) =>
      Array.from(line.matchAll(/\]\(([^)\s]+)\)/g)).flatMap(([, link = ""]) => {
        if (/^[a-z]+:/.test(link)) return [];
        const [file = "", anchor] = link.split("#");
        const target = file === "" ? path : relative(root, resolve(root, dirname(path), file));
        if (!existsSync(join(root, target))) return [`${path}:${index + 1}: there is no ${link}`];
        const anchors = anchor === undefined ? undefined : anchorsOf(readFileSync(join(root, target), "utf8"));
        return anchors === undefined || anchors.has(anchor ?? "") ? [] : [`${path}:${index + 1}: no heading ${link}`];
      }),
    );
}
