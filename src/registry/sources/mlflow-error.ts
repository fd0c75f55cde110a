/**
 * An answer of MLflow that was meant as a refusal, as an error of ours.
 *
 * Its body is read by its content type, for a proxy or a missing route answers HTML. Its text stays here: it may name paths
 * of the server. What leaves is the call, the status and MLflow's own error code.
 *
 * Must not know which call means what.
 */
import { GatewayError } from '../../core/errors.js';
import type { LastAnswer } from '../net/client.js';
import { answers } from './mlflow-answers.js';

export class MlflowError extends GatewayError {
  readonly status: number;
  /** MLflow's own, such as RESOURCE_DOES_NOT_EXIST; empty when the answer was none of MLflow's. */
  readonly errorCode: string;

  constructor(code: GatewayError['code'], message: string, answer: { status: number; errorCode: string }) {
    super(code, message);
    this.status = answer.status;
    this.errorCode = answer.errorCode;
  }
}

export function isRefused(error: unknown, errorCode: string): boolean {
  return error instanceof MlflowError && error.errorCode === errorCode;
}

/** @param what was asked for, and of whom */
export function mlflowErrorOf(what: string, { status, contentType, text }: LastAnswer): MlflowError {
  const isJson = contentType.startsWith('application/json');
  const errorCode = isJson ? errorCodeOf(text) : '';
  const refusal = (code: GatewayError['code'], hint = '') => {
    const message = `${what} answered ${status}${errorCode && ` ${errorCode}`}${hint}`;
    return new MlflowError(code, message, { status, errorCode });
  };
  if (status === 401) return refusal('UNAUTHENTICATED', ': check the credentials under auth');
  if (status === 403) return refusal('PERMISSION_DENIED', ': the credentials do not suffice');
  if (errorCode === 'RESOURCE_DOES_NOT_EXIST') return refusal('NOT_FOUND');
  if (status === 404) return refusal('UNAVAILABLE', ': nothing of MLflow answers there, check the url');
  if (status === 503 && !isJson && text.includes('--no-serve-artifacts')) {
    return refusal('FAILED_PRECONDITION', ': the server runs with --no-serve-artifacts and gives no artifacts out');
  }
  return refusal(status >= 400 && status < 500 ? 'FAILED_PRECONDITION' : 'UNAVAILABLE');
}

/** How the server answered every try of a request that was given up; undefined when it did not answer. */
export function lastAnswerOf(error: unknown): LastAnswer | undefined {
  if (!(error instanceof GatewayError) || typeof error.cause !== 'object' || error.cause === null) return undefined;
  return 'status' in error.cause && 'contentType' in error.cause ? (error.cause as LastAnswer) : undefined;
}

/** @returns empty when there is none that could be shown */
function errorCodeOf(text: string): string {
  try {
    const { error_code: code } = answers.error.parse(JSON.parse(text));
    return /^[A-Z_]{1,64}$/.test(code) ? code : '';
  } catch {
    return '';
  }
}
