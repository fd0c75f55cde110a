/** Five-field cron in UTC. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { nextCronMs, parseCron } from '../src/triggers/cron.js';
import { Schedule } from '../src/triggers/schedule.js';
import { HandClock } from './triggers-fixture.js';

function after(cron: string, from: string): string | undefined {
  const nextMs = nextCronMs(parseCron(cron), Date.parse(from));
  return nextMs === undefined ? undefined : new Date(nextMs).toISOString();
}

describe('the next time of a cron', () => {
  const cases: readonly [string, string, string][] = [
    ['* * * * *', '2026-06-01T12:00:00Z', '2026-06-01T12:01:00.000Z'],
    ['* * * * *', '2026-06-01T12:00:59.999Z', '2026-06-01T12:01:00.000Z'],
    ['0 3 * * 1', '2026-06-01T02:59:59Z', '2026-06-01T03:00:00.000Z'],
    ['0 3 * * 1', '2026-06-01T03:00:00Z', '2026-06-08T03:00:00.000Z'],
    ['0 3 * * mon', '2026-05-31T23:59:00Z', '2026-06-01T03:00:00.000Z'],
    ['*/15 9-17 * * mon-fri', '2026-06-05T17:45:00Z', '2026-06-08T09:00:00.000Z'],
    ['5/20 * * * *', '2026-06-01T00:06:00Z', '2026-06-01T00:25:00.000Z'],
    ['0 0 1 jan *', '2026-01-01T00:00:00Z', '2027-01-01T00:00:00.000Z'],
    ['0 0 31 * *', '2026-06-01T00:00:00Z', '2026-07-31T00:00:00.000Z'],
    ['0 0 29 2 *', '2026-06-01T00:00:00Z', '2028-02-29T00:00:00.000Z'],
    ['0 0 29 2 *', '2096-03-01T00:00:00Z', '2104-02-29T00:00:00.000Z'],
    ['30 23 31 12 *', '2026-12-31T23:30:00Z', '2027-12-31T23:30:00.000Z'],
    ['0 12 * * 7', '2026-06-01T00:00:00Z', '2026-06-07T12:00:00.000Z'],
    ['0 12 * * 5-7', '2026-06-06T13:00:00Z', '2026-06-07T12:00:00.000Z'],
    // Both days are given: either is enough.
    ['0 0 13 * fri', '2026-06-01T00:00:00Z', '2026-06-05T00:00:00.000Z'],
    ['0 0 13 * fri', '2026-06-12T00:00:00Z', '2026-06-13T00:00:00.000Z'],
    // A star with a step is a star: both must fit.
    ['0 0 */2 * 1', '2026-06-01T00:00:00Z', '2026-06-15T00:00:00.000Z'],
    ['1,2,50-52 4 * * *', '2026-06-01T04:02:00Z', '2026-06-01T04:50:00.000Z'],
  ];
  for (const [cron, from, next] of cases)
    it(`of '${cron}' after ${from} is ${next}`, () => assert.equal(after(cron, from), next));

  it('is none on 30 February', () => assert.equal(after('0 0 30 2 *', '2026-06-01T00:00:00Z'), undefined));

  it('is what a search minute by minute finds, for any cron', () => {
    let seed = 1;
    const chance = (below: number) => {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed % below;
    };
    for (let round = 0; round < 40; round++) {
      const day = chance(2) === 0 ? '*' : `${1 + chance(28)}`;
      const weekday = chance(2) === 0 ? '*' : `${chance(8)}`;
      const text = `${chance(60)},${chance(60)} ${chance(3) === 0 ? '*' : `${chance(24)}`} ${day} * ${weekday}`;
      const cron = parseCron(text);
      const fromMs = Date.parse('2026-01-01T00:00:00Z') + chance(500_000) * 60_000;
      const found = nextCronMs(cron, fromMs)!;
      let byHandMs = fromMs + 60_000;
      while (!fits(text, new Date(byHandMs))) byHandMs += 60_000;
      assert.equal(found, byHandMs, text);
    }
  });
});

/** The definition itself, for crons of plain numbers, lists and stars. */
function fits(text: string, date: Date): boolean {
  const [minute, hour, day, , weekday] = text.split(' ') as [string, string, string, string, string];
  const has = (field: string, value: number) => field === '*' || field.split(',').includes(String(value));
  const isDay = has(day, date.getUTCDate());
  const isWeekday = has(weekday, date.getUTCDay()) || (weekday === '7' && date.getUTCDay() === 0);
  const isEither = day !== '*' && weekday !== '*' ? isDay || isWeekday : isDay && isWeekday;
  return has(minute, date.getUTCMinutes()) && has(hour, date.getUTCHours()) && isEither;
}

it('a cron that is none is refused with the field and what was expected', () => {
  const refused = (cron: string, message: RegExp) => assert.throws(() => parseCron(cron), message, cron);
  refused('', /expected five fields/);
  refused('* * * *', /expected five fields/);
  refused('* * * * * *', /expected five fields/);
  refused('60 * * * *', /minute: expected numbers from 0 to 59, got '60'/);
  refused('* 24 * * *', /hour/);
  refused('* * 0 * *', /day of the month/);
  refused('* * * 13 *', /month/);
  refused('* * * * 8', /day of the week/);
  refused('*/0 * * * *', /minute/);
  refused('5-1 * * * *', /minute/);
  refused('1-2-3 * * * *', /minute/);
  refused('1, * * * *', /minute/);
  refused('-1 * * * *', /minute/);
  refused('@daily', /five fields/);
  refused(`${'1,'.repeat(200)}1 * * * *`, /five fields/);
});

describe('a schedule', () => {
  const scheduled = (clock: HandClock, times: number[]) => {
    const done: number[] = [];
    const schedule = new Schedule({
      nextMs: () => times[0],
      onTime: async () => {
        done.push(clock.epochNow());
        times.shift();
      },
      onFault: () => {},
      ...clockOf(clock),
    });
    return { schedule, done };
  };

  it('wakes at each time and not before', async () => {
    const clock = new HandClock();
    const start = clock.epochNow();
    const { done, schedule } = scheduled(clock, [start + 90_000, start + 200_000]);
    await clock.pass(89_000);
    assert.deepEqual(done, []);
    await clock.pass(1_000);
    assert.deepEqual(done, [start + 90_000]);
    await clock.pass(600_000);
    assert.deepEqual(done, [start + 90_000, start + 200_000]);
    schedule.stop();
  });

  it('finds within a minute a time that has come nearer meanwhile', async () => {
    const clock = new HandClock();
    const times = [clock.epochNow() + 86_400_000];
    const { done, schedule } = scheduled(clock, times);
    await clock.pass(10_000);
    times[0] = clock.epochNow() + 1000;
    await clock.pass(61_000);
    assert.equal(done.length, 1);
    schedule.stop();
  });

  it('says what could not be done and tries it again', async () => {
    const clock = new HandClock();
    const faults: unknown[] = [];
    let tries = 0;
    const dueMs = clock.epochNow();
    const schedule = new Schedule({
      nextMs: () => (tries < 2 ? dueMs : undefined),
      onTime: async () => {
        tries++;
        if (tries === 1) throw new Error('the disk is full');
      },
      onFault: (error) => faults.push(error),
      ...clockOf(clock),
    });
    await clock.pass(20_000);
    assert.equal(tries, 2);
    assert.equal(faults.length, 1);
    schedule.stop();
  });
});

function clockOf({ epochNow, after: later }: HandClock) {
  return { epochNow, after: later };
}
