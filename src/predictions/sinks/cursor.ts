/**
 * How far a sink has come, by model, in a file of its own: the next line of the manifest, and within the file that it names
 * the last row that was dealt with. Rows are found again by what they are and not by their number, because a file may be
 * written anew with fewer of them.
 *
 * A cursor that cannot be read, or is not one, is no cursor, which is told: everything is sent again rather than something
 * left out.
 *
 * Must not know what is sent.
 */
import { readFileSync } from 'node:fs';
import { mkdir, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { RowPlace } from '../jobs.js';

export interface Position {
  /** Bytes of the model's manifest that are done with. */
  readonly offset: number;
  /** Rows of the next file that are done with. */
  readonly rows: number;
  readonly after?: RowPlace;
}

const start: Position = { offset: 0, rows: 0 };

export class Cursor {
  readonly #path: string;
  readonly #positions: Map<string, Position>;

  /** @param onDamaged told why what is there counts as nothing */
  constructor(path: string, onDamaged: (error: Error) => void) {
    this.#path = path;
    this.#positions = read(path, onDamaged);
  }

  of(model: string): Position {
    return this.#positions.get(model) ?? start;
  }

  /** Resolves when it is on the disk, as a whole. */
  async put(model: string, position: Position): Promise<void> {
    this.#positions.set(model, position);
    await mkdir(dirname(this.#path), { recursive: true });
    const file = await open(`${this.#path}.new`, 'w', 0o640);
    try {
      await file.writeFile(JSON.stringify(Object.fromEntries(this.#positions)));
      await file.datasync();
    } finally {
      await file.close();
    }
    await rename(`${this.#path}.new`, this.#path);
  }
}

function read(path: string, onDamaged: (error: Error) => void): Map<string, Position> {
  try {
    const entries = Object.entries(JSON.parse(readFileSync(path, 'utf8')) as Record<string, Position>);
    const sound = entries.filter(([, { offset, rows }]) => Number.isSafeInteger(offset) && Number.isSafeInteger(rows));
    if (sound.length < entries.length) onDamaged(new Error(`${entries.length - sound.length} models have no position`));
    return new Map(sound);
  } catch (error) {
    // A sink that is new has none.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') onDamaged(error as Error);
    return new Map();
  }
}
