import { posix } from "node:path";
import type { ImportOf } from "./parse.ts";

export interface RoomRule {
  /** Why, for whoever meets the rule by breaking it. */
  note: string;
  /** Rooms that may be imported; "*": all. */
  rooms: string[];
  /** Rooms of which only types may be imported. Default: none. */
  types?: string[];
  /** npm packages, with all their sub-paths. */
  packages: string[];
  /** Whether `node:` modules may be imported. */
  node: boolean;
}

export interface Closure {
  entry: string;
  /** Specifiers that nothing reachable from the entry may import, also not by `import()`; a trailing "*" matches any end. */
  forbidden: string[];
  note: string;
}

export interface ImportRules {
  roots: string[];
  rooms: Record<string, RoomRule>;
  closures: Closure[];
}

/** Imports by file; paths relative to the checkout, with "/". */
export type ImportMap = ReadonlyMap<string, readonly ImportOf[]>;

/** The room of a file: the longest key that is its path or a folder above it. */
function roomOf(file: string, rules: ImportRules): string | undefined {
  let room: string | undefined;
  for (const key of Object.keys(rules.rooms)) {
    const inside = file === key || file.startsWith(`${key}/`);
    if (inside && key.length > (room?.length ?? 0)) room = key;
  }
  return room;
}

/** "@a/b/c" and "@a/b" are of package "@a/b". */
function packageOf(specifier: string): string {
  return specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
}

const isRelative = (specifier: string): boolean => specifier.startsWith("./") || specifier.startsWith("../");

const targetOf = (file: string, specifier: string): string => posix.join(posix.dirname(file), specifier);

function problemOfRelative(target: string, room: string, imported: ImportOf, files: ImportMap, rules: ImportRules) {
  if (!files.has(target)) return `there is no file ${target} under ${rules.roots.join(", ")}`;
  const targetRoom = roomOf(target, rules);
  const rule = rules.rooms[room];
  if (targetRoom === undefined || rule === undefined) return undefined;
  if (targetRoom === room || rule.rooms.includes("*") || rule.rooms.includes(targetRoom)) return undefined;
  if (rule.types?.includes(targetRoom)) {
    return imported.typesOnly ? undefined : `${room} may import only types of ${targetRoom}: write \`import type\``;
  }
  return `${room} may not import ${targetRoom}`;
}

function problemOf(file: string, room: string, imported: ImportOf, files: ImportMap, rules: ImportRules) {
  const { specifier } = imported;
  const rule = rules.rooms[room];
  if (rule === undefined) return undefined;
  if (specifier === undefined) return "what is imported must be written as a string, or nobody can check it";
  if (isRelative(specifier)) return problemOfRelative(targetOf(file, specifier), room, imported, files, rules);
  if (specifier.startsWith("node:")) return rule.node ? undefined : `${room} may not import node: modules`;
  return rule.packages.includes(packageOf(specifier))
    ? undefined
    : `${room} may not import the package ${packageOf(specifier)}`;
}

/** Files that import each other while modules are initialised, each cycle once. Types and `import()` close no cycle. */
function cycles(files: ImportMap): string[] {
  const found: string[] = [];
  const state = new Map<string, "open" | "done">();
  const path: string[] = [];
  const visit = (file: string): void => {
    if (state.get(file) === "done") return;
    if (state.get(file) === "open") {
      found.push(`cycle: ${[...path.slice(path.indexOf(file)), file].join(" -> ")}`);
      return;
    }
    state.set(file, "open");
    path.push(file);
    for (const { specifier, typesOnly, deferred } of files.get(file) ?? []) {
      if (!typesOnly && !deferred && specifier !== undefined && isRelative(specifier)) visit(targetOf(file, specifier));
    }
    path.pop();
    state.set(file, "done");
  };
  for (const file of files.keys()) visit(file);
  return found;
}

function matches(specifier: string, pattern: string): boolean {
  if (pattern.endsWith("*")) return specifier.startsWith(pattern.slice(0, -1));
  return specifier === pattern || specifier.startsWith(`${pattern}/`);
}

/** What a closure's entry reaches though it must not, with the way there. */
function closureProblems(closure: Closure, files: ImportMap): string[] {
  if (!files.has(closure.entry)) return [`${closure.entry}: named in closures, but there is no such file`];
  const found: string[] = [];
  const cameFrom = new Map<string, string | undefined>([[closure.entry, undefined]]);
  const wayTo = (file: string): string => {
    const before = cameFrom.get(file);
    return before === undefined ? file : `${wayTo(before)} -> ${file}`;
  };
  for (const file of cameFrom.keys()) {
    for (const { specifier, typesOnly } of files.get(file) ?? []) {
      if (typesOnly || specifier === undefined) continue;
      if (isRelative(specifier)) {
        const target = targetOf(file, specifier);
        if (!cameFrom.has(target)) cameFrom.set(target, file);
      } else if (closure.forbidden.some((pattern) => matches(specifier, pattern))) {
        found.push(`${closure.entry} must not reach ${specifier}: ${wayTo(file)} -> ${specifier} (${closure.note})`);
      }
    }
  }
  return found;
}

function unknownRooms(rules: ImportRules): string[] {
  const known = (name: string): boolean => name === "*" || name in rules.rooms;
  return Object.entries(rules.rooms).flatMap(([room, rule]) =>
    [...rule.rooms, ...(rule.types ?? [])]
      .filter((name) => !known(name))
      .map((name) => `rules of ${room}: there is no room ${name}`),
  );
}

/** Everything that breaks the rules, one line each; empty when nothing does. */
export function problems(files: ImportMap, rules: ImportRules): string[] {
  const found = unknownRooms(rules);
  for (const [file, imports] of files) {
    const room = roomOf(file, rules);
    if (room === undefined) {
      found.push(`${file}: no room of import-rules.json holds this file`);
      continue;
    }
    for (const imported of imports) {
      const problem = problemOf(file, room, imported, files, rules);
      if (problem !== undefined) {
        found.push(
          `${file}:${imported.line}: ${problem} (${imported.specifier ?? "computed"}). ${rules.rooms[room]?.note}`,
        );
      }
    }
  }
  return [...found, ...cycles(files), ...rules.closures.flatMap((closure) => closureProblems(closure, files))];
}
