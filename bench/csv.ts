/**
 * CSV as RFC 4180 has it: cells between commas, quoted where they hold commas, quotes or line ends.
 *
 * Must not know what the cells mean.
 */
import { Exit } from '../src/cli/exit.js';

export interface CsvRecord {
  readonly cells: readonly string[];
  /** Where it begins in the file, from 1. */
  readonly line: number;
}

/**
 * Empty lines are no records.
 * @throws Exit 2
 */
export function parseCsv(text: string): CsvRecord[] {
  const records: CsvRecord[] = [];
  const cell = /(?:"((?:[^"]|"")*)"|((?:[^",\r\n][^,\r\n]*)?))(,|\r?\n|$)/y;
  let cells: string[] = [];
  let line = 1;
  let began = 1;
  while (cell.lastIndex < text.length) {
    const match = cell.exec(text);
    if (match === null) throw new Exit(2, `line ${line}: expected quotes around a whole cell`);
    const [whole, quoted, plain = '', end] = match;
    cells.push(quoted === undefined ? plain.trim() : quoted.replaceAll('""', '"'));
    line += whole.split('\n').length - 1;
    if (end === ',') {
      if (cell.lastIndex < text.length) continue;
      cells.push('');
    }
    if (cells.length > 1 || cells[0] !== '') records.push({ cells, line: began });
    cells = [];
    began = line;
  }
  return records;
}
