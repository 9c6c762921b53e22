import { readFileSync } from "node:fs";

/** What the example lets a log of the namespace `demo` publish to. */
export const givenSubjects: readonly string[] = (
  /publish: \[([^\]]+)\]/.exec(readFileSync("examples/cluster/nats.conf", "utf8"))?.[1]?.match(/"[^"]+"/g) ?? []
).map((subject) => subject.slice(1, -1));

/** Users of NATS with the permissions of the example, each of whom lacks one, as its configuration has them. */
export function usersLacking(lacking: Readonly<Record<string, string | undefined>>): string {
  const allow = JSON.stringify(givenSubjects);
  const all = Object.entries(lacking).map(([user, subject]) => {
    const deny = subject === undefined ? "" : `, deny: ["${subject}"]`;
    return `{ user: ${user}, password: p, permissions: { publish: { allow: ${allow}${deny} }, subscribe: ["_INBOX.>"] } }`;
  });
  return all.join(", ");
}
