/**
 * One probe child and what holds it: a limit on its memory, a time for each answer, the lowest standing on the machine.
 *
 *   ask(message) ─▶ answer        exit, silence or too much memory ─▶ refused with the reason, and the child is gone
 *
 * Memory is limited twice. Where `prlimit` is installed the child starts under a data limit, and an allocation beyond it
 * fails inside the runtime, which says so. Everywhere else, and for memory that is mapped, its peak is watched from here.
 *
 * Must not know what is tried, or what the answers mean.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { constants, setPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { GatewayError } from '../core/errors.js';
import { AdmissionRefusal } from './admission-refusal.js';

const watchMs = 50;
/** The trace that V8 writes after its reason takes 5 KB. */
const lastWordsMax = 65_536;
const prlimitPath = '/usr/bin/prlimit';

export interface ProbeChildOptions {
  readonly entry: URL;
  readonly memoryBytesMax: number;
  /** False = only watch the memory, as if prlimit were not installed. */
  readonly usesPrlimit: boolean;
}

export class ProbeChild {
  readonly memoryBytesMax: number;
  readonly #child: ChildProcess;
  readonly #home: string;
  #isEnded = false;
  #peakSeen = 0;
  /** The end of what it wrote to stderr: its last words when it crashes. */
  #lastWords = '';
  #breakOff: ((error: Error) => void) | undefined;

  constructor({ entry, memoryBytesMax, usesPrlimit }: ProbeChildOptions) {
    this.memoryBytesMax = memoryBytesMax;
    this.#home = mkdtempSync(join(tmpdir(), 'sluice-probe-'));
    this.#child = fork(entry, {
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      // Nothing of ours goes in: no credentials, no options of Node, no home.
      env: { PATH: process.env.PATH, HOME: this.#home, ORT_DISABLE_TELEMETRY: '1' },
      execArgv: [],
      ...(usesPrlimit && mayLimit(memoryBytesMax) ? launchedBy(prlimitPath, memoryBytesMax) : {}),
    });
    this.#child.on('error', () => {});
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      this.#lastWords = (this.#lastWords + chunk.toString('latin1')).slice(-lastWordsMax);
    });
    this.#child.on('exit', () => rmSync(this.#home, { recursive: true, force: true }));
    lower(this.#child.pid);
  }

  get isAlive(): boolean {
    // A child that was just killed is still connected.
    return !this.#isEnded && this.#child.connected;
  }

  /** Highest resident memory since its present trial began; undefined where the system does not say. */
  get peakBytes(): number | undefined {
    try {
      const status = readFileSync(`/proc/${this.#child.pid}/status`, 'latin1');
      const kilobytes = /^VmHWM:\s+(\d+) kB/m.exec(status)?.[1];
      return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
    } catch {
      return undefined;
    }
  }

  /**
   * One question at a time.
   * @throws AdmissionRefusal `crashed`, `timeout` or `memory`; UNAVAILABLE when there is no child to ask
   */
  ask(message: object, timeoutMs: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const child = this.#child;
      const settle = () => {
        clearTimeout(deadline);
        clearInterval(watch);
        child.off('message', onMessage).off('close', onClose).off('error', onError);
        this.#breakOff = undefined;
      };
      const refuse = (error: Error) => {
        settle();
        this.end();
        reject(error);
      };
      const isTooLarge = () => {
        this.#peakSeen = this.peakBytes ?? this.#peakSeen;
        const isBeyond = this.#peakSeen > this.memoryBytesMax;
        if (isBeyond) refuse(tooLarge(this.#peakSeen, this.memoryBytesMax));
        return isBeyond;
      };
      const onMessage = (answer: unknown) => {
        // The peak may have come and gone between two looks.
        if (isTooLarge()) return;
        settle();
        resolve(answer);
      };
      const onClose = (code: number | null, signal: string | null) => refuse(this.#crash(code, signal));
      const onError = (error: NodeJS.ErrnoException) =>
        refuse(new GatewayError('UNAVAILABLE', `the probe cannot be reached: ${error.code}`, { cause: error }));
      const deadline = setTimeout(
        () => refuse(new AdmissionRefusal('timeout', `did not finish its trial within ${timeoutMs} ms`)),
        timeoutMs,
      );
      const watch = setInterval(isTooLarge, watchMs);
      this.#breakOff = refuse;
      this.#lastWords = '';
      // Not `exit`, which may come before its last words.
      child.on('message', onMessage).on('close', onClose).on('error', onError);
      child.send(message, () => {});
    });
  }

  /** Where an allocation may not fail the process aborts itself: that is a matter of memory and no fault of the model. */
  #crash(code: number | null, signal: string | null): AdmissionRefusal {
    const how = signal ?? exitText(code);
    const isAbort = signal === 'SIGABRT' || signal === 'SIGTRAP';
    if (!isAbort || !/bad_alloc|out of memory|allocation failed/i.test(this.#lastWords))
      return new AdmissionRefusal('crashed', `crashed while it was tried out (${how})`);
    const [seen, allowed] = [this.#peakSeen, this.memoryBytesMax].map(mebibytes);
    return new AdmissionRefusal(
      'memory',
      `ran out of memory while it was tried out (${how}), last seen with ${seen} of ${allowed} MiB allowed`,
    );
  }

  /** Kills the child, whatever it is doing. */
  end(): void {
    this.#isEnded = true;
    this.#child.kill('SIGKILL');
    rmSync(this.#home, { recursive: true, force: true });
    this.#breakOff?.(new GatewayError('UNAVAILABLE', 'its trial was broken off'));
  }
}

/** Without privileges a limit cannot go above the one that this process was given, which then holds for the child too. */
function mayLimit(bytes: number): boolean {
  if (!existsSync(prlimitPath)) return false;
  const hard = /^Max data size\s+\S+\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1];
  return hard === 'unlimited' || Number(hard) >= bytes;
}

/** A core of several gigabytes would help nobody. */
function launchedBy(launcher: string, memoryBytesMax: number): { execPath: string; execArgv: string[] } {
  return { execPath: launcher, execArgv: [`--data=${memoryBytesMax}`, '--core=0', '--', process.execPath] };
}

/** Before it has started any thread: each inherits what its parent has. */
function lower(pid: number | undefined): void {
  try {
    if (pid !== undefined) setPriority(pid, constants.priority.PRIORITY_BELOW_NORMAL);
  } catch {
    // It is gone already, which whoever asks it will hear.
  }
}

/** A signal that a launcher or the runtime turned into an exit code is named all the same. */
function exitText(code: number | null): string {
  const name = Object.entries(constants.signals).find(([, number]) => code === 128 + number)?.[0];
  return name === undefined ? `exit code ${code}` : `exit code ${code}, ${name}`;
}

function tooLarge(bytes: number, bytesMax: number): AdmissionRefusal {
  const [held, allowed] = [bytes, bytesMax].map(mebibytes);
  return new AdmissionRefusal(
    'memory',
    `took ${held} MiB of memory while it was tried out, ${allowed} MiB are allowed`,
  );
}

function mebibytes(bytes: number): number {
  return Math.ceil(bytes / 2 ** 20);
}
