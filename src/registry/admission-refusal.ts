/**
 * A version that is not admitted, with a code beside the sentence: whoever decides what follows (never again, later, with
 * another budget) goes by the code.
 *
 * Must not know what follows from a code.
 */
import type { AdmissionCode } from '../core/admission.js';
import { GatewayError } from '../core/errors.js';

export class AdmissionRefusal extends GatewayError {
  readonly kind: AdmissionCode;

  constructor(kind: AdmissionCode, message: string, options: { readonly cause?: unknown } = {}) {
    super('FAILED_PRECONDITION', message, options);
    this.kind = kind;
  }
}
