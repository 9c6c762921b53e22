import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { checkout } from "../../scripts/process.ts";
import { environment, install, pack, runOn, supportedNodes, tool } from "./packed.ts";

/** Milliseconds: installing takes as long as the registry does. */
const installTimeoutMs = 900_000;

const scratch = mkdtempSync(join(tmpdir(), "tailrace-package-"));
const nodes = await supportedNodes();
const lowest = nodes[0]?.directory ?? "";
let packed: Awaited<ReturnType<typeof pack>>;

beforeAll(async () => {
  packed = await pack(scratch);
}, installTimeoutMs);
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Runs what is installed, fetches nothing; what the settings of this machine make npm warn of is not ours. */
const npx = ["npx", "--no", "--loglevel=error"] as const;

/** Compiles files of a project as strict code of users, declarations of packages included. Returns what is wrong. */
async function compile(directory: string, libraries: string, ...files: string[]): Promise<string> {
  const options = ["--noEmit", "--strict", "--target", "es2024", "--module", "nodenext", "--resolveJsonModule"];
  const types = ["--lib", libraries, "--types", "node", "--typeRoots", join(checkout, "node_modules/@types")];
  const { status, stdout, stderr } = await runOn(lowest, directory, tool("tsc"), ...options, ...types, ...files);
  return status === 0 ? "" : stdout + stderr;
}

/** What core.ts reads from each log. */
const published = { memory: "one two three", embedded: "one two three" };

function emptyDirectory(): string {
  return mkdtempSync(join(scratch, "project-"));
}

describe("what is packed", () => {
  test("holds the build, the contract and the papers, and nothing else", () => {
    const expected = [
      /^(LICENSE|README\.md|CHANGELOG\.md|package\.json)$/,
      /^dist\/(src|gen)\/.*\.(js|d\.ts)$/,
      /^proto\/tailrace\/v1\/[a-z_]+\.proto$/,
      /^docs\/config\.schema\.json$/,
    ];
    expect(packed.paths.filter((path) => !expected.some((pattern) => pattern.test(path)))).toEqual([]);
    expect(packed.paths).toEqual(expect.arrayContaining(["LICENSE", "README.md", "dist/src/index.js"]));
    expect(packed.paths).toContain("proto/tailrace/v1/event_stream_service.proto");
  });

  test("has types for every door (attw, esm-only)", async () => {
    const { status, stdout } = await runOn(lowest, scratch, tool("attw"), packed.tarball, "--profile", "esm-only");
    expect(status, stdout).toBe(0);
  });
});

