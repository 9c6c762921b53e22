import { nkeys } from "@nats-io/transport-node";

const unlimited = { subs: -1, data: -1, payload: -1 };
const unlimitedAccount = {
  ...unlimited,
  imports: -1,
  exports: -1,
  wildcards: true,
  conn: -1,
  leaf: -1,
  mem_storage: -1,
  disk_storage: -1,
  streams: -1,
  consumer: -1,
};

/** Lines of a server that takes users by signed tokens, and the credentials file of one, as `nsc` would make them. */
export function operatorMode(): { config: readonly string[]; credentials: string } {
  const [operator, account, system, user] = [
    nkeys.createOperator(),
    nkeys.createAccount(),
    nkeys.createAccount(),
    nkeys.createUser(),
  ];
  const [accountKey, systemKey] = [account.getPublicKey(), system.getPublicKey()];
  const operatorToken = signed(operator, operator.getPublicKey(), {
    type: "operator",
    version: 2,
    system_account: systemKey,
  });
  const accountToken = signed(operator, accountKey, { type: "account", version: 2, limits: unlimitedAccount });
  const systemToken = signed(operator, systemKey, { type: "account", version: 2, limits: unlimited });
  const userToken = signed(account, user.getPublicKey(), { type: "user", version: 2, ...unlimited });
  return {
    config: [
      `operator: ${operatorToken}`,
      `system_account: ${systemKey}`,
      "resolver: MEMORY",
      `resolver_preload: { ${accountKey}: ${accountToken}, ${systemKey}: ${systemToken} }`,
    ],
    credentials: [
      "-----BEGIN NATS USER JWT-----",
      userToken,
      "------END NATS USER JWT------",
      "",
      "-----BEGIN USER NKEY SEED-----",
      new TextDecoder().decode(user.getSeed()),
      "------END USER NKEY SEED------",
      "",
    ].join("\n"),
  };
}

type KeyPair = ReturnType<typeof nkeys.createUser>;

function signed(by: KeyPair, subject: string, nats: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = { jti: subject, iat: 1, iss: by.getPublicKey(), name: "test", sub: subject, nats };
  const text = `${part({ typ: "JWT", alg: "ed25519-nkey" })}.${part(claims)}`;
  return `${text}.${Buffer.from(by.sign(new TextEncoder().encode(text))).toString("base64url")}`;
}
