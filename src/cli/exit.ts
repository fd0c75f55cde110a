/**
 * How a command ends badly: one line or several on stderr, and the exit code.
 *
 * Must not know commands.
 */
import { GatewayError } from '../core/errors.js';

/** 1 = it failed while running, 2 = it was asked for in a wrong way or its configuration is wrong. */
export class Exit extends Error {
  readonly exitCode: 1 | 2;

  constructor(exitCode: 1 | 2, message: string) {
    super(message);
    this.exitCode = exitCode;
  }

  /** Anything thrown; what is wrong with the configuration or the models is the caller's to put right. */
  static from(thrown: unknown): Exit {
    if (thrown instanceof Exit) return thrown;
    const isUsage = thrown instanceof GatewayError && thrown.code === 'INVALID_ARGUMENT';
    return new Exit(isUsage ? 2 : 1, thrown instanceof Error ? thrown.message : String(thrown));
  }
}
