/**
 * Has candidate versions tried in a child process, so that a model that crashes or hangs is refused and nobody notices.
 *
 *   admit(candidate) ─▶ probe child ─▶ verdict        exit, signal or silence ─▶ refused with the reason
 *
 * One child tries one candidate at a time and is kept for the next while there is one; after a quiet moment it ends, and its
 * memory with it.
 *
 * Must not know ONNX: the probe is reached by its URL, and its messages are its own.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { GatewayError } from '../core/errors.js';

export interface AdmissionOptions {
  readonly entry: URL;
  readonly timeoutMs: number;
  /** The child ends after so long without a candidate. */
  readonly idleMs: number;
}

export class Admission<Candidate, Verdict> {
  readonly #options: AdmissionOptions;
  #child: ChildProcess | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #idleTimer: NodeJS.Timeout | undefined;

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /**
   * Tries one candidate, after those asked for earlier.
   * @throws FAILED_PRECONDITION when the trial crashed the child or took too long
   */
  admit(candidate: Candidate): Promise<Verdict> {
    const result = this.#last.then(() => this.#try(candidate));
    this.#last = result.catch(() => {});
    return result;
  }

  close(): void {
    clearTimeout(this.#idleTimer);
    this.#child?.kill('SIGKILL');
    this.#child = undefined;
  }

  #try(candidate: Candidate): Promise<Verdict> {
    clearTimeout(this.#idleTimer);
    const child = this.#started();
    return new Promise((resolve, reject) => {
      const refuse = (reason: string) => {
        finish();
        this.#child = undefined;
        child.kill('SIGKILL');
        reject(new GatewayError('FAILED_PRECONDITION', reason));
      };
      const onMessage = (verdict: unknown) => {
        finish();
        this.#idleTimer = setTimeout(() => this.close(), this.#options.idleMs);
        resolve(verdict as Verdict);
      };
      const onExit = (code: number | null, signal: string | null) =>
        refuse(`crashed while it was tried out (${signal ?? `exit code ${code}`})`);
      const timer = setTimeout(
        () => refuse(`did not finish its trial within ${this.#options.timeoutMs} ms`),
        this.#options.timeoutMs,
      );
      const finish = () => {
        clearTimeout(timer);
        child.off('message', onMessage);
        child.off('exit', onExit);
      };
      child.on('message', onMessage);
      child.on('exit', onExit);
      child.send(candidate as object, () => {});
    });
  }

  #started(): ChildProcess {
    if (this.#child?.connected) return this.#child;
    const child = fork(this.#options.entry, {
      serialization: 'advanced',
      execArgv: [],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    child.on('error', () => {});
    this.#child = child;
    return child;
  }
}
