import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { scratchDirectory } from "./scratch.ts";
import { stablePort } from "./stable-port.ts";

export interface Nginx {
  readonly url: string;
  /** Ends it with all its connections. */
  stop(): Promise<void>;
}

/** nginx can't choose a port itself, and the one that was chosen for it may be another's by the time that it listens. */
const tries = 5;

/** A real nginx in front of `upstream`, with Debian's defaults and these lines in its `location`. Ends with the test. */
export async function startNginx(upstream: string, lines: readonly string[] = []): Promise<Nginx> {
  for (let left = tries - 1; ; left--) {
    const nginx = await tryToStart(upstream, lines);
    if (typeof nginx !== "string") return nginx;
    if (left === 0 || !nginx.includes("Address already in use")) throw new Error(`nginx ended at once: ${nginx}`);
  }
}

/** A running nginx, or what one said that ended at once. */
async function tryToStart(upstream: string, lines: readonly string[]): Promise<Nginx | string> {
  const directory = scratchDirectory();
  mkdirSync(join(directory, "tmp"));
  const port = await stablePort();
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${join(directory, "tmp", name)};`)
    .join("\n  ");
  writeFileSync(
    join(directory, "nginx.conf"),
    `daemon off;
master_process off;
worker_processes 1;
pid ${join(directory, "nginx.pid")};
error_log stderr warn;
events { worker_connections 256; }
http {
  access_log off;
  ${temporary}
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass ${upstream};
      ${lines.join("\n      ")}
    }
  }
}
`,
  );
  const child = spawn("nginx", ["-p", directory, "-c", join(directory, "nginx.conf")], {
    env: { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin` },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let complaints = "";
  child.stderr.setEncoding("utf8");
  child.stderr.on("data", (text: string) => {
    complaints += text;
  });
  let failure: Error | undefined;
  child.once("error", (cause) => {
    failure = new Error("These tests need nginx: apt-get install nginx", { cause });
  });
  const exited = new Promise<void>((resolve) => {
    // Not "exit": what it complained of may still be in its pipe then.
    child.once("close", () => resolve());
    child.once("error", () => resolve());
  });
  let gone = false;
  void exited.then(() => {
    gone = true;
  });
  const stop = async (): Promise<void> => {
    child.kill("SIGTERM");
    await exited;
  };
  onTestFinished(stop);
  const url = `http://127.0.0.1:${port}`;
  for (;;) {
    if (failure !== undefined) throw failure;
    if (gone) return complaints;
    const answer = await fetch(`${url}/healthz`).catch(() => undefined);
    if (answer !== undefined) return { url, stop };
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
