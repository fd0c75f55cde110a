/**
 * Labels as rows of a table: what reads the files of labels tells it to what makes tables of them, and neither knows the other.
 *
 * Must not know files or SQL.
 */

/** When a label became true for its sender, and when it came; milliseconds since the epoch. */
export interface LabelTimes {
  readonly labelMs: number;
  readonly receivedMs: number;
}

export interface LabelRow extends LabelTimes {
  /** The one that answered. */
  readonly model: string;
  readonly requestId: string;
  readonly item: number;
  readonly key: string;
  readonly label: string;
  readonly source: string;
  readonly weight: number;
  /** Grows within a file. */
  readonly seq: number;
  /** Older than what was known when it came: it changes nothing. */
  readonly isHistory: boolean;
  /** Whose place it takes. */
  readonly replaces: LabelTimes | undefined;
}

/** Labels of a stretch of a file. */
export interface LabelStretch {
  readonly rows: readonly LabelRow[];
  /** Where the last whole one ends. */
  readonly end: number;
  /** Nothing will be added to the stretch: the file goes on behind it. */
  readonly isFull: boolean;
}

/** What a module exports whose URL says where labels are read. */
export interface LabelModule {
  /** The labels of `[from, from + bytesMax)`. */
  labelStretch(path: string, from: number, bytesMax: number): LabelStretch;
}
