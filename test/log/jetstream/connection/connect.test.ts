import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { inspect } from "node:util";
import { nkeys } from "@nats-io/transport-node";
import { expect, onTestFinished, test } from "vitest";
import { ManualClock, systemClock } from "../../../../src/base/clock.ts";
import { type ProblemDetails, TailraceError } from "../../../../src/base/errors.ts";
import { parseNatsServer } from "../../../../src/log/jetstream/connection/address.ts";
import { type NatsLink, openLink } from "../../../../src/log/jetstream/connection/connect.ts";
import type { NatsConnectOptions } from "../../../../src/log/jetstream/connection/connect-options.ts";
import { startNats, startNatsCluster } from "../../../support/nats.ts";
import { scratchDirectory } from "../../../support/scratch.ts";
import { selfSigned } from "../../../support/self-signed.ts";
import { stablePort } from "../../../support/stable-port.ts";
import { until } from "../../../support/until.ts";
import { operatorMode } from "./operator-mode.ts";

const secret = "s3cr3t-that-nobody-reads";

async function open(options: NatsConnectOptions, clock = systemClock, pingMs?: number): Promise<NatsLink> {
  const link = await openLink(options, clock, pingMs);
  onTestFinished(() => link.close());
  return link;
}

/** The sentence that a failed open says. */
async function refusal(
  options: NatsConnectOptions,
  cause: ProblemDetails["log_open_failed"]["cause"],
): Promise<string> {
  const error = await open(options).then(
    () => undefined,
    (failure: unknown) => failure,
  );
  expect(error).toBeInstanceOf(TailraceError);
  expect(error).toMatchObject({ reason: "log_open_failed", details: { cause } });
  expect(inspect(error, { depth: 10 })).not.toContain(secret);
  return (error as TailraceError).message;
}

function file(name: string, content: string | Uint8Array): string {
  const path = join(scratchDirectory(), name);
  writeFileSync(path, content);
  return path;
}

test("a connection that is lost comes back by itself, and says since when it is away meanwhile", async () => {
  const server = await startNats();
  const clock = new ManualClock();
  const link = await open({ servers: [server.url] }, clock);
  const heard: boolean[] = [];
  link.subscribe((connected) => heard.push(connected));
  await server.kill();
  await until(() => link.awaySinceMs !== undefined, "the loss to be seen");
  expect(link.awaySinceMs).toBe(clock.now());
  await server.start();
  await until(() => link.awaySinceMs === undefined, "the connection to come back");
  expect(heard).toEqual([false, true]);
});

test("it comes back also to a server that has refused it for a while", async () => {
  const users = [`authorization { user: u, password: ${secret} }`];
  const server = await startNats({ config: users });
  const link = await open({ servers: [server.url], user: "u", password: secret });
  await server.stop();
  await server.start({ config: ["authorization { user: u, password: another }"] });
  // The client of NATS gives up at the second refusal in a row, unless it is told not to.
  await until(() => (server.log().match(/authentication error/g) ?? []).length > 3, "four refusals");
  await server.stop();
  await server.start({ config: users });
  await until(() => link.awaySinceMs === undefined, "the connection to come back");
});

test("a server that stops answering is left for another", async () => {
  const { servers, urls } = await startNatsCluster();
  const link = await open({ servers: urls }, systemClock, 300);
  const used = servers.find(({ port }) => link.connection.getServer().endsWith(`:${port}`));
  expect(used).toBeDefined();
  used?.pause();
  await until(() => !link.connection.getServer().endsWith(`:${used?.port}`), "another server to be used");
  await until(() => link.awaySinceMs === undefined, "the connection to come back");
  used?.resume();
});

test("nobody at the address", async () => {
  const ports = [await stablePort(), await stablePort()];
  const servers = ports.map((port) => `nats://u:${secret}@127.0.0.1:${port}`);
  const message = await refusal({ servers }, "unreachable");
  expect(message).toBe(
    `No NATS server answers at 127.0.0.1:${ports[0]}, 127.0.0.1:${ports[1]} (connection refused). Start one, or name the right addresses.`,
  );
  expect(await refusal({ servers: ["nats://no.such.host.invalid"] }, "unreachable")).toContain("invalid:4222");
});

