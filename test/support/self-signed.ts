import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { scratchDirectory } from "./scratch.ts";

/** A certificate for this machine that lives as long as the test. */
export function selfSigned(): { cert: string; key: string } {
  const directory = scratchDirectory();
  const cert = join(directory, "cert.pem");
  const key = join(directory, "key.pem");
  const names = "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1";
  try {
    execFileSync(
      "openssl",
      ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"].concat([
        "-subj",
        "/CN=localhost",
        "-addext",
        names,
        "-keyout",
        key,
        "-out",
        cert,
      ]),
      { stdio: ["ignore", "ignore", "pipe"] },
    );
  } catch (cause) {
    throw new Error("These tests need openssl: apt-get install openssl", { cause });
  }
  return { cert: readFileSync(cert, "utf8"), key: readFileSync(key, "utf8") };
}
