/**
 * What sources remember from one start to the next: the highest serial of an index, the numbers given to artifacts that have
 * none.
 *
 * Must not know what a serial or a number means.
 */
import { z } from 'zod';
import type { SerialMemory } from '../registry/sources/index-reader.js';
import type { VersionNumbers } from '../registry/sources/oci-versions.js';
import { openSerials } from '../registry/store/documents.js';
import { StateDocument, type StateFolder } from '../registry/store/state.js';

export interface SourceMemory {
  serialOf(source: string): SerialMemory;
  numbersOf(source: string): VersionNumbers;
}

type Numbers = Readonly<Record<string, Readonly<Record<string, string>>>>;

const numbersSchema: z.ZodType<Numbers> = z.record(z.string(), z.record(z.string(), z.string()));
const numbersMax = 10_000;

/** Kept in the store. */
export async function storedMemory(state: StateFolder): Promise<SourceMemory> {
  const serials = await openSerials(state);
  const numbers = await StateDocument.open<Numbers>(state, 'numbers', numbersSchema, {});
  return {
    serialOf: (source) => ({ get: () => serials.get(source), set: (serial) => serials.set(source, serial) }),
    numbersOf: (source) => ({
      get: (model, digest) => given(numbers.value, source, model)[digest],
      next: async (model, digest, above) => {
        let number = '';
        await numbers.change((all) => {
          const before = given(all, source, model);
          number = nextOf(before, above);
          const kept = Object.entries(before).slice(-numbersMax + 1);
          return { ...all, [`${source}/${model}`]: Object.fromEntries([...kept, [digest, number]]) };
        });
        return number;
      },
    }),
  };
}

/** Forgotten with the process. */
export function passingMemory(): SourceMemory {
  const all: Record<string, Record<string, string>> = {};
  return {
    serialOf: () => ({ get: () => undefined, set: () => {} }),
    numbersOf: (source) => ({
      get: (model, digest) => given(all, source, model)[digest],
      next: async (model, digest, above) => {
        const number = nextOf(given(all, source, model), above);
        all[`${source}/${model}`] = { ...given(all, source, model), [digest]: number };
        return number;
      },
    }),
  };
}

function given(all: Numbers, source: string, model: string): Readonly<Record<string, string>> {
  return all[`${source}/${model}`] ?? {};
}

function nextOf(before: Readonly<Record<string, string>>, above: string): string {
  const highest = Math.max(Number(above) || 0, ...Object.values(before).map(Number));
  return String(highest + 1);
}
