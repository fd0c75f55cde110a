/**
 * Finds and reads the configuration file: `--config`, else `SLUICE_CONFIG`, else `config/sluice.yaml` where there is one.
 *
 * Must not know what is in it.
 */
import { readFileSync, statSync } from 'node:fs';
import { invalid } from '../core/errors.js';
import type { Sources } from './load.js';

const usualFile = 'config/sluice.yaml';
const fileBytesMax = 1 << 20;

/**
 * @param named what `--config` says
 * @returns undefined when no file is named and there is none at the usual place
 * @throws INVALID_ARGUMENT when a named file cannot be read
 */
export function readConfigFile(named: string | undefined, env: NonNullable<Sources['env']>): Sources['file'] {
  const wanted = named ?? (env.SLUICE_CONFIG === '' ? undefined : env.SLUICE_CONFIG);
  const name = wanted ?? usualFile;
  try {
    const { size } = statSync(name);
    if (size > fileBytesMax) throw invalid(`${name}: expected at most ${fileBytesMax} bytes, got ${size}`);
    return { name, text: readFileSync(name, 'utf8') };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' && wanted === undefined) return undefined;
    if (code === 'ENOENT') throw invalid(`${name}: expected a configuration file, got nothing: it does not exist`);
    if (code === 'EISDIR') throw invalid(`${name}: expected a configuration file, got a folder`);
    if (code === 'EACCES' || code === 'EPERM')
      throw invalid(`${name}: expected a configuration file, got one that may not be read`);
    throw error;
  }
}
