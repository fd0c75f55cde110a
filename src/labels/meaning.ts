/**
 * What a version's answers stand for, as far as a label must be compared with them.
 *
 * Classes may be told by name or by number, by the model as well as by whoever labels: both become the name, where there is one.
 *
 * Must not know metrics.
 */
export interface Meaning {
  readonly task: 'binary' | 'classes' | 'numbers';
  /** Names of classes by number; empty when nobody gave any. */
  readonly names: readonly string[];
  /** Of two classes, the number of the one that the score is for. */
  readonly positive: 0 | 1;
  readonly threshold: number;
}

const wholeNumber = /^(0|[1-9][0-9]{0,5})$/;

/** The one text that a class goes by. */
export function classOf({ names }: Meaning, text: string): string {
  if (names.includes(text) || !wholeNumber.test(text)) return text;
  return names[Number(text)] ?? text;
}

/** Whether the label is the class that the score is for; undefined when it is none of the two. */
export function isPositive({ names, positive }: Meaning, label: string): boolean | undefined {
  const spoken = label === 'true' ? '1' : label === 'false' ? '0' : label;
  const number = names.length === 2 && names.includes(spoken) ? names.indexOf(spoken) : Number(spoken);
  if (spoken === '' || (number !== 0 && number !== 1)) return undefined;
  return number === positive;
}

/** Why a label makes no sense for what was predicted. */
export function complaintOf(meaning: Meaning, label: string): string | undefined {
  if (meaning.task === 'numbers') {
    return label !== '' && Number.isFinite(Number(label)) ? undefined : 'label: expected a number';
  }
  if (meaning.task === 'classes' || isPositive(meaning, label) !== undefined) return undefined;
  const { names } = meaning;
  return `label: expected 0 or 1${names.length === 2 ? `, ${names[0]} or ${names[1]}` : ''}`;
}