test("every way to sign in, and what is said when it is wrong", async () => {
  const nkey = nkeys.createUser();
  const seed = new TextDecoder().decode(nkey.getSeed());
  const other = new TextDecoder().decode(nkeys.createUser().getSeed());
  const byUser = await startNats({
    config: [`authorization { users: [{ user: "u@x", password: ${secret} }, { nkey: ${nkey.getPublicKey()} }] }`],
  });
  const servers = [byUser.url];
  await open({ servers, user: "u@x", password: secret });
  await open({ servers: [`nats://u%40x:${secret}@127.0.0.1:${byUser.port}`] });
  await open({ servers, nkeyFile: file("user.nk", `${seed}\n`) });
  expect(await refusal({ servers }, "denied")).toMatch(
    /does not let this server in \(Authorization Violation\)\. Give/,
  );
  await refusal({ servers, user: secret, password: secret }, "denied");
  await refusal({ servers: [`nats://${secret}:${secret}@127.0.0.1:${byUser.port}`] }, "denied");
  await refusal({ servers, nkeyFile: file("user.nk", other) }, "denied");
  const broken = file("broken.nk", `SU${secret}`);
  expect(await refusal({ servers, nkeyFile: broken }, "denied")).toBe(`${broken} holds no nkey that NATS could take.`);
  expect(await refusal({ servers, nkeyFile: `${broken}.none` }, "denied")).toMatch(/can't be read \(ENOENT\)\.$/);

  const byToken = await startNats({ config: [`authorization { token: ${secret} }`] });
  await open({ servers: [byToken.url], token: secret });
  await open({ servers: [`${secret}@127.0.0.1:${byToken.port}`] });
  await refusal({ servers: [byToken.url], token: `${secret}x` }, "denied");

  const { config, credentials } = operatorMode();
  const byCredentials = await startNats({ config });
  await open({ servers: [byCredentials.url], credentialsFile: file("user.creds", credentials) });
  await refusal({ servers: [byCredentials.url] }, "denied");
  const noCredentials = file("user.creds", secret);
  expect(await refusal({ servers: [byCredentials.url], credentialsFile: noCredentials }, "denied")).toBe(
    `${noCredentials} holds no credentials that NATS could take.`,
  );
});

test("an nkey that was renewed is used when the connection is made again", async () => {
  const [first, second] = [nkeys.createUser(), nkeys.createUser()];
  const users = (key: string) => ({ config: [`authorization { users: [{ nkey: ${key} }] }`] });
  const server = await startNats(users(first.getPublicKey()));
  const nkeyFile = file("user.nk", first.getSeed());
  const link = await open({ servers: [server.url], nkeyFile });
  await server.stop();
  // While it is written it may be anything.
  writeFileSync(nkeyFile, "");
  await server.start(users(second.getPublicKey()));
  writeFileSync(nkeyFile, second.getSeed());
  await until(() => link.awaySinceMs === undefined, "the connection to come back");
});

test("TLS, with a certificate that must be known", async () => {
  const { cert, key } = selfSigned();
  const certFile = file("cert.pem", cert);
  const keyFile = file("key.pem", key);
  const server = await startNats({ config: [`tls { cert_file: "${certFile}", key_file: "${keyFile}" }`] });
  const link = await open({ servers: [`tls://127.0.0.1:${server.port}`], tls: { caFile: certFile } });
  expect(link.connection.info?.tls_required).toBe(true);
  expect(await refusal({ servers: [server.url] }, "denied")).toMatch(
    /^TLS with NATS at .* fails \(self-signed certificate/,
  );
  const other = selfSigned();
  const otherFile = file("other.pem", other.cert);
  expect(await refusal({ servers: [server.url], tls: { caFile: otherFile } }, "denied")).toMatch(/^TLS with NATS/);
  expect(await refusal({ servers: [server.url], tls: { caFile: `${certFile}.none` } }, "denied")).toMatch(/ENOENT/);
  const garbage = file("garbage.pem", "hi");
  const own = (certFile: string, keyFile: string) =>
    refusal({ servers: [server.url], tls: { caFile: certFile, certFile, keyFile } }, "denied");
  for (const caFile of [garbage, keyFile]) {
    const said = await refusal({ servers: [server.url], tls: { caFile } }, "denied");
    expect(said).toContain(`${caFile} holds no certificate.`);
  }
  expect(await refusal({ servers: [server.url], tls: { certFile: garbage, keyFile } }, "denied")).toMatch(
    /garbage\.pem holds no certificate\./,
  );
  expect(await own(certFile, garbage)).toMatch(/can't be used with the key .*garbage\.pem \(/);
  expect(await own(certFile, file("other.key", other.key))).toMatch(/other\.key \(ERR_OSSL_X509_KEY_VALUES_MISMATCH\)/);
  const plain = await startNats();
  expect(await refusal({ servers: [`tls://127.0.0.1:${plain.port}`] }, "denied")).toMatch(/does not support 'tls'/);
});

test("a server that asks for our certificate", async () => {
  const { cert, key } = selfSigned();
  const certFile = file("cert.pem", cert);
  const keyFile = file("key.pem", key);
  const files = `cert_file: "${certFile}", key_file: "${keyFile}", ca_file: "${certFile}", verify: true`;
  const server = await startNats({ config: [`tls { ${files} }`] });
  await open({ servers: [server.url], tls: { caFile: certFile, certFile, keyFile } });
  expect(await refusal({ servers: [server.url], tls: { caFile: certFile } }, "unreachable")).toMatch(
    /does not take our certificate/,
  );
});

test("a server without JetStream, or whose user may not use it", async () => {
  const without = await startNats({ jetStream: false });
  expect(await refusal({ servers: [without.url] }, "unsupported")).toMatch(
    /runs without JetStream.*nats-server with -js/,
  );
  const deny = 'permissions: { publish: { deny: ["$JS.API.>"] } }';
  const denying = await startNats({ config: [`authorization { users: [{ user: u, password: ${secret}, ${deny} }] }`] });
  expect(await refusal({ servers: [denying.url], user: "u", password: secret }, "denied")).toMatch(
    /no permission for publishing to \$JS\.API\.INFO\./,
  );
});

test("a server that is too old, or takes small messages only", async () => {
  for (const version of ["2.11.9", "2.9.10", "1.4.1"]) {
    const message = await refusal({ servers: [await pretending({ version })] }, "unsupported");
    expect(message).toContain(`runs nats-server ${version}, and a log on JetStream needs 2.12 or later`);
  }
  const small = await startNats({ maxPayload: 1024 * 1024 - 1 });
  expect(await refusal({ servers: [small.url] }, "unsupported")).toMatch(/messages of 1048575 bytes.*max_payload/);
});

test("options that contradict each other, or make no sense", async () => {
  const servers = ["127.0.0.1"];
  const cases: [NatsConnectOptions, string][] = [
    [{ servers: [] }, "servers"],
    [{ servers: ["http://127.0.0.1:4222"] }, "servers[0]"],
    [{ servers: ["127.0.0.1", `nats://u:${secret}@host:port`] }, "servers[1]"],
    [{ servers: ["nats://host/path"] }, "servers[0]"],
    [{ servers, user: "u", token: secret }, "token"],
    [{ servers: [`nats://u:${secret}@host`], nkeyFile: "f" }, "nkeyFile"],
    [{ servers, password: secret }, "password"],
    [{ servers, tls: { certFile: "f" } }, "tls"],
  ];
  for (const [options, field] of cases) {
    const error = await openLink(options).catch((failure: unknown) => failure);
    expect(error).toMatchObject({ reason: "invalid_request", details: { field } });
    expect(inspect(error, { depth: 10 })).not.toContain(secret);
  }
});

test("addresses", () => {
  const address = (text: string) => parseNatsServer(text, "servers");
  expect(address("host")).toEqual({ host: "host", port: 4222, tls: false });
  expect(address("nats://host:80/")).toEqual({ host: "host", port: 80, tls: false });
  expect(address("TLS://[::1]:4223")).toEqual({ host: "[::1]", port: 4223, tls: true });
  expect(address("10.0.0.1:4224")).toEqual({ host: "10.0.0.1", port: 4224, tls: false });
});

/** A server that says of itself what a real one of that version would say first. */
async function pretending(info: { readonly version: string }): Promise<string> {
  const server = createServer((socket) => {
    const said = { server_id: "x", max_payload: 1024 * 1024, headers: true, jetstream: true, proto: 1, ...info };
    socket.write(`INFO ${JSON.stringify(said)}\r\n`);
    socket.on("error", () => undefined);
    socket.on("data", (data) => {
      if (String(data).includes("PING")) socket.write("PONG\r\n");
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.close();
  });
  return `nats://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
