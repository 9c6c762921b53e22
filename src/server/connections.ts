import type { ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";

/** The connections of a server, so that it can close them in order: the idle at once, the others after their last answer. */
export class Connections {
  /** Everything that was accepted. */
  readonly #sockets = new Set<Socket>();
  /** Those that speak HTTP/1.1, or have not said yet, with the answers under way. There may be several: requests can be sent ahead. */
  readonly #answers = new Map<Socket, number>();
  readonly #sessions = new Set<ServerHttp2Session>();
  #closing = false;

  /** Notes a connection that was accepted. */
  accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
  }

  /** Notes a connection that ends when it has nothing to answer. */
  addHttp1(socket: Socket): void {
    this.#answers.set(socket, 0);
    socket.once("close", () => this.#answers.delete(socket));
    if (this.#closing) socket.destroySoon();
  }

  /** Notes that a connection speaks HTTP/2 after all: its session ends it. */
  removeHttp1(socket: Socket): void {
    this.#answers.delete(socket);
  }

  addSession(session: ServerHttp2Session): void {
    this.#sessions.add(session);
    session.once("close", () => this.#sessions.delete(session));
    if (this.#closing) session.close();
  }

  /** Notes that an answer over HTTP/1.1 is under way, until `end`. */
  begin(socket: Socket): void {
    const answers = this.#answers.get(socket);
    if (answers !== undefined) this.#answers.set(socket, answers + 1);
  }

  end(socket: Socket): void {
    const answers = this.#answers.get(socket);
    if (answers === undefined) return;
    this.#answers.set(socket, answers - 1);
    if (this.#closing && answers === 1) socket.destroySoon();
  }

  /** Closes what is idle now, and the rest as it becomes idle. HTTP/2 is told to open no more streams. */
  close(): void {
    this.#closing = true;
    for (const session of this.#sessions) session.close();
    for (const [socket, answers] of this.#answers) if (answers === 0) socket.destroySoon();
  }

  /** Ends everything that is still open. */
  destroy(): void {
    for (const session of this.#sessions) session.destroy();
    for (const socket of this.#sockets) socket.destroy();
  }
}
