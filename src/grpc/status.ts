/**
 * Errors as gRPC says them: a status number for each code, and a text that fits a status.
 *
 * Must not know what went wrong.
 */
import type { Code, GatewayError } from '../core/errors.js';

/** The gRPC status of each code. */
export const statusOf = {
  CANCELLED: 1,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} satisfies Record<Code, number>;

/** Chosen: a status travels in a header block, and peers limit those to about 8 KiB. */
const detailsMax = 1500;

/** The text of an error as a status may carry it. */
export function detailsOf(error: GatewayError): string {
  const { message } = error;
  const text = message.length > detailsMax ? `${message.slice(0, detailsMax)}…` : message;
  return text.toWellFormed();
}
