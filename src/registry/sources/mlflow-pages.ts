/**
 * Everything that a search in pages gives, each thing once.
 *
 * A page token of MLflow is an offset, so pages shift when something is added or deleted meanwhile: what comes twice counts
 * once, and what was missed is there at the next poll. A token that is refused restarts the search, once.
 *
 * Must not know what is searched.
 */
import { GatewayError } from '../../core/errors.js';
import { isRefused } from './mlflow-error.js';

export interface Page<T> {
  readonly items: readonly T[];
  readonly next: string | undefined;
}

const pagesMax = 500;

/** @throws FAILED_PRECONDITION when the pages do not end */
export async function pagesOf<T>(
  page: (token: string | undefined) => Promise<Page<T>>,
  keyOf: (item: T) => string,
): Promise<Map<string, T>> {
  const found = new Map<string, T>();
  let token: string | undefined;
  let hasRestarted = false;
  for (let pages = 0; pages < pagesMax; pages++) {
    try {
      const { items, next } = await page(token);
      for (const item of items) found.set(keyOf(item), item);
      if (next === undefined || next === '') return found;
      token = next;
    } catch (error) {
      if (token === undefined || hasRestarted || !isRefused(error, 'INVALID_PARAMETER_VALUE')) throw error;
      hasRestarted = true;
      token = undefined;
      found.clear();
    }
  }
  throw new GatewayError('FAILED_PRECONDITION', `a search has more than ${pagesMax} pages`);
}