describe("installed whole", () => {
  const directory = emptyDirectory();
  beforeAll(() => install(directory, packed.tarball, lowest), installTimeoutMs);

  test("strict code of users compiles against its types", async () => {
    // The declarations of Connect name types of the DOM.
    expect(await compile(directory, "esnext,dom", "core.ts", "watch.ts", "doors.ts")).toBe("");
  });

  test("the door for browsers is found by its condition, and works without Node's own parts", async () => {
    const script = "console.log(Object.keys(await import('tailrace/client')).sort().join())";
    const browser = ["--conditions=browser", "--input-type=module", "--eval", script];
    const { status, stdout, stderr } = await runOn(lowest, directory, "node", ...browser);
    expect(stderr).toBe("");
    expect(stdout).toContain("watch");
    expect(stdout).not.toContain("fileCheckpoint");
    expect(status).toBe(0);
  });

  describe.each(nodes)("on the $name Node", ({ directory: node }) => {
    test("every door opens", async () => {
      const { status, stdout, stderr } = await runOn(node, directory, "node", "doors.ts");
      expect(stderr).toBe("");
      expect(JSON.parse(stdout)).toEqual({
        tailrace: expect.arrayContaining(["Runtime", "MemoryLog", "openEmbeddedLog", "TailraceError"]),
        "tailrace/server": expect.arrayContaining(["createServer"]),
        "tailrace/client": expect.arrayContaining(["watch", "createPublisher", "createWorkers", "fileCheckpoint"]),
        "tailrace/jetstream": ["openJetStreamLog"],
        "tailrace/package.json": ["default"],
      });
      expect(status).toBe(0);
    });

    test("the core publishes and reads", async () => {
      const outcome = await runOn(node, directory, "node", "core.ts");
      expect(outcome).toEqual({ status: 0, stdout: `${JSON.stringify(published)}\n`, stderr: "" });
    });

    test("a watch leaves, comes back, and has missed nothing", async () => {
      const outcome = await runOn(node, directory, "node", "watch.ts");
      const seen = ["first", "while away", "last"];
      expect(outcome).toEqual({ status: 0, stdout: `${JSON.stringify({ seen, refused: true })}\n`, stderr: "" });
    });

    test("npx tailrace --help", async () => {
      const { status, stdout, stderr } = await runOn(node, directory, ...npx, "tailrace", "--help");
      expect(stderr).toBe("");
      for (const command of ["run", "serve", "watch", "publish", "workers"]) expect(stdout).toContain(command);
      expect(status).toBe(0);
    });

    test("tailrace serve, publish and watch work together, and SIGTERM ends the server", async () => {
      const data = mkdtempSync(join(scratch, "data-"));
      const bin = join(directory, "node_modules/tailrace/dist/src/cli/main.js");
      const server = spawn("node", [bin, "serve", "--listen", "127.0.0.1:0", "--data", data], {
        cwd: directory,
        env: environment(node),
        stdio: ["ignore", "pipe", "inherit"],
      });
      const ended = once(server, "exit");
      try {
        const [ready] = (await once(createInterface(server.stdout), "line")) as [string];
        const url = /^tailrace ready (http:\/\/127\.0\.0\.1:\d+)$/.exec(ready)?.[1];
        expect(url, ready).toBeDefined();
        const environmentOfClient = { ...environment(node), TAILRACE_SERVER: url };
        const event = { workerId: "builder", narration: { action: "build", message: "over the command line" } };
        const publish = spawn("node", [bin, "publish"], {
          cwd: directory,
          env: environmentOfClient,
          stdio: ["pipe", "ignore", "ignore"],
        });
        publish.stdin.end(`${JSON.stringify(event)}\n`);
        expect(await once(publish, "exit")).toEqual([0, null]);
        const watch = spawn("node", [bin, "watch", "--format", "json", "--kinds", "narration"], {
          cwd: directory,
          env: environmentOfClient,
          stdio: ["ignore", "pipe", "ignore"],
        });
        const [line] = (await once(createInterface(watch.stdout), "line")) as [string];
        watch.kill("SIGTERM");
        await once(watch, "exit");
        expect(line).toContain("over the command line");
      } finally {
        server.kill("SIGTERM");
      }
      expect(await ended).toEqual([0, null]);
    });
  });
});

describe("installed with --omit=optional", () => {
  const directory = emptyDirectory();
  beforeAll(() => install(directory, packed.tarball, lowest, "--omit=optional"), installTimeoutMs);

  test("nothing of Connect is on disk", () => {
    expect(existsSync(join(directory, "node_modules/@bufbuild/protobuf"))).toBe(true);
    expect(existsSync(join(directory, "node_modules/@connectrpc"))).toBe(false);
  });

  test("strict code of users compiles against the types of the core alone", async () => {
    expect(await compile(directory, "esnext", "core.ts")).toBe("");
  });

  describe.each(nodes)("on the $name Node", ({ directory: node }) => {
    test("the core imports, publishes and reads", async () => {
      const outcome = await runOn(node, directory, "node", "core.ts");
      expect(outcome).toEqual({ status: 0, stdout: `${JSON.stringify(published)}\n`, stderr: "" });
    });

    test("a door that needs more says what to install", async () => {
      const { stdout } = await runOn(node, directory, "node", "doors.ts");
      const doors = JSON.parse(stdout) as Record<string, unknown>;
      expect(doors["tailrace"]).toContain("Runtime");
      for (const part of ["tailrace/server", "tailrace/client"]) {
        expect(doors[part]).toEqual({
          reason: "part_missing",
          details: { part, packages: ["@connectrpc/connect", "@connectrpc/connect-node"] },
          message: expect.stringContaining(
            `${part} needs packages that are not installed. Install them with: ` +
              "npm install @connectrpc/connect@2.2.0 @connectrpc/connect-node@2.2.0",
          ),
        });
      }
    });

    test("the log on JetStream says so too", async () => {
      const { stdout } = await runOn(node, directory, "node", "doors.ts");
      const { "tailrace/jetstream": door } = JSON.parse(stdout) as Record<string, unknown>;
      const packages = ["@nats-io/transport-node", "@nats-io/jetstream", "@nats-io/kv"];
      expect(door).toMatchObject({ reason: "part_missing", details: { part: "tailrace/jetstream", packages } });
    });

    test("the command line still shows its help", async () => {
      const { status, stdout, stderr } = await runOn(node, directory, ...npx, "tailrace", "--help");
      expect(stderr).toBe("");
      expect(stdout).toContain("watch");
      expect(status).toBe(0);
    });
  });
});
