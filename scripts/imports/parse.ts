import { parse } from "@babel/parser";

/** One import of a file: what it names, and whether anything of it is left when types are erased. */
export interface ImportOf {
  /** As written: "./a.ts", "node:fs", "@bufbuild/protobuf/wkt". Undefined: computed, so nobody can check it. */
  specifier: string | undefined;
  typesOnly: boolean;
  /** `import()` or a Worker's URL: loaded later, so it closes no cycle while modules are initialised. */
  deferred: boolean;
  /** 1-based. */
  line: number;
}

interface SyntaxNode {
  type: string;
  loc?: { start: { line: number } };
  [key: string]: unknown;
}

function isSyntaxNode(value: unknown): value is SyntaxNode {
  return typeof value === "object" && value !== null && typeof (value as SyntaxNode).type === "string";
}

function* nodesBelow(node: SyntaxNode): Generator<SyntaxNode> {
  yield node;
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value]) if (isSyntaxNode(child)) yield* nodesBelow(child);
  }
}

function literal(node: unknown): string | undefined {
  if (!isSyntaxNode(node)) return undefined;
  if (node.type === "TSLiteralType") return literal(node["literal"]);
  return node.type === "StringLiteral" ? (node["value"] as string) : undefined;
}

/** `new URL("./x.ts", import.meta.url)`: how a Worker names its module. */
function workerUrl(node: SyntaxNode): string | undefined {
  const callee = node["callee"];
  const [path, base] = node["arguments"] as unknown[];
  if (!isSyntaxNode(callee) || callee["name"] !== "URL" || !isSyntaxNode(base)) return undefined;
  const isMeta = isSyntaxNode(base["object"]) && base["object"].type === "MetaProperty";
  const specifier = literal(path);
  return isMeta && specifier !== undefined && /\.[jt]s$/.test(specifier) ? specifier : undefined;
}

function importOfNode(node: SyntaxNode): Omit<ImportOf, "line"> | undefined {
  switch (node.type) {
    case "ImportDeclaration":
      return { specifier: literal(node["source"]), typesOnly: node["importKind"] === "type", deferred: false };
    case "ExportAllDeclaration":
    case "ExportNamedDeclaration":
      if (node["source"] === null || node["source"] === undefined) return undefined;
      return { specifier: literal(node["source"]), typesOnly: node["exportKind"] === "type", deferred: false };
    case "ImportExpression":
      return { specifier: literal(node["source"]), typesOnly: false, deferred: true };
    case "TSImportType":
      return { specifier: literal(node["argument"]), typesOnly: true, deferred: true };
    case "CallExpression": {
      const callee = node["callee"];
      if (!isSyntaxNode(callee) || callee["name"] !== "require") return undefined;
      return { specifier: literal((node["arguments"] as unknown[])[0]), typesOnly: false, deferred: true };
    }
    case "NewExpression": {
      const specifier = workerUrl(node);
      return specifier === undefined ? undefined : { specifier, typesOnly: false, deferred: true };
    }
    default:
      return undefined;
  }
}

/** Every import of a TypeScript file, in any form. `import { type A }` counts as one that runs: it is kept when types are erased. */
export function importsOf(source: string): ImportOf[] {
  const tree = parse(source, {
    sourceType: "module",
    plugins: ["typescript", "explicitResourceManagement"],
    createImportExpressions: true,
    // Names that resolve to nothing are the compiler's to report.
    errorRecovery: true,
  });
  const found: ImportOf[] = [];
  for (const node of nodesBelow(tree.program as unknown as SyntaxNode)) {
    const imported = importOfNode(node);
    if (imported !== undefined) found.push({ ...imported, line: node.loc?.start.line ?? 0 });
  }
  return found;
}
