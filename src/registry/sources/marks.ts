/**
 * Tells cheaply that a folder is as it was: every place that its last listing read is asked for its mark (one `stat`), and only
 * when one differs is the folder listed again. A thousand models cost a tenth of a listing so.
 *
 * A clock of a file system has ticks: what changed just before it was read may change again and show the same time. Such a
 * listing is not rested on (git knows these as racily clean entries), nor is any for ever: a chain of links may end elsewhere
 * without a sign, and some network file systems keep no order of times.
 *
 * Must not know models.
 */
import { statSync } from 'node:fs';

/** Places asked in one turn of the loop: some 0.2 ms. */
const placesAtOnce = 64;
/** The coarsest tick in use is that of FAT, 2 s. */
const racyMs = 2000;
/** So many listings in a row may rest on marks. */
const restsMax = 20;

export class Marks {
  #marks: ReadonlyMap<string, string> = new Map();
  #rests = 0;

  /** @returns whether everything that was remembered is as it was; false when nothing is remembered */
  async areSame(): Promise<boolean> {
    if (this.#marks.size === 0 || this.#rests >= restsMax) return false;
    let asked = 0;
    for (const [place, mark] of this.#marks) {
      if (markOf(place).text !== mark) return false;
      if (++asked % placesAtOnce === 0) await new Promise(setImmediate);
    }
    this.#rests++;
    return true;
  }

  /**
   * @param places what was read, by the path it was reached by, so that a link which leads elsewhere is noticed
   * @param readAt milliseconds since 1970, before the first of them was read
   */
  async remember(places: Iterable<string>, readAt: number): Promise<void> {
    this.forget();
    const marks = new Map<string, string>();
    for (const place of places) {
      const { text, changedAt } = markOf(place);
      if (changedAt > readAt - racyMs) return;
      marks.set(place, text);
      if (marks.size % placesAtOnce === 0) await new Promise(setImmediate);
    }
    this.#marks = marks;
  }

  forget(): void {
    this.#marks = new Map();
    this.#rests = 0;
  }
}

/** The time of the last change of anything about it, its size and its number. */
function markOf(place: string): { readonly text: string; readonly changedAt: number } {
  try {
    const { ino, size, ctimeMs } = statSync(place);
    return { text: `${ino} ${size} ${ctimeMs}`, changedAt: ctimeMs };
  } catch (error) {
    return { text: `${(error as NodeJS.ErrnoException).code}`, changedAt: 0 };
  }
}
