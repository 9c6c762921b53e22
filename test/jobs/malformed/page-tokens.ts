import { jobPageToken, transcriptPageToken, workerPageToken } from "../../../src/runtime/page-tokens.ts";

/** Tokens of each list. */
export const tokensOfLists: readonly string[] = [
  workerPageToken("w"),
  jobPageToken(36),
  transcriptPageToken("w", 1, false),
];

/** Tokens of none. */
export const wrongTokens: readonly string[] = [
  "!",
  "\u0000",
  "%",
  "1",
  "o1",
  "n1",
  "AAAA",
  "A".repeat(5_000),
  `w${"A".repeat(5_000)}`,
  `j${"1".repeat(5_000)}`,
  "w====",
  "w",
  "j",
  "t",
  transcriptPageToken("another", 1, false),
];
