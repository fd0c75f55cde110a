/**
 * `drift:` – when live inputs and outputs differ from the profile of their version, and by how much that counts.
 *
 * Must not know how any of it is measured.
 */
import { z } from 'zod';
import { integer, share, structure, toggle } from './option.js';

function distance(fallback: number, description: string) {
  const expected = 'a number from 0 to 100';
  return structure(z.number().min(0).max(100), fallback, { description, expected });
}

export const drift = z.object({
  enabled: toggle(
    true,
    'Compare live inputs and outputs with the profile of their version; only where prediction_log.enabled is true.',
  ),
  min_rows: integer(500, 200, 1_000_000, 'Rows that a window and the profile must have to be compared.'),
  warn: distance(0.1, 'From this distance (PSI less what chance makes of it) a feature is a warning.'),
  alert: distance(0.25, 'From this distance a feature is an alert.'),
  alpha: share(0.05, 'Greatest adjusted p-value that counts as evidence.'),
  share: share(0.3, 'Weight of drifted features, of all, from which on the model has drifted.'),
  warm_up_rows: integer(
    5000,
    0,
    10_000,
    'A version without a profile gets a provisional one of its first rows, 1000 at least; 0 = it gets none.',
  ),
  minute_ms: integer(60_000, 100, 60_000, 'Length of the pieces that windows are made of.'),
  window_age_ms: integer(86_400_000, 60_000, 86_400_000, 'A window of this age is judged however few rows it has.'),
});
