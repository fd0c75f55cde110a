/**
 * Lines over time, by uPlot: drawn again when there are new points, when the window changes and when light turns to dark.
 *
 * Must not know what the numbers mean.
 */
import { element } from './elements.js';
import { clockText } from './text.js';

const heightPx = 170;

export class Chart {
  #place;
  #title;
  #lines;
  #textOf;
  #max;
  #plot;
  #data;

  /**
   * @param {Element} parent
   * @param {{ title: string, lines: { name: string, colour: string, isArea?: boolean }[], textOf: (value: number) => string, max?: number }} what
   *   colours are names of custom properties; max = the least that the axis reaches to
   */
  constructor(parent, { title, lines, textOf, max = 0 }) {
    this.#place = element('div', { class: 'plot' });
    this.#title = title;
    this.#lines = lines;
    this.#textOf = textOf;
    this.#max = max;
    this.#data = [[], ...lines.map(() => [])];
    parent.append(element('figure', { class: 'card' }, element('figcaption', {}, title), this.#place));
    new ResizeObserver(() => this.#plot?.setSize({ width: this.#width(), height: heightPx })).observe(this.#place);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#draw());
  }

  /** @param {(number | undefined)[][]} data times in seconds, then the values of each line */
  show(data) {
    this.#data = data.map((column) => column.map((value) => value ?? null));
    if (this.#plot === undefined) this.#draw();
    else this.#plot.setData(this.#data);
    this.#tellLast();
    const last = this.#lines.map(({ name }, line) => `${name} ${this.#textOf(data[line + 1].at(-1))}`);
    this.#place.setAttribute('role', 'img');
    this.#place.setAttribute('aria-label', `${this.#title}: ${last.join(', ')}`);
  }

  /** The legend tells the newest values as long as nobody points at others. */
  #tellLast() {
    const { cursor } = this.#plot ?? {};
    if (cursor !== undefined && !(cursor.left >= 0)) this.#plot.setLegend({ idx: this.#data[0].length - 1 });
  }

  #width() {
    return Math.max(200, Math.floor(this.#place.clientWidth));
  }

  #draw() {
    if (this.#data[0].length === 0) return;
    this.#plot?.destroy();
    const colours = getComputedStyle(document.documentElement);
    const colour = (name) => colours.getPropertyValue(`--${name}`).trim();
    const axis = { stroke: colour('quiet'), grid: { stroke: colour('line'), width: 1 }, ticks: { show: false } };
    const options = {
      width: this.#width(),
      height: heightPx,
      cursor: { y: false, points: { size: 6 } },
      scales: { y: { range: (_, __, high) => [0, Math.max(this.#max, (high ?? 0) * 1.1) || 1] } },
      axes: [
        { ...axis, space: 90, size: 30, values: (_, times) => times.map((time) => clockText(time * 1000)) },
        { ...axis, size: 64, values: (_, values) => values.map((value) => this.#textOf(value)) },
      ],
      series: [
        { label: 'Time', value: (_, time) => (time === null ? '' : clockText(time * 1000)) },
        ...this.#lines.map(({ name, colour: line, isArea }) => ({
          label: name,
          stroke: colour(line),
          width: 2,
          fill: isArea ? `${colour(line)}22` : undefined,
          points: { show: false },
          value: (_, value) => this.#textOf(value ?? undefined),
        })),
      ],
    };
    this.#plot = new globalThis.uPlot(options, this.#data, this.#place);
    this.#tellLast();
  }
}
