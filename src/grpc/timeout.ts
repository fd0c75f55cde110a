/**
 * The header `grpc-timeout`: up to eight digits and a unit.
 *
 * Must not know clocks or calls.
 */
const timeoutText = /(\d{1,8})\s*([HMSmun])/;
const msOf: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

/** Whole milliseconds, as grpc-js reads them; undefined = not a timeout. */
export function timeoutMsOf(text: string): number | undefined {
  const match = timeoutText.exec(text);
  return match === null ? undefined : Math.floor(Number(match[1]) * msOf[match[2]!]!);
}
