/**
 * A server writes under one name after the other: it goes on as its next self whenever something that it sent may still
 * arrive later than what it sends from then on.
 */
export interface Writer {
  readonly server: string;
  /** 0: its first self. */
  readonly life: number;
}

export function writerName({ server, life }: Writer): string {
  return `${server}.${life}`;
}

export function isSameServer(one: string, other: string): boolean {
  return one === other || parseWriter(one).server === parseWriter(other).server;
}

/** Whoever has another name than `writerName` gives is in its first life for ever. */
export function parseWriter(name: string): Writer {
  const dot = name.lastIndexOf(".");
  const life = dot < 0 ? Number.NaN : Number(name.slice(dot + 1));
  return Number.isSafeInteger(life) ? { server: name.slice(0, dot), life } : { server: name, life: 0 };
}
