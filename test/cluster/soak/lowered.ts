/**
 * Limits of what is remembered and kept ahead that an hour of load would not meet, or only between two faults: up to them
 * memory grows because it is to. Lower than in the product, so that each is met within the first quarter, and what grows after
 * that is a leak. And forgetting goes on through every fault.
 */
export const lowered = {
  maxJobs: 500,
  natsRememberedKeys: 2_000,
  natsRecentBytes: 2 * 1024 * 1024,
  maxTranscriptEntries: 2_000,
  tailFrameBytes: 256 * 1024,
} as const;
