/**
 * PART OF THE ROOT: who may bring labels. Whoever can send wrong ones can have a good version rolled back, so a server that is
 * not alone with those it trusts asks for a token of the admin port, with a role of its choice. One of the role `feedback` can do
 * nothing else, and may be kept to some models.
 *
 * Must not know labels.
 */
import { isAtLeast, Keyring } from '../admin/auth.js';
import type { Config } from '../config/schema.js';
import { GatewayError, invalid } from '../core/errors.js';

export type LabellerRefused = 'feedback_unauthenticated' | 'feedback_forbidden';

interface LabellersOptions {
  readonly config: Pick<Config, 'admin' | 'labels'>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly onRefused: (kind: LabellerRefused) => void;
}

export class Labellers {
  readonly #role: Config['labels']['role'];
  readonly #keyring: Keyring;
  readonly #onRefused: LabellersOptions['onRefused'];

  /** @throws INVALID_ARGUMENT when a role is asked for that nobody can have */
  constructor({ config, environment, onRefused }: LabellersOptions) {
    this.#role = config.labels.role;
    this.#keyring = new Keyring(config.admin, environment);
    this.#onRefused = onRefused;
    if (this.#role !== 'none' && this.#keyring.isOpen)
      throw invalid(`labels.role: expected none as long as admin.token and admin.tokens are empty, got ${this.#role}`);
  }

  /** @param authorization the header, or the metadata, as it came @throws UNAUTHENTICATED, PERMISSION_DENIED */
  check(authorization: string, model: string): void {
    if (this.#role === 'none') return;
    const found = this.#keyring.find(authorization);
    if (found === undefined) {
      this.#onRefused('feedback_unauthenticated');
      throw new GatewayError('UNAUTHENTICATED', 'feedback: expected "Authorization: Bearer <token>"');
    }
    if (!isAtLeast(found.role, this.#role)) {
      throw this.#forbidden(`this needs the role ${this.#role}, and the token has the role ${found.role}`);
    }
    if (found.models?.includes(model) === false)
      throw this.#forbidden(`the token brings no labels of model '${model}'`);
  }

  #forbidden(reason: string): GatewayError {
    this.#onRefused('feedback_forbidden');
    return new GatewayError('PERMISSION_DENIED', `feedback: ${reason}`);
  }
}
