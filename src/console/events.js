/**
 * The newest entries of the audit log, newest first.
 *
 * Must not know which actions there are.
 */
import { element, empty, showIfChanged, table } from './elements.js';
import { timeText } from './text.js';

/** @param {{ entries: { entry: object }[] }} log */
export function showEvents(place, log) {
  const entries = log.entries.map(({ entry }) => entry).sort((a, b) => b.seq - a.seq);
  showIfChanged(place, entries, () => {
    if (entries.length === 0)
      return empty('Nothing has happened yet', 'Every change and who asked for it stands here.');
    const now = new Date();
    return table(
      'Audit log, newest first',
      ['When', 'What', 'Of', 'Who', 'Details'],
      entries.map((entry) => [
        element('time', { datetime: entry.ts }, timeText(entry.ts, now)),
        entry.action,
        entry.subject,
        entry.actor,
        element('span', { class: 'reason' }, detailText(entry.detail)),
      ]),
      'stack',
    );
  });
}

const left = ['reason', 'version', 'previous', 'label', 'source', 'generation'];

/** What people look for first; hashes are for programs. */
function detailText(detail) {
  return left
    .filter((name) => detail[name] !== undefined && detail[name] !== null && detail[name] !== '')
    .map((name) => (name === 'reason' ? String(detail[name]) : `${name} ${detail[name]}`))
    .join(' · ');
}
