/**
 * What a test returns: the same three numbers whichever test it was, and more beside them where it has more to say.
 *
 * Must not know any test.
 */

export interface TestResult {
  /** Null when it is not defined. */
  readonly statistic: number | null;
  /** Degrees of freedom; null for tests that have none. */
  readonly df: number | null;
  readonly p: number | null;
  /** Only where a side is empty; then every number is null. */
  readonly insufficientData?: true;
}

/** A side is empty. */
export const insufficient = { statistic: null, df: null, p: null, insufficientData: true } as const;
