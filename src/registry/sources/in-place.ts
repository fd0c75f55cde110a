/**
 * A version where its folder has it, read without a copy: good enough to look at, never to be served from.
 *
 * Must not know who looks.
 */
import { dirname } from 'node:path';
import type { VersionId } from '../../core/model.js';
import type { Brought } from '../repository.js';
import type { Source } from '../source.js';
import { placeOf } from './folder.js';

/** @param source of type `directory` */
export async function inPlace(source: Source, { model, version }: VersionId, signal: AbortSignal): Promise<Brought> {
  const { files, config } = await source.resolve(model, version, signal);
  const top = files.find(({ path }) => !path.includes('/'))!;
  const besides = config === undefined ? [] : [config.name];
  return { directory: dirname(placeOf(top)), besides, config, artifact: undefined };
}
