/**
 * `labels:` – what callers say was true, how long it can come late or early, and when a version counts as worse.
 *
 * Must not know how labels are kept.
 */
import { z } from 'zod';
import { bytes, choice, GiB, integer, MiB, share, toggle } from './option.js';

export const labels = z.object({
  enabled: toggle(
    true,
    'Take labels at /v2/models/<model>/feedback; only where prediction_log.enabled is true, for rows that are logged.',
  ),
  role: choice(
    'none',
    ['none', 'feedback', 'viewer', 'operator', 'admin'],
    'Role of the token, one of the admin port, that whoever brings labels has to present.',
  ),
  days: integer(30, 1, 366, 'A label finds its prediction, and counts, for so many days.'),
  early_ms: integer(3_600_000, 0, 86_400_000, 'A label that comes before its prediction waits this long.'),
  max_early: integer(100_000, 0, 1_000_000, 'Labels that wait for their prediction; beyond that callers get 429.'),
  max_per_second: integer(5000, 1, 1_000_000, 'Labels a second of all callers; beyond that they get 429.'),
  file_bytes: bytes(GiB, MiB, 3 * GiB, 'A file of predictions that labels may find is ended at this size.'),
  window: integer(500, 20, 100_000, 'Labels of one window, which is judged when it is full.'),
  min_labels: integer(200, 20, 100_000, 'With fewer labels nothing is concluded.'),
  margin: share(0.02, 'How much worse than its reference a version may be.'),
});
