/**
 * Arguments of every process of Node, ours and those of peers. Node gives V8 four threads, however many cores it may use; with 0
 * it counts them, as Go does for NATS. Four collectors and compilers on one core stand in each other's way.
 */
export const nodeArguments = ["--v8-pool-size=0"] as const;
