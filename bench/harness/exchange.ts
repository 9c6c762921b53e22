import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { BenchError } from "./bench-error.ts";

/** Says one thing to a server and returns its first answer; waits until the server accepts connections. */
export async function exchange(port: number, text: string, complete: (answer: string) => boolean): Promise<string> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const answer = await new Promise<string | undefined>((resolve) => {
      let received = "";
      const socket = connect(port, "127.0.0.1", () => socket.write(text));
      socket.setTimeout(5000, () => socket.destroy());
      socket.on("data", (chunk) => {
        received += chunk.toString();
        if (complete(received)) {
          resolve(received);
          socket.destroy();
        }
      });
      socket.on("error", () => resolve(undefined));
      socket.on("close", () => resolve(undefined));
    });
    if (answer !== undefined) return answer;
    await sleep(50);
  }
  throw new BenchError(`nothing answers at port ${port}`);
}
